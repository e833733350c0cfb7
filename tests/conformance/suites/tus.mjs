// Resumable uploads: tus-js-client, also over a line that breaks, with checksums, and over a restart of the server.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { createServer, connect } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';

import { DefaultHttpStack, FileUrlStorage, Upload } from 'tus-js-client';

import { deferred } from '../check.mjs';
import { scratch, root } from '../paths.mjs';
import { call } from '../practice.mjs';

// Large enough to be cut in the middle.
const FILE = join(root, 'tests/data/audio/stereo.wav');

export async function run({ suite, servers, practice }) {
  const server = servers.main;
  const bytes = await readFile(FILE);
  const options = (more) => ({
    endpoint: `${server.origin}/uploads`,
    headers: { Authorization: `Bearer ${practice.token}` },
    metadata: { filename: 'Sitzung Übung.wav', filetype: 'audio/wav' },
    retryDelays: [0, 100, 300, 1000, 1000, 1000, 1000, 1000, 1000, 1000],
    ...more,
  });
  const send = (source, more = {}) => {
    const ended = deferred();
    const upload = new Upload(source, options({ onSuccess: () => ended.resolve(upload), onError: ended.reject, ...more }));
    return { upload, ended, start: () => (upload.start(), ended.done) };
  };
  const take = async ({ url }) => {
    const query = `mutation ($input: UploadSessionInput!) {
      uploadSession(input: $input) { session { id audioFilename durationMinutes } userErrors { code message } } }`;
    const input = { patientId: practice.patient, uploadId: url.split('/').pop() };
    return (await call(server, practice.token, query, { input })).uploadSession.session;
  };
  const offset = async (url) => {
    const headers = { authorization: `Bearer ${practice.token}`, 'tus-resumable': '1.0.0' };
    return Number((await fetch(url, { method: 'HEAD', headers })).headers.get('upload-offset'));
  };

  await suite.check('a whole upload becomes a session, under its name', async () => {
    const session = await take(await send(bytes).start());
    assert.equal(session.audioFilename, 'Sitzung Übung.wav');
  });
  await suite.check('in chunks', async () => {
    await take(await send(bytes, { chunkSize: 100_000 }).start());
  });
  await suite.check('with the first bytes in the creating request', async () => {
    await take(await send(bytes, { uploadDataDuringCreation: true, chunkSize: 200_000 }).start());
  });
  await suite.check('of unknown length, from a stream', async () => {
    // What is no file to the client: of one it knows the length.
    const stream = createReadStream(FILE).pipe(new PassThrough());
    await take(await send(stream, { uploadLengthDeferred: true, chunkSize: 100_000 }).start());
  });
  await suite.check('with a checksum of every chunk', async () => {
    const stack = new CheckingStack();
    await take(await send(bytes, { chunkSize: 100_000, httpStack: stack }).start());
    assert.equal(stack.checked, Math.ceil(bytes.length / 100_000));
  });
  await suite.check('a chunk that was damaged on its way is refused with 460, and sent again', async () => {
    const stack = new CheckingStack({ damage: 2 });
    const statuses = [];
    const onAfterResponse = (request, response) => statuses.push(response.getStatus());
    await take(await send(bytes, { chunkSize: 100_000, httpStack: stack, onAfterResponse, onShouldRetry: () => true }).start());
    assert.equal(statuses.filter((status) => status === 460).length, 1);
  });
  await suite.check('over a line that breaks again and again, it goes on where it was', async () => {
    const line = await breakingLine(server, [150_000, 200_000, 100_000]);
    const endpoint = `http://127.0.0.1:${line.port}/uploads`;
    const offsets = [];
    const onBeforeRequest = (request) => request.getMethod() === 'PATCH' && offsets.push(Number(request.getHeader('Upload-Offset')));
    const { upload, start } = send(bytes, { endpoint, onBeforeRequest });
    await start();
    assert.equal(line.broken(), 3);
    assert.deepEqual(offsets, [...offsets].sort((a, b) => a - b));
    assert.ok(offsets.length >= 4 && offsets.at(-1) > 0, `it began at ${offsets.join(', ')}`);
    await take(upload);
    await line.close();
  });
  await suite.check('over a restart of the server', async () => {
    let restarted = null;
    const onChunkComplete = () => { restarted ??= server.restart(); };
    const patient = { chunkSize: 60_000, retryDelays: Array.from({ length: 200 }, () => 200) };
    const upload = await send(bytes, { onChunkComplete, ...patient }).start();
    await restarted;
    await take(upload);
  }, 120);
  await suite.check('what was begun before is found again, by another process of the client', async () => {
    const storage = join(scratch, 'tus-urls.json');
    await rm(storage, { force: true });
    const remembered = { urlStorage: new FileUrlStorage(storage), storeFingerprintForResuming: true };
    const source = () => createReadStream(FILE);
    const halfway = deferred();
    const first = send(source(), {
      ...remembered, chunkSize: 100_000, uploadSize: bytes.length, onChunkComplete: () => first.upload.abort().then(halfway.resolve),
    });
    first.upload.start();
    await halfway.done;
    const again = send(source(), { ...remembered, uploadSize: bytes.length });
    const [before] = await again.upload.findPreviousUploads();
    assert.ok(before, 'nothing was remembered');
    const kept = await offset(first.upload.url);
    assert.ok(kept > 0 && kept < bytes.length, `${kept} bytes are kept`);
    again.upload.resumeFromPreviousUpload(before);
    const done = await again.start();
    assert.equal(done.url, first.upload.url);
    await take(done);
  });
  await suite.check('what is given up is gone', async () => {
    const halfway = deferred();
    const { upload } = send(bytes, { chunkSize: 100_000, onChunkComplete: halfway.resolve });
    upload.start();
    await halfway.done;
    await upload.abort(true);
    const headers = { authorization: `Bearer ${practice.token}`, 'tus-resumable': '1.0.0' };
    const { status } = await fetch(upload.url ?? `${server.origin}/uploads/none`, { method: 'HEAD', headers });
    assert.ok([404, 410].includes(status), `${status}`);
  });
  await suite.check('what is too large is refused with 413 at once', async () => {
    const { start } = send(bytes, { uploadSize: 2 ** 40, retryDelays: null });
    const error = await start().then(() => null, (error) => error);
    assert.equal(error?.originalResponse?.getStatus(), 413);
  });
  await suite.check('a bad token is refused with 401', async () => {
    const { start } = send(bytes, { headers: { Authorization: 'Bearer no.good.token' }, retryDelays: null });
    const error = await start().then(() => null, (error) => error);
    assert.equal(error?.originalResponse?.getStatus(), 401);
  });
}

