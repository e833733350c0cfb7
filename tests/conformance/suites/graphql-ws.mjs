// graphql-transport-ws: the authors' client, and what their protocol says that a server does.

import assert from 'node:assert/strict';

import { CloseCode, createClient, validateMessage } from 'graphql-ws';
import WebSocket from 'ws';

import { all, basics } from '../basics.mjs';
import { deferred } from '../check.mjs';
import { processed, signUp, upload } from '../practice.mjs';

export async function run({ suite, servers, practice }) {
  const server = servers.main;
  const clients = [];
  const open = (more = {}) => {
    const client = createClient({
      url: server.socket,
      webSocketImpl: WebSocket,
      connectionParams: { authorization: `Bearer ${practice.token}` },
      retryAttempts: 0,
      ...more,
    });
    clients.push(client);
    return client;
  };
  try {
    await withTheClient({ suite, server, practice, open });
  } finally {
    for (const client of clients) await client.dispose();
  }
  await withBareMessages({ suite, server, practice });
}

async function withTheClient({ suite, server, practice, open }) {
  await basics({ suite, practice, open });
  await suite.check('a subscription gives every status in order, and completes', async () => {
    const id = await upload(server, practice.token, practice.patient);
    const query = 'subscription ($id: ID!) { sessionUpdated(id: $id) { status version } }';
    const results = (await all(open(), { query, variables: { id } })).map(({ data }) => data.sessionUpdated);
    const order = ['UPLOADING', 'TRANSCRIBING', 'TRANSCRIBED', 'EXTRACTING_NOTES', 'PROCESSED'];
    const statuses = results.map(({ status }) => order.indexOf(status));
    assert.deepEqual(statuses, [...statuses].sort((a, b) => a - b));
    assert.equal(results.at(-1).status, 'PROCESSED');
    const versions = results.map(({ version }) => version);
    assert.deepEqual(versions, [...new Set(versions)].sort((a, b) => a - b));
  });
  await suite.check('an invalid operation is an error, and the socket lives on', async () => {
    const closed = [];
    const client = open({ lazyCloseTimeout: 5_000, on: { closed: ({ code }) => closed.push(code) } });
    for (const query of ['{ nothing }', '{', 'subscription { sessionUpdated(id: "none") { id } }']) {
      const errors = await all(client, { query }).then(() => null, (errors) => errors);
      assert.ok(Array.isArray(errors) && errors[0].extensions.code, `${query}: ${JSON.stringify(errors)}`);
    }
    assert.equal((await all(client, { query: '{ viewer { id } }' })).length, 1);
    assert.deepEqual(closed, []);
  });
  await suite.check('twenty operations share a socket', async () => {
    let sockets = 0;
    const client = open({ on: { connected: () => { sockets += 1; } } });
    const queries = Array.from({ length: 20 }, (_, i) => all(client, { query: `{ a${i}: viewer { id } }` }));
    const results = await Promise.all(queries);
    results.forEach(([{ data }], i) => assert.equal(data[`a${i}`].id, practice.user));
    assert.equal(sockets, 1);
  });
  await suite.check('what the client unsubscribes from ends, and the socket lives on', async () => {
    const client = open({ lazyCloseTimeout: 5_000 });
    const query = 'subscription ($id: ID!) { sessionUpdated(id: $id) { id } }';
    const iterator = client.iterate({ query, variables: { id: practice.planned } });
    assert.equal((await iterator.next()).value.data.sessionUpdated.id, practice.planned);
    await iterator.return();
    assert.equal((await all(client, { query: '{ viewer { id } }' })).length, 1);
  });
  await suite.check("the client's pings are answered", async () => {
    const pong = deferred();
    const client = open({ lazy: false, keepAlive: 50, on: { pong: (received) => received && pong.resolve() } });
    await pong.done;
    await client.dispose();
  });
  await suite.check('a bad token closes with Forbidden, which the client takes for final', async () => {
    const client = open({ connectionParams: { authorization: 'Bearer no.good.token' }, retryAttempts: 3 });
    const event = await all(client, { query: '{ viewer { id } }' }).then(() => null, (event) => event);
    assert.equal(event?.code, CloseCode.Forbidden);
  });
  await suite.check('a log-in that ends closes its socket with Forbidden', async () => {
    const { accessToken } = await signUp(server, `leaver-${Date.now()}@example.com`);
    const closed = deferred();
    const client = open({
      connectionParams: { authorization: `Bearer ${accessToken}` },
      lazy: false,
      on: { closed: closed.resolve },
      onNonLazyError: () => {},
    });
    await all(client, { query: 'mutation { logOutEverywhere { userErrors { code } } }' }).catch(() => {});
    assert.equal((await closed.done).code, CloseCode.Forbidden);
  });
  await suite.check('a server that restarts says Going away; the client connects again and goes on', async () => {
    const codes = [];
    const client = open({
      retryAttempts: 100,
      retryWait: async (n) => new Promise((again) => setTimeout(again, Math.min(100 * n, 1000))),
      shouldRetry: () => true,
      on: { closed: ({ code }) => codes.push(code) },
    });
    const query = 'subscription ($id: ID!) { sessionUpdated(id: $id) { attendance } }';
    const iterator = client.iterate({ query, variables: { id: practice.planned } });
    const first = await iterator.next();
    const restarted = server.restart();
    assert.deepEqual((await iterator.next()).value.data, first.value.data);
    await restarted;
    assert.equal(codes[0], 1001);
    await iterator.return();
  }, 120);
}

