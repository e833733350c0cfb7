// Apollo Client: queries, mutations, subscriptions, uploads and errors; its normalised cache and relayStylePagination.

import assert from 'node:assert/strict';
import { File as NodeFile } from 'node:buffer';
import { readFile } from 'node:fs/promises';

import { ApolloClient, InMemoryCache, gql, split } from '@apollo/client/core/index.js';
import { loadDevMessages, loadErrorMessages } from '@apollo/client/dev/index.js';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions/index.js';
import { getMainDefinition, relayStylePagination } from '@apollo/client/utilities/index.js';
import createUploadLink from 'apollo-upload-client/createUploadLink.mjs';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

import { RECORDING, signUp } from '../practice.mjs';

globalThis.File ??= NodeFile;
// Its link asks for the global of this name, which Node.js has from 22 on.
globalThis.WebSocket ??= WebSocket;

loadDevMessages();
loadErrorMessages();

const PATIENTS = gql`
  query Patients($first: Int!, $after: String) {
    patients(first: $first, after: $after) {
      totalCount
      edges { cursor node { id name sessions(first: 1) { edges { cursor node { id status } } pageInfo { hasNextPage endCursor } } } }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
  }
`;
const RENAME = gql`
  mutation Rename($input: UpdatePatientInput!) {
    updatePatient(input: $input) { patient { id name } userErrors { code message field } }
  }
`;

