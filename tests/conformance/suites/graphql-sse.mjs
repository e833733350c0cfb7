// GraphQL over server-sent events, distinct connections: the authors' client.

import assert from 'node:assert/strict';

import { createClient } from 'graphql-sse';

import { all, basics } from '../basics.mjs';
import { signUp, upload } from '../practice.mjs';

export async function run({ suite, servers, practice }) {
  const server = servers.main;
  const open = (more = {}) =>
    createClient({ url: server.graphql, headers: { authorization: `Bearer ${practice.token}` }, retryAttempts: 0, ...more });
  const lasting = {
    query: 'subscription ($id: ID!) { sessionUpdated(id: $id) { attendance } }',
    variables: { id: practice.planned },
  };

  await basics({ suite, practice, open });
  await suite.check('a subscription gives every status in order, and completes', async () => {
    const id = await upload(server, practice.token, practice.patient);
    const query = 'subscription ($id: ID!) { sessionUpdated(id: $id) { status version } }';
    const results = (await all(open(), { query, variables: { id } })).map(({ data }) => data.sessionUpdated);
    assert.equal(results.at(-1).status, 'PROCESSED');
    const versions = results.map(({ version }) => version);
    assert.deepEqual(versions, [...new Set(versions)].sort((a, b) => a - b));
  });
  await suite.check('errors of validation come as an event, on an accepted connection', async () => {
    for (const query of ['{ nothing }', 'subscription { nothing }']) {
      const [{ errors }] = await all(open(), { query });
      assert.equal(errors[0].extensions.code, 'VALIDATION_FAILED', query);
    }
  });
  await suite.check('errors of syntax come as an event, on an accepted connection', async () => {
    const [{ errors }] = await all(open(), { query: '{' });
    assert.equal(errors[0].extensions.code, 'BAD_REQUEST');
  });
  await suite.check('a limit of documents comes as an event, on an accepted connection', async () => {
    const query = `{ ${Array.from({ length: 101 }, (_, i) => `a${i}: __typename`).join(' ')} }`;
    const [{ errors }] = await all(open(), { query });
    assert.equal(errors[0].extensions.code, 'LIMIT_EXCEEDED');
  });
  await suite.check('a refused subscription says why and completes', async () => {
    const [{ errors }] = await all(open(), { query: 'subscription { sessionUpdated(id: "none") { id } }' });
    assert.equal(errors[0].extensions.code, 'NOT_FOUND');
  });
  await suite.check('a bad token is refused with 401, which the client takes for final', async () => {
    const client = open({ headers: { authorization: 'Bearer no.good.token' }, retryAttempts: 3, retry: async () => {} });
    const error = await all(client, { query: '{ viewer { id } }' }).then(() => null, (error) => error);
    assert.equal(error?.response?.status, 401);
  });
  await suite.check('what the client stops listening to ends; others go on', async () => {
    const client = open();
    const [one, two] = [client.iterate(lasting), client.iterate(lasting)];
    await Promise.all([one.next(), two.next()]);
    await one.return();
    assert.equal((await all(client, { query: '{ viewer { id } }' })).length, 1);
    await two.return();
  });
  await suite.check('a log-in that ends says so and completes', async () => {
    const { accessToken } = await signUp(server, `sse-leaver-${Date.now()}@example.com`);
    const client = open({ headers: { authorization: `Bearer ${accessToken}` } });
    const stream = client.iterate({ query: 'subscription { practiceOverviewUpdated { totalPatients } }' });
    await stream.next();
    await all(client, { query: 'mutation { logOutEverywhere { userErrors { code } } }' });
    assert.equal((await stream.next()).value.errors[0].extensions.code, 'UNAUTHENTICATED');
    assert.equal((await stream.next()).done, true);
  });
  await suite.check('a server that restarts cuts the stream; the client connects again and goes on', async () => {
    const client = open({
      retryAttempts: 100,
      retry: async (n) => new Promise((again) => setTimeout(again, Math.min(100 * n, 1000))),
    });
    const stream = client.iterate(lasting);
    const first = await stream.next();
    const restarted = server.restart();
    assert.deepEqual((await stream.next()).value.data, first.value.data);
    await restarted;
    await stream.return();
  }, 120);
}
