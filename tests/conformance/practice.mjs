// A practice, made through the API as anybody would: a therapist, patients, sessions in every state, documents.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { createClient } from 'graphql-sse';

import { root } from './paths.mjs';

export const PASSWORD = 'correct horse battery';
export const RECORDING = join(root, 'tests/data/audio/stereo.mp3');


/** Runs an operation over plain HTTP; its data. */
export async function call(server, token, query, variables = {}) {
  const headers = { 'content-type': 'application/json' };
  if (token) headers.authorization = `Bearer ${token}`;
  const response = await fetch(server.graphql, { method: 'POST', headers, body: JSON.stringify({ query, variables }) });
  const { data, errors } = await response.json();
  if (errors) throw new Error(`${query}: ${JSON.stringify(errors)}`);
  const refused = Object.values(data).find((payload) => payload?.userErrors?.length);
  if (refused) throw new Error(`${query}: ${JSON.stringify(refused.userErrors)}`);
  return data;
}

/** A new user. */
export async function signUp(server, email, more = {}) {
  const input = { email, password: PASSWORD, fullName: email.split('@')[0], role: 'THERAPIST', ...more };
  const query = `mutation ($input: SignUpInput!) {
    signUp(input: $input) { accessToken refreshToken expiresIn user { id } userErrors { code message field } } }`;
  return (await call(server, null, query, { input })).signUp;
}

/** A new patient record; its id. */
export async function createPatient(server, token, name) {
  const query = `mutation ($name: String!) {
    createPatient(input: {name: $name}) { patient { id } userErrors { code message } } }`;
  return (await call(server, token, query, { name })).createPatient.patient.id;
}

/** A new session out of a recording; its id. */
export async function upload(server, token, patientId, file = RECORDING) {
  const query = `mutation ($input: UploadSessionInput!) {
    uploadSession(input: $input) { session { id } userErrors { code message field } } }`;
  const form = new FormData();
  form.set('operations', JSON.stringify({ query, variables: { input: { patientId, audio: null } } }));
  form.set('map', JSON.stringify({ 0: ['variables.input.audio'] }));
  form.set('0', new Blob([await readFile(file)]), 'recording.mp3');
  const headers = { authorization: `Bearer ${token}`, 'apollo-require-preflight': 'true' };
  const response = await fetch(server.graphql, { method: 'POST', headers, body: form });
  const answer = await response.json();
  const session = answer.data?.uploadSession?.session;
  if (!session) throw new Error(`upload: ${JSON.stringify(answer)}`);
  return session.id;
}

/** Follows a session until it is done; its statuses. */
export async function processed(server, token, id) {
  const client = createClient({ url: server.graphql, headers: { authorization: `Bearer ${token}` } });
  const query = 'subscription ($id: ID!) { sessionUpdated(id: $id) { status errorMessage } }';
  const statuses = [];
  for await (const { data, errors } of client.iterate({ query, variables: { id } })) {
    if (errors) throw new Error(JSON.stringify(errors));
    const { status, errorMessage } = data.sessionUpdated;
    if (status === 'FAILED') throw new Error(`the session failed: ${errorMessage}`);
    if (statuses.at(-1) !== status) statuses.push(status);
  }
  return statuses;
}

/** The whole practice. */
export async function makePractice(server) {
  const jane = await signUp(server, 'jane@example.com', { fullName: 'Jane Smith' });
  const token = jane.accessToken;
  const patient = await createPatient(server, token, 'Daniel Weber');
  for (const name of ['Maria Lind', 'Samuel Okoro', 'Ana Costa', 'Yuki Tanaka']) await createPatient(server, token, name);
  const session = await upload(server, token, patient);
  const statuses = await processed(server, token, session);
  const planned = await schedule(server, token, patient);
  return { email: 'jane@example.com', token, refreshToken: jane.refreshToken, user: jane.user.id, patient, session, planned, statuses };
}

async function schedule(server, token, patientId) {
  const query = `mutation ($input: ScheduleSessionInput!) {
    scheduleSession(input: $input) { session { id } userErrors { code message } } }`;
  const input = { patientId, scheduledStart: new Date(Date.now() + 86_400_000).toISOString(), durationMinutes: 50 };
  return (await call(server, token, query, { input })).scheduleSession.session.id;
}
