// urql with its normalised cache (Graphcache, which knows the schema): the same, and subscriptions by both transports.

import assert from 'node:assert/strict';
import { File as NodeFile } from 'node:buffer';
import { readFile } from 'node:fs/promises';

import { Client, fetchExchange, gql, subscriptionExchange } from '@urql/core';
import { cacheExchange } from '@urql/exchange-graphcache';
import { relayPagination } from '@urql/exchange-graphcache/extras';
import { getIntrospectionQuery } from 'graphql';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

import { call, RECORDING, upload } from '../practice.mjs';

globalThis.File ??= NodeFile;

const PATIENTS = gql`
  query Patients($first: Int!, $after: String) {
    patients(first: $first, after: $after) {
      totalCount
      edges { cursor node { id name } }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
  }
`;

export async function run({ suite, servers, practice }) {
  const server = servers.main;
  const schema = await call(server, null, getIntrospectionQuery());
  const authorization = `Bearer ${practice.token}`;
  const socket = createClient({ url: server.socket, webSocketImpl: WebSocket, connectionParams: { authorization }, retryAttempts: 0 });
  const overSocket = subscriptionExchange({
    forwardSubscription: (operation) => ({
      subscribe: (sink) => ({ unsubscribe: socket.subscribe({ ...operation, query: operation.query ?? '' }, sink) }),
    }),
  });
  const open = ({ token = practice.token, sse = false, ...more } = {}) => {
    const warnings = [];
    const cache = cacheExchange({
      schema,
      resolvers: { Query: { patients: relayPagination() } },
      logger: (severity, message) => severity !== 'debug' && warnings.push(`${severity}: ${message}`),
      // What has no id is part of what holds it.
      keys: Object.fromEntries(embedded(schema).map((name) => [name, () => null])),
    });
    const client = new Client({
      url: server.graphql,
      exchanges: sse ? [cache, fetchExchange] : [cache, fetchExchange, overSocket],
      fetchSubscriptions: sse,
      preferGetMethod: false,
      fetchOptions: { headers: { authorization: `Bearer ${token}`, 'apollo-require-preflight': 'true' } },
      ...more,
    });
    return Object.assign(client, { warnings });
  };
  const ok = ({ data, error }) => {
    assert.equal(error, undefined, error?.message);
    return data;
  };
  const follow = (client, id) =>
    new Promise((resolve, reject) => {
      const statuses = [];
      const query = gql`subscription ($id: ID!) { sessionUpdated(id: $id) { id status progress } }`;
      const { unsubscribe } = client.subscription(query, { id }).subscribe(({ data, error }) => {
        if (error) reject(error);
        statuses.push(data?.sessionUpdated.status);
        if (statuses.at(-1) === 'PROCESSED') queueMicrotask(() => (unsubscribe(), resolve(statuses)));
      });
    });
  try {
    for (const preferGetMethod of [false, 'force']) {
      await suite.check(`a query by ${preferGetMethod ? 'GET' : 'POST'}`, async () => {
        const data = ok(await open({ preferGetMethod }).query(gql`{ viewer { id email } }`, {}));
        assert.equal(data.viewer.email, practice.email);
      });
    }
    await suite.check('relayPagination joins the pages, each patient once, and Graphcache has nothing to warn of', async () => {
      const client = open();
      let after = null;
      let data;
      do {
        data = ok(await client.query(PATIENTS, { first: 2, after }));
        after = data.patients.pageInfo.endCursor;
      } while (data.patients.pageInfo.hasNextPage);
      assert.equal(data.patients.edges.length, data.patients.totalCount);
      assert.equal(new Set(data.patients.edges.map(({ node }) => node.id)).size, data.patients.totalCount);
      assert.deepEqual(client.warnings, []);
    });
    await suite.check('a mutation changes what the normalised cache shows', async () => {
      const client = open();
      const patient = ok(await client.query(PATIENTS, { first: 50 })).patients.edges.find(({ node }) => node.name !== 'Daniel Weber').node;
      const mutation = gql`mutation ($input: UpdatePatientInput!) { updatePatient(input: $input) { patient { id name } userErrors { code } } }`;
      ok(await client.mutation(mutation, { input: { patientId: patient.id, name: `${patient.name} III` } }));
      const cached = ok(await client.query(PATIENTS, { first: 50 }, { requestPolicy: 'cache-only' }));
      assert.ok(cached.patients.edges.some(({ node }) => node.name === `${patient.name} III`));
      assert.deepEqual(client.warnings, []);
    });
    await suite.check('node(id) with its interface', async () => {
      const query = gql`query ($id: ID!) { node(id: $id) { __typename id ... on Patient { name } } }`;
      const client = open();
      assert.equal(ok(await client.query(query, { id: practice.patient })).node.name, 'Daniel Weber');
      assert.deepEqual(client.warnings, []);
    });
    await suite.check('an expected failure comes in the payload, and is no error', async () => {
      const mutation = gql`mutation { createPatient(input: { name: "" }) { patient { id } userErrors { code } } }`;
      assert.equal(ok(await open().mutation(mutation, {})).createPatient.userErrors[0].code, 'INVALID_INPUT');
    });
    await suite.check('errors have their codes; a bad token its status', async () => {
      const invalid = await open().query(gql`{ nothing }`, {});
      assert.equal(invalid.error.graphQLErrors[0].extensions.code, 'VALIDATION_FAILED');
      const stranger = await open({ token: 'no.good.token' }).query(gql`{ viewer { id } }`, {});
      assert.equal(stranger.error.response.status, 401);
    });
    await suite.check('an upload', async () => {
      const mutation = gql`mutation ($input: UploadSessionInput!) { uploadSession(input: $input) { session { id } userErrors { code message } } }`;
      const audio = new File([await readFile(RECORDING)], 'session.mp3');
      const { uploadSession } = ok(await open().mutation(mutation, { input: { patientId: practice.patient, audio } }));
      assert.deepEqual(uploadSession.userErrors, []);
    });
    for (const sse of [false, true]) {
      await suite.check(`a subscription over ${sse ? 'server-sent events' : 'a WebSocket'}`, async () => {
        const id = await upload(server, practice.token, practice.patient);
        const statuses = await follow(open({ sse }), id);
        assert.equal(statuses.at(-1), 'PROCESSED');
      });
    }
  } finally {
    await socket.dispose();
  }
}

/** Object types without an id. */
function embedded({ __schema }) {
  const objects = __schema.types.filter(({ kind, name }) => kind === 'OBJECT' && !name.startsWith('__'));
  const roots = ['Query', 'Mutation', 'Subscription'];
  return objects.filter(({ name, fields }) => !roots.includes(name) && !fields.some((field) => field.name === 'id')).map(({ name }) => name);
}
