import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Credentials } from '../src/credentials.js';

let asked;
let answers;

const tokens = (n) => ({
  result: { accessToken: `access ${n}`, refreshToken: `refresh ${n}`, expiresIn: 60, user: { email: 'a@b.c' }, userErrors: [] },
});
const refusal = { result: { accessToken: null, userErrors: [{ message: 'Spent.' }] } };

beforeEach(() => {
  asked = [];
  answers = [tokens(1)];
  globalThis.fetch = async (_, { body }) => {
    asked.push(JSON.parse(body).variables.input);
    const answer = await answers.shift();
    return new Response(JSON.stringify({ data: answer }), { headers: { 'content-type': 'application/json' } });
  };
});

async function loggedIn() {
  const clock = { now: 0 };
  const credentials = new Credentials(() => clock.now);
  await credentials.logIn('a@b.c', 'secret');
  return { credentials, clock };
}

test('a fresh token is used as it is', async () => {
  const { credentials } = await loggedIn();
  assert.equal(await credentials.token(), 'access 1');
  assert.equal(asked.length, 1);
});

test('requests at the same time share one exchange of the refresh token', async () => {
  const { credentials, clock } = await loggedIn();
  clock.now = 59_000;
  answers = [tokens(2)];
  const got = await Promise.all([credentials.token(), credentials.token(), credentials.renew()]);
  assert.deepEqual(got.slice(0, 2), ['access 2', 'access 2']);
  assert.deepEqual(asked.slice(1), [{ refreshToken: 'refresh 1' }]);
});

test('a refused exchange ends the log-in', async () => {
  const { credentials } = await loggedIn();
  answers = [refusal];
  await assert.rejects(credentials.renew(), /Spent/);
  assert.equal(credentials.user, null);
});

test('an exchange that did not reach the server can be tried again', async () => {
  const { credentials } = await loggedIn();
  answers = [Promise.reject(new TypeError('offline')), tokens(2)];
  await assert.rejects(credentials.renew(), /offline/);
  await credentials.renew();
  assert.equal(await credentials.token(), 'access 2');
});

test('who logs out during an exchange stays logged out', async () => {
  const { credentials } = await loggedIn();
  let arrive;
  answers = [new Promise((resolve) => { arrive = resolve; }), { result: { userErrors: [] } }];
  const renewal = credentials.renew();
  await credentials.logOut();
  arrive(tokens(2));
  await renewal;
  assert.equal(credentials.user, null);
  assert.equal(await credentials.token(), null);
});
