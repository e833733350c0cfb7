// Every code block of README.md and docs/api.md: run, or marked as not run, with the reason.
//
// What is sh runs in one shell from the first block of a page to its last, as a reader would go through it; js, python and
// graphql run by themselves, with what the page says that a client has. Answers with errors fail the block.

import { execFile } from 'node:child_process';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { blocks } from '../blocks.mjs';
import { here, root } from '../paths.mjs';
import { call, createPatient, PASSWORD, signUp, upload, processed } from '../practice.mjs';
import { startServer } from '../server.mjs';

// Inside, so that packages are found from there.
const folder = join(here, 'node_modules/.docs');
const PAGES = ['README.md', 'docs/api.md'];
const AUDIO = join(root, 'tests/data/audio');

export async function run({ suite, binary }) {
  await rm(folder, { recursive: true, force: true });
  await mkdir(join(folder, 'assets/samples'), { recursive: true });
  await mkdir(join(folder, 'src'));
  // Short ones: what they are named does not matter.
  await copyFile(join(AUDIO, 'stereo.mp3'), join(folder, 'assets/samples/session_anxiety.mp3'));
  await copyFile(join(AUDIO, 'stereo.m4a'), join(folder, 'recording.m4a'));
  for (const page of PAGES) {
    const server = await startServer(binary);
    try {
      await runPage({ suite, server, page });
    } finally {
      await server.stop();
    }
  }
}

async function runPage({ suite, server, page }) {
  const found = blocks(await readFile(join(root, page), 'utf8'));
  const reader = page === 'README.md' ? {} : await makeReader(server);
  const here = (text) =>
    text.replaceAll('http://127.0.0.1:8000', server.origin).replaceAll('ws://127.0.0.1:8000', server.socket.replace('/graphql', ''));
  const run = found.filter(({ note }) => !note?.startsWith('not run'));
  const shell = run.filter(({ language }) => language === 'sh');
  const results = await runShell(shell.map(({ text }) => here(text)), reader);
  for (const [index, block] of shell.entries()) suite.report(`${page}:${block.line} sh`, results[index]);
  for (const { language, line, text } of run.filter(({ language }) => language !== 'sh')) {
    await suite.check(`${page}:${line} ${language || 'without a language'}`, async () => {
      const runner = RUNNERS[language];
      if (!runner) throw new Error('nothing runs this: mark it `<!-- not run: the reason -->` in the line before, or teach this suite');
      await runner(here(text), { server, reader });
    });
  }
}

/** What somebody has who reads on from the quick start: an account, a patient, a processed session, names for them. */
async function makeReader(server) {
  const jane = await signUp(server, 'jane@example.com', { fullName: 'Jane Smith' });
  const token = jane.accessToken;
  const patient = await createPatient(server, token, 'Daniel Weber');
  const session = await upload(server, token, patient);
  await processed(server, token, session);
  return { token, patient, session, refreshToken: jane.refreshToken };
}

/** Runs all of it in one shell; what went wrong with each. */
async function runShell(texts, { token = '', patient = '', session = '' }) {
  const script = `set -euo pipefail
token='${token}' patient='${patient}' session='${session}'
curl() { local status=0; command curl --fail-with-body --max-time 120 "$@" | tee -a "answers.$block" || status=$?; echo >>"answers.$block"; return $status; }
npx() { local tool=$1; shift; "${join(here, 'node_modules/.bin')}/$tool" "$@"; }
${texts.map((text, index) => `block=${index}\n: >answers.$block\n${text}\nwait\ntouch done.$block`).join('\n')}
`;
  await writeFile(join(folder, 'page.sh'), script);
  const { output } = await execute('bash', ['page.sh']);
  return Promise.all(texts.map(async (_, index) => {
    const wrong = (await readFile(join(folder, `answers.${index}`), 'utf8').catch(() => '')).split('\n').filter(tellsOfErrors);
    const done = await readFile(join(folder, `done.${index}`)).then(() => true, () => false);
    await rm(join(folder, `done.${index}`), { force: true });
    return done && wrong.length === 0 ? null : `${wrong.join('\n')}\n${done ? '' : output.slice(-2000)}`;
  }));
}