/** A bare socket: messages and the close code, each held against the authors' own idea of a message. */
class Bare {
  messages = [];
  waiting = [];

  constructor(url, protocol = 'graphql-transport-ws') {
    this.socket = new WebSocket(url, protocol ? [protocol] : []);
    this.closed = new Promise((resolve) => this.socket.once('close', (code, reason) => resolve({ code, reason: String(reason) })));
    this.opened = new Promise((resolve, reject) => this.socket.once('open', resolve).once('error', reject));
    this.socket.on('message', (data) => {
      const message = validated(data);
      const next = this.waiting.shift();
      if (next) next(message);
      else this.messages.push(message);
    });
  }

  async say(...messages) {
    await this.opened;
    for (const message of messages) this.socket.send(typeof message === 'object' && !Buffer.isBuffer(message) ? JSON.stringify(message) : message);
    return this;
  }

  next() {
    return this.messages.length > 0 ? Promise.resolve(this.messages.shift()) : new Promise((resolve) => this.waiting.push(resolve));
  }

  async ready(token) {
    await this.say({ type: 'connection_init', payload: { authorization: `Bearer ${token}` } });
    assert.equal((await this.next()).type, 'connection_ack');
    return this;
  }
}

function validated(data) {
  try {
    return validateMessage(JSON.parse(data));
  } catch (error) {
    return { type: `none of the protocol's: ${error.message}` };
  }
}