export async function run({ suite, servers, practice }) {
  const server = servers.main;
  const sockets = [];
  const open = (token = practice.token) => {
    const authorization = `Bearer ${token}`;
    const socket = createClient({ url: server.socket, webSocketImpl: WebSocket, connectionParams: { authorization }, retryAttempts: 0 });
    sockets.push(socket);
    const http = createUploadLink({ uri: server.graphql, headers: { authorization, 'apollo-require-preflight': 'true' } });
    const isSubscription = ({ query }) => getMainDefinition(query).operation === 'subscription';
    return new ApolloClient({
      link: split(isSubscription, new GraphQLWsLink(socket), http),
      cache: new InMemoryCache({
        possibleTypes: { Node: ['Patient', 'Session', 'User', 'ExportJob'] },
        typePolicies: {
          Query: { fields: { patients: relayStylePagination(['search']) } },
          Patient: { fields: { sessions: relayStylePagination() } },
        },
      }),
    });
  };
  const names = (data) => data.patients.edges.map(({ node }) => node.name);
  try {
    await suite.check('a query', async () => {
      const { data } = await open().query({ query: gql`{ viewer { id email } }` });
      assert.equal(data.viewer.email, practice.email);
    });
    await suite.check('relayStylePagination joins the pages, each patient once', async () => {
      const watched = open().watchQuery({ query: PATIENTS, variables: { first: 2 } });
      let data = await new Promise((resolve, reject) => {
        const first = watched.subscribe({ next: (result) => result.data && (resolve(result.data), queueMicrotask(() => first.unsubscribe())), error: reject });
      });
      while (data.patients.pageInfo.hasNextPage) {
        await watched.fetchMore({ variables: { after: data.patients.pageInfo.endCursor } });
        data = watched.getCurrentResult().data;
      }
      assert.ok(data.patients.totalCount >= 5);
      assert.equal(names(data).length, data.patients.totalCount);
      assert.equal(new Set(data.patients.edges.map(({ node }) => node.id)).size, data.patients.totalCount);
    });
    await suite.check('a mutation changes what the normalised cache shows everywhere', async () => {
      const client = open();
      const { data } = await client.query({ query: PATIENTS, variables: { first: 50 } });
      const patient = data.patients.edges.find(({ node }) => node.name !== 'Daniel Weber').node;
      const name = `${patient.name} II`;
      await client.mutate({ mutation: RENAME, variables: { input: { patientId: patient.id, name } } });
      assert.equal(client.readFragment({ id: `Patient:${patient.id}`, fragment: gql`fragment N on Patient { name }` }).name, name);
      assert.ok(names(client.readQuery({ query: PATIENTS, variables: { first: 50 } })).includes(name));
    });
    await suite.check('node(id) gives the same object of the cache', async () => {
      const client = open();
      await client.query({ query: PATIENTS, variables: { first: 50 } });
      const query = gql`query ($id: ID!) { node(id: $id) { id ... on Patient { name } } }`;
      const { data } = await client.query({ query, variables: { id: practice.patient } });
      assert.equal(data.node.name, 'Daniel Weber');
      assert.equal(client.cache.identify(data.node), `Patient:${practice.patient}`);
      assert.ok(`Patient:${practice.patient}` in client.cache.extract());
    });
    await suite.check('an expected failure comes in the payload, and is no error', async () => {
      const { data, errors } = await open().mutate({ mutation: RENAME, variables: { input: { patientId: practice.patient, name: '' } } });
      assert.equal(errors, undefined);
      assert.equal(data.updatePatient.userErrors[0].code, 'INVALID_INPUT');
    });
    await suite.check('a document that does not fit the schema is a GraphQL error with its code', async () => {
      const error = await open().query({ query: gql`{ nothing }` }).then(() => null, (error) => error);
      assert.equal(codes(error)[0], 'VALIDATION_FAILED');
    });
    await suite.check('a bad token is UNAUTHENTICATED with status 401', async () => {
      const error = await open('no.good.token').query({ query: gql`{ viewer { id } }` }).then(() => null, (error) => error);
      assert.equal(error.networkError.statusCode, 401);
      assert.equal(codes(error)[0], 'UNAUTHENTICATED');
    });
    await suite.check('with errorPolicy all, data and error of one field come together', async () => {
      const query = gql`query ($id: ID!) { viewer { id } patient(id: $id) { id } queueStatus { workersAlive } }`;
      const { data, errors } = await open().query({ query, variables: { id: practice.patient }, errorPolicy: 'all' });
      assert.equal(errors[0].extensions.code, 'FORBIDDEN');
      assert.ok(data === undefined || data === null || data.queueStatus === null || data.viewer);
    });
    await suite.check('an upload, followed by a subscription to its end', async () => {
      const client = open();
      const mutation = gql`
        mutation ($input: UploadSessionInput!) {
          uploadSession(input: $input) { session { id status } userErrors { code message } }
        }
      `;
      const audio = new File([await readFile(RECORDING)], 'session.mp3');
      const { data } = await client.mutate({ mutation, variables: { input: { patientId: practice.patient, audio } } });
      const { id } = data.uploadSession.session;
      const query = gql`subscription ($id: ID!) { sessionUpdated(id: $id) { id status progress } }`;
      const statuses = [];
      await new Promise((complete, error) => {
        const next = ({ data }) => statuses.push(data.sessionUpdated.status);
        client.subscribe({ query, variables: { id } }).subscribe({ next, error, complete });
      });
      assert.equal(statuses.at(-1), 'PROCESSED');
      // What a subscription brings, the cache shows.
      assert.equal(client.readFragment({ id: `Session:${id}`, fragment: gql`fragment S on Session { status }` }).status, 'PROCESSED');
    });
    await suite.check('a subscription that is refused is an error', async () => {
      const stranger = open((await signUp(server, `apollo-${Date.now()}@example.com`)).accessToken);
      const query = gql`subscription ($id: ID!) { sessionUpdated(id: $id) { id } }`;
      const error = await new Promise((resolve) => {
        stranger.subscribe({ query, variables: { id: practice.session } }).subscribe({ error: resolve, complete: () => resolve(null) });
      });
      assert.match(told(error), /NOT_FOUND/);
    });
  } finally {
    for (const socket of sockets) await socket.dispose();
  }
}

/** Everything an error says, with what it was caused by. */
function told(error) {
  return [error?.message, ...(error?.graphQLErrors ?? []), ...(error?.errors ?? []), error?.cause].map((part) => JSON.stringify(part)).join(' ');
}

/** The codes of an error, wherever Apollo Client keeps it. */
function codes(error) {
  const errors = error.graphQLErrors?.length ? error.graphQLErrors : (error.networkError?.result?.errors ?? []);
  return errors.map(({ extensions }) => extensions.code);
}