/** Whether a line is an answer with errors, or a payload with some. */
function tellsOfErrors(line) {
  try {
    const { errors, data } = JSON.parse(line.replace(/^data: /, ''));
    return Boolean(errors) || Object.values(data ?? {}).some((payload) => payload?.userErrors?.length > 0);
  } catch {
    return false;
  }
}

const RUNNERS = {
  async js(text, { server, reader }) {
    const recording = JSON.stringify(join(AUDIO, 'stereo.wav'));
    const finale = text.includes('uploadSession') ? 'await called;' : text.includes('freshAccessToken()') && text.includes('export') ? FRESH : '';
    await writeFile(join(folder, 'block.mjs'), `
import { readFile as readIt } from 'node:fs/promises';
import { WebSocket as Socket } from 'ws';
globalThis.WebSocket ??= Socket;
const kept = { accessToken: ${JSON.stringify(reader.token)}, refreshToken: ${JSON.stringify(reader.refreshToken)}, endsAt: 0 };
const [load, save, forget] = [() => ({ ...kept }), (tokens) => Object.assign(kept, tokens), () => { throw new Error('forgotten'); }];
Object.defineProperty(globalThis, 'navigator', { value: { locks: { request: (_, run) => run() } } });
let tell; const called = new Promise((resolve) => { tell = resolve; });
async function call(query, variables) {
  const headers = { 'content-type': 'application/json', authorization: 'Bearer ' + kept.accessToken };
  const answer = await (await fetch(${JSON.stringify(server.graphql)}, { method: 'POST', headers, body: JSON.stringify({ query, variables }) })).json();
  if (answer.errors || Object.values(answer.data).some((payload) => payload.userErrors?.length)) throw new Error(JSON.stringify(answer));
  tell(); return answer.data;
}
const [patientId, id, idempotencyKey] = [${JSON.stringify(reader.patient)}, ${JSON.stringify(reader.session)}, 'a-key-of-the-tests'];
const file = Object.assign(await readIt(${recording}), { name: 'recording.wav', type: 'audio/wav' });
${text.includes('function freshAccessToken') ? '' : 'const freshAccessToken = async () => kept.accessToken;'}
${text}
${finale}
process.exit(0);
`);
    await succeed(process.execPath, ['block.mjs']);
    if (finale === FRESH) reader.refreshToken = null;
  },
  async python(text) {
    await writeFile(join(folder, 'block.py'), text);
    await succeed('python3', ['block.py']);
  },
  // `make test` runs it: quick_start::the_client_of_the_page_reads_every_patient.
  async rust(text) {
    const tested = await readFile(join(root, 'tests/api/quick_start.rs'), 'utf8');
    if (!tested.includes(text)) throw new Error('this is not what tests/api/quick_start.rs runs');
  },
  async graphql(text, { server, reader }) {
    const { patient, session } = reader;
    await call(server, reader.token, text, { patient, session, id: session });
  },
};

const FRESH = `
const fresh = await freshAccessToken();
if (fresh === ${'load().refreshToken'} || fresh !== load().accessToken) throw new Error('not the new token');
if ((await freshAccessToken()) !== fresh) throw new Error('refreshed twice');
await call('{ viewer { id } }', {});
`;

async function succeed(command, args) {
  const { code, output } = await execute(command, args);
  if (code !== 0) throw new Error(output.slice(-3000));
  const wrong = output.split('\n').filter(tellsOfErrors);
  if (wrong.length > 0) throw new Error(wrong.join('\n'));
}

function execute(command, args) {
  const options = { cwd: folder, timeout: 240_000, maxBuffer: 1 << 26, env: { ...process.env, EMAIL: 'jane@example.com', PASSWORD } };
  return new Promise((resolve) => {
    execFile(command, args, options, (error, stdout, stderr) => {
      resolve({ code: error ? (error.code ?? 1) : 0, output: `${stdout}${stderr}` });
    });
  });
}
