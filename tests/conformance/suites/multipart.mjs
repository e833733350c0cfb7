// Uploads by the GraphQL multipart request specification, with apollo-upload-client's link.

import assert from 'node:assert/strict';
import { File as NodeFile } from 'node:buffer';
import { readFile } from 'node:fs/promises';

import { execute, gql } from '@apollo/client/core/index.js';
import createUploadLink from 'apollo-upload-client/createUploadLink.mjs';

import { RECORDING } from '../practice.mjs';

globalThis.File ??= NodeFile;

const UPLOAD = gql`
  mutation ($input: UploadSessionInput!) {
    uploadSession(input: $input) { session { id audioFilename status } userErrors { code message field } }
  }
`;
const ATTACH = gql`
  mutation ($input: AttachRecordingInput!) {
    attachRecording(input: $input) { session { id attendance } userErrors { code message field } }
  }
`;

export async function run({ suite, servers, practice }) {
  const link = (headers) =>
    createUploadLink({ uri: servers.main.graphql, headers: { authorization: `Bearer ${practice.token}`, ...headers } });
  const withHeader = link({ 'apollo-require-preflight': 'true' });
  const ask = (query, variables, by = withHeader) =>
    new Promise((resolve, reject) => execute(by, { query, variables }).subscribe({ next: resolve, error: reject }));
  const recording = async (name = 'Sitzung Übung.mp3') => new File([await readFile(RECORDING)], name, { type: 'audio/mpeg' });
  const input = (more) => ({ patientId: practice.patient, ...more });

  await suite.check('a recording in an input object arrives, with its name', async () => {
    const { data } = await ask(UPLOAD, { input: input({ audio: await recording() }) });
    assert.deepEqual(data.uploadSession.userErrors, []);
    assert.equal(data.uploadSession.session.audioFilename, 'Sitzung Übung.mp3');
  });
  await suite.check('a recording of an appointment arrives', async () => {
    const { data } = await ask(ATTACH, { input: { sessionId: practice.planned, audio: await recording() } });
    assert.deepEqual(data.attachRecording.userErrors, []);
    assert.equal(data.attachRecording.session.attendance, 'COMPLETED');
  });
  await suite.check('a file that is no recording is refused in the payload', async () => {
    const audio = new File(['not a recording at all'], 'notes.mp3', { type: 'audio/mpeg' });
    const { data } = await ask(UPLOAD, { input: input({ audio }) });
    assert.equal(data.uploadSession.userErrors[0].code, 'UNSUPPORTED_MEDIA');
  });
  await suite.check('an empty file is refused in the payload', async () => {
    const { data } = await ask(UPLOAD, { input: input({ audio: new File([], 'empty.mp3') }) });
    assert.ok(data.uploadSession.userErrors[0].code.endsWith('_MEDIA'), JSON.stringify(data));
  });
  await suite.check('without files the same link sends JSON', async () => {
    const { data } = await ask(gql`{ viewer { email } }`, {});
    assert.equal(data.viewer.email, practice.email);
  });
  await suite.check('without the header that forces a preflight an upload is refused with 400', async () => {
    const error = await ask(UPLOAD, { input: input({ audio: await recording() }) }, link({})).then(() => null, (error) => error);
    assert.equal(error?.statusCode, 400);
    assert.match(error.result.errors[0].message, /apollo-require-preflight/);
  });
  await suite.check('one file for two variables is a copy for each', async () => {
    const query = gql`
      mutation ($a: UploadSessionInput!, $b: UploadSessionInput!) {
        a: uploadSession(input: $a) { session { id } userErrors { code } }
        b: uploadSession(input: $b) { session { id } userErrors { code } }
      }
    `;
    const audio = await recording();
    const { data } = await ask(query, { a: input({ audio }), b: input({ audio }) });
    assert.deepEqual([data.a.userErrors, data.b.userErrors], [[], []]);
    assert.notEqual(data.a.session.id, data.b.session.id);
  });
  await suite.check('two files in a request are refused with 400, and the message says what to do', async () => {
    const query = gql`
      mutation ($a: UploadSessionInput!, $b: UploadSessionInput!) {
        a: uploadSession(input: $a) { userErrors { code } }
        b: uploadSession(input: $b) { userErrors { code } }
      }
    `;
    const variables = { a: input({ audio: await recording() }), b: input({ audio: await recording() }) };
    const error = await ask(query, variables).then(() => null, (error) => error);
    assert.equal(error?.statusCode, 400);
    assert.match(error.result.errors[0].message, /one file a request/);
  });
}
