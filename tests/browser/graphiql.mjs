// The main job, done in GraphiQL by a real browser: sign-up, log-in, a patient, an upload, its subscription, the notes.
//
//   node graphiql.mjs PROGRAM RECORDING MODELS [SCREENSHOTS]
//
// Starts the program with a private database on a free port. Fails at anything a strict page must not do: an error on the
// console, a request to another host, something the Content-Security-Policy forbids.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import puppeteer from 'puppeteer-core';

const [program, recording, models, screenshots] = process.argv.slice(2).map((argument) => path.resolve(argument));
const EMAIL = 'ada@example.org';
const PASSWORD = 'correct horse battery';
const PATIENCE = 180_000;

const data = mkdtempSync(path.join(tmpdir(), 'therapybridge-browser-'));
chmodSync(data, 0o755); // as root, PostgreSQL runs as its own user
const server = spawn(program, ['serve'], {
  env: { PATH: process.env.PATH, DATA_DIR: data, MODELS_DIR: models, PORT: '0', LOG_FORMAT: 'json', RATE_LIMIT_REQUESTS: 'off' },
  cwd: data,
  stdio: ['ignore', 'ignore', 'pipe'],
});
const log = [];
let browser;
try {
  const address = await listening();
  browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM,
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
    defaultViewport: { width: 1280, height: 800 },
  });
  const page = await browser.newPage();
  const faults = watchFor(page, address);
  await mainJob(page, `http://${address}/graphiql`);
  assert.deepEqual(faults, [], 'the page did what it must not do');
  console.log('graphiql: sign-up, log-in, patient, upload, subscription, notes, log-out: all well');
} catch (error) {
  console.error(log.slice(-20).join('\n'));
  throw error;
} finally {
  await browser?.close();
  server.kill();
  await new Promise((resolve) => (server.exitCode === null ? server.once('exit', resolve) : resolve()));
  rmSync(data, { recursive: true, force: true });
}

/** The address, once the program says it. */
function listening() {
  return new Promise((resolve, reject) => {
    server.once('exit', (code) => reject(new Error(`the server ended with ${code}\n${log.join('\n')}`)));
    createInterface({ input: server.stderr }).on('line', (line) => {
      log.push(line);
      const found = /"address":"([^"]+)"/.exec(line);
      if (found) resolve(found[1]);
    });
  });
}

function watchFor(page, address) {
  const faults = [];
  page.on('pageerror', (error) => faults.push(`exception: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.host !== address && !['data:', 'blob:'].includes(url.protocol)) faults.push(`request to ${url.host}`);
  });
  page.evaluateOnNewDocument(() => {
    document.addEventListener('securitypolicyviolation', (event) => console.error(`CSP: ${event.violatedDirective}`));
  });
  return faults;
}

async function mainJob(page, url) {
  await page.goto(url, { waitUntil: 'networkidle0' });
  await page.waitForSelector('.graphiql-execute-button');
  await shoot(page, 'graphiql-start');

  const signedUp = await run(page, 0, (variables) => ({ input: { ...variables.input, email: EMAIL, password: PASSWORD } }));
  assert.equal(signedUp.data.signUp.user.email, EMAIL);
  await page.type('input[name=email]', EMAIL);
  await page.type('input[name=password]', PASSWORD);
  await page.click('.log-in button[type=submit]');
  await page.waitForFunction(() => document.querySelector('.log-in')?.textContent.includes('Logged in as'));

  assert.equal((await run(page, 1)).data.viewer.email, EMAIL);
  const created = await run(page, 2);
  const patient = created.data?.createPatient?.patient;
  assert.ok(patient?.id, JSON.stringify(created));

  const input = await page.$('.attach-file input[type=file]');
  await input.uploadFile(beginning(recording));
  const uploaded = await run(page, 3, ({ input: before }) => ({ input: { ...before, patientId: patient.id } }));
  const session = uploaded.data?.uploadSession.session;
  assert.ok(session?.id, JSON.stringify(uploaded));

  const watched = await run(page, 4, () => ({ id: session.id }), (text) => /"(PROCESSED|FAILED)"/.test(text));
  assert.equal(watched.data.sessionUpdated.status, 'PROCESSED', JSON.stringify(watched));
  const notes = (await run(page, 5, () => ({ id: session.id }))).data.session.notes;
  assert.ok(notes.keyTopics.length > 0 && notes.therapistNotes.length > 100, JSON.stringify(notes));
  await shoot(page, 'graphiql-notes');

  await page.click('.log-in button');
  await page.waitForSelector('input[name=password]');
  const left = await page.evaluate(() => document.body.innerText + JSON.stringify({ ...localStorage }));
  assert.ok(!left.includes(session.id) && !left.includes(PASSWORD), 'who logs out leaves nothing behind');
}

/** The first half minute of an mp3 of 4 minutes and 45 seconds: whole frames, without the one that tells how many there were. */
function beginning(mp3) {
  const bytes = readFileSync(mp3);
  const first = bytes.findIndex((byte, at) => byte === 0xff && (bytes[at + 1] & 0xe0) === 0xe0);
  const sync = bytes.subarray(first, first + 2);
  const file = path.join(data, 'beginning.mp3');
  writeFileSync(file, bytes.subarray(bytes.indexOf(sync, first + 4), bytes.lastIndexOf(sync, bytes.length / 9)));
  return file;
}

/** Executes a tab's operation with its variables, changed; the answer, once `isLast` says that it is the one waited for. */
async function run(page, tab, change, isLast = (text) => text.trim().endsWith('}')) {
  await page.evaluate((index) => document.querySelectorAll('.graphiql-tab-button')[index].click(), tab);
  // The editors follow the tab a moment later; its name is that of its operation.
  await page.waitForFunction((index) => {
    const name = document.querySelectorAll('.graphiql-tab-button')[index].textContent;
    return document.querySelector('.graphiql-query-editor .CodeMirror').CodeMirror.operationName === name;
  }, {}, tab);
  await page.evaluate(() => document.querySelector('.result-window .CodeMirror').CodeMirror.setValue(''));
  if (change) {
    const before = await page.evaluate(() => document.querySelector('.graphiql-editor-tool .CodeMirror').CodeMirror.getValue());
    const after = JSON.stringify(change(JSON.parse(before)));
    await page.evaluate((text) => {
      document.querySelector('.graphiql-editor-tool .CodeMirror').CodeMirror.setValue(text);
    }, after);
  }
  await page.click('.graphiql-execute-button');
  const answer = () => page.evaluate(() => document.querySelector('.result-window .CodeMirror').CodeMirror.getValue());
  for (const deadline = Date.now() + PATIENCE; Date.now() < deadline; ) {
    const text = await answer();
    if (text && isLast(text)) return JSON.parse(text);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`tab ${tab} has no answer: ${await answer()}`);
}

async function shoot(page, name) {
  if (!screenshots) return;
  mkdirSync(screenshots, { recursive: true });
  await page.screenshot({ path: path.join(screenshots, `${name}.png`) });
}