/** The client's own stack, which tells the checksum of what it sends; one chunk is damaged after that. */
class CheckingStack {
  checked = 0;

  constructor({ damage = 0 } = {}) {
    this.inner = new DefaultHttpStack();
    this.damage = damage;
  }

  createRequest(method, url) {
    const request = this.inner.createRequest(method, url);
    const send = request.send.bind(request);
    request.send = (body = null) => {
      if (method !== 'PATCH') return send(body);
      this.checked += 1;
      request.setHeader('Upload-Checksum', `sha256 ${createHash('sha256').update(body).digest('base64')}`);
      return send(this.checked === this.damage ? damaged(body) : body);
    };
    return request;
  }

  getName() {
    return 'CheckingStack';
  }
}

function damaged(body) {
  const copy = Uint8Array.from(body);
  copy[copy.length >> 1] ^= 1;
  return copy;
}

/** A line to the server that breaks each time so many bytes have gone through. */
async function breakingLine({ origin }, breaks) {
  const { port, hostname } = new URL(origin);
  let broken = 0;
  const line = createServer((client) => {
    const server = connect(Number(port), hostname);
    let left = breaks[broken] ?? Infinity;
    for (const end of [client, server]) end.on('error', () => {});
    server.on('close', () => client.destroy());
    client.on('close', () => server.end());
    server.pipe(client);
    client.on('data', (data) => {
      if (data.length < left) {
        left -= data.length;
        server.write(data);
      } else {
        left = Infinity;
        broken += 1;
        // What has gone through still arrives.
        server.end(data.subarray(0, 1000));
        client.destroy();
      }
    });
  });
  await new Promise((listening) => line.listen(0, '127.0.0.1', listening));
  return {
    port: line.address().port,
    broken: () => broken,
    close: () => new Promise((closed) => (line.close(closed), line.closeAllConnections?.())),
  };
}
