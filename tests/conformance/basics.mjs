// What a client of any protocol of subscriptions can do besides subscribing.

import assert from 'node:assert/strict';

/** Every result of an operation, in order. */
export async function all(client, payload) {
  const results = [];
  for await (const result of client.iterate(payload)) results.push(result);
  return results;
}

/** Queries and mutations, each by a client that `open` gives. */
export async function basics({ suite, practice, open }) {
  await suite.check('a query gives one result and completes', async () => {
    const [{ data, errors }, ...more] = await all(open(), { query: '{ viewer { email } }' });
    assert.deepEqual([data, errors, more], [{ viewer: { email: practice.email } }, undefined, []]);
  });
  await suite.check('variables and operationName arrive', async () => {
    const query = 'query A { viewer { id } } query B($id: ID!) { patient(id: $id) { name } }';
    const payload = { query, operationName: 'B', variables: { id: practice.patient } };
    const [{ data }] = await all(open(), payload);
    assert.deepEqual(data, { patient: { name: 'Daniel Weber' } });
  });
  await suite.check('a mutation gives its payload', async () => {
    const query = 'mutation { createPatient(input: {name: " "}) { patient { id } userErrors { code } } }';
    const [{ data }] = await all(open(), { query });
    assert.deepEqual(data.createPatient, { patient: null, userErrors: [{ code: 'INVALID_INPUT' }] });
  });
}