async function withBareMessages({ suite, server, practice }) {
  const bare = (protocol) => new Bare(server.socket, protocol);
  const ready = () => bare().ready(practice.token);
  const query = (id, text = '{ viewer { id } }') => ({ type: 'subscribe', id, payload: { query: text } });
  const lasting = (id) => query(id, `subscription { sessionUpdated(id: "${practice.planned}") { id } }`);
  const closes = async (socket, code) => assert.equal((await socket.closed).code, code);

  await suite.check('nothing said: Connection initialisation timeout', async () => {
    await closes(bare(), CloseCode.ConnectionInitialisationTimeout);
  });
  await suite.check('another subprotocol, or none: Subprotocol not acceptable', async () => {
    await closes(bare(null), CloseCode.SubprotocolNotAcceptable);
    // One that the server does not know it does not choose; `ws` ends the handshake itself, without a close code.
    const strange = bare('graphql-ws');
    await assert.rejects(strange.opened, /subprotocol/);
  });
  await suite.check('subscribe before connection_ack: Unauthorized', async () => {
    await closes(await bare().say(query('1')), CloseCode.Unauthorized);
  });
  await suite.check('a second connection_init: Too many initialisation requests', async () => {
    await closes(await (await ready()).say({ type: 'connection_init' }), CloseCode.TooManyInitialisationRequests);
    await closes(await bare().say({ type: 'connection_init' }, { type: 'connection_init' }), CloseCode.TooManyInitialisationRequests);
  });
  await suite.check('an id in use: Subscriber already exists', async () => {
    await closes(await (await ready()).say(lasting('1'), lasting('1')), CloseCode.SubscriberAlreadyExists);
  });
  for (const [what, message] of [
    ['no JSON', 'hello'], ['an empty message', ''], ['a list', '[]'], ['no type', {}], ['an unknown type', { type: 'start' }],
    ["a server's message", { type: 'connection_ack' }], ['no id', { type: 'subscribe', payload: { query: '{a}' } }],
    ['an empty id', query('')], ['an id that is a number', query(1)], ['no payload', { type: 'subscribe', id: '1' }],
    ['no query', { type: 'subscribe', id: '1', payload: {} }], ['variables that are a list', { type: 'subscribe', id: '1', payload: { query: '{a}', variables: [] } }],
    ['a ping with a payload that is no object', { type: 'ping', payload: 'x' }],
    ['a pong with a payload that is no object', { type: 'pong', payload: [] }],
    ['a binary message', Buffer.from('{"type":"ping"}')],
  ]) {
    await suite.check(`${what}: Bad request`, async () => closes(await (await ready()).say(message), CloseCode.BadRequest));
  }
  await suite.check('a payload of connection_init that is no object: Bad request', async () => {
    await closes(await bare().say({ type: 'connection_init', payload: 'x' }), CloseCode.BadRequest);
  });
  await suite.check('ping is answered with pong, before and after connection_ack', async () => {
    const socket = await bare().say({ type: 'ping' });
    assert.deepEqual(await socket.next(), { type: 'pong' });
    await socket.ready(practice.token);
    await socket.say({ type: 'ping', payload: { a: 1 } });
    assert.equal((await socket.next()).type, 'pong');
    socket.socket.close();
  });
  await suite.check('a pong that nobody asked for, and complete of an unknown id, are let pass', async () => {
    const socket = await (await ready()).say({ type: 'pong' }, { type: 'complete', id: 'none' }, query('1'));
    assert.equal((await socket.next()).type, 'next');
    assert.deepEqual(await socket.next(), { type: 'complete', id: '1' });
    socket.socket.close();
  });
  await suite.check('an id is free again after complete, of either side, and after error', async () => {
    const socket = await ready();
    await socket.say(query('1'));
    assert.deepEqual([(await socket.next()).type, (await socket.next()).type], ['next', 'complete']);
    await socket.say(query('1', '{ nothing }'));
    assert.equal((await socket.next()).type, 'error');
    await socket.say(lasting('1'));
    assert.equal((await socket.next()).type, 'next');
    await socket.say({ type: 'complete', id: '1' }, query('1'));
    assert.deepEqual([(await socket.next()).type, (await socket.next()).type], ['next', 'complete']);
    socket.socket.close();
  });
  await suite.check('nothing follows an error message of an operation', async () => {
    const socket = await (await ready()).say(query('1', '{ nothing }'), query('2'));
    const heard = [await socket.next(), await socket.next(), await socket.next()];
    assert.deepEqual(heard.map(({ type, id }) => `${type} ${id}`).sort(), ['complete 2', 'error 1', 'next 2']);
    socket.socket.close();
  });
  await suite.check('no message comes before connection_ack but pong', async () => {
    const socket = await bare().say({ type: 'ping' }, { type: 'connection_init' });
    assert.deepEqual([(await socket.next()).type, (await socket.next()).type], ['pong', 'connection_ack']);
    socket.socket.close();
  });
  await suite.check('the server answers after all that', async () => {
    assert.equal((await processed(server, practice.token, practice.session)).at(-1), 'PROCESSED');
  });
}
