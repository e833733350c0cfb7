import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createStorage } from '../src/storage.js';

test('nothing but the theme outlives the page', () => {
  const kept = new Map();
  const local = { setItem: (key, value) => kept.set(key, value), getItem: (key) => kept.get(key) ?? null };
  const storage = createStorage(local);
  storage.setItem('graphiql:theme', 'dark');
  storage.setItem('graphiql:tabState', 'a name');
  assert.deepEqual([...kept], [['graphiql:theme', 'dark']]);
  assert.equal(storage.getItem('graphiql:tabState'), 'a name');
});
