import assert from 'node:assert/strict';
import { test } from 'node:test';
import { multipart, takesFile } from '../src/http.js';

const upload = { query: 'mutation', variables: { input: { patientId: '1', audio: 'the attached file' } } };

test('only variables with input.audio take a file', () => {
  assert.equal(takesFile(upload), true);
  assert.equal(takesFile({ variables: { input: { name: 'x' } } }), false);
  assert.equal(takesFile({}), false);
});

test('a multipart request has operations, map and file, in this order', async () => {
  const file = Object.assign(new Blob(['sound']), { name: 'a.mp3' });
  const [operations, map, part] = [...multipart(upload, file)];
  assert.deepEqual(JSON.parse(operations[1]).variables.input, { patientId: '1', audio: null });
  assert.deepEqual([map[0], JSON.parse(map[1])], ['map', { 0: ['variables.input.audio'] }]);
  assert.deepEqual([part[0], part[1].name, await part[1].text()], ['0', 'a.mp3', 'sound']);
});
