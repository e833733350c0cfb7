// schemathesis: made-up calls of every operation of the schema; whatever comes in, the server has an answer of its own.

import { execFile, spawn } from 'node:child_process';
import { access, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { root, scratch } from '../paths.mjs';
import { call, PASSWORD, signUp } from '../practice.mjs';

const ST = join(scratch, 'venv/bin/st');
const EXAMPLES = 8;
// What ends the log-in that everything else is asked with.
const LAST = ['logOutEverywhere', 'changePassword', 'revokeAuthSession', 'deactivateUser'];

export async function run({ suite, servers, practice, binary }) {
  await access(ST);
  const server = servers.main;
  const admin = await makeAdmin(server, binary);
  for (const [role, token] of [['therapist', practice.token], ['admin', admin], ['nobody', null]]) {
    await fuzz({ suite, server, role, token });
  }
  const leaver = (await signUp(server, `fuzzed-${Date.now()}@example.com`)).accessToken;
  await fuzz({ suite, server, role: 'leaver', token: leaver, only: LAST });
  suite.report('the server answers after all that', (await call(server, practice.token, '{ viewer { id } }')) ? null : 'no');
}

async function fuzz({ suite, server, role, token, only }) {
  const report = join(scratch, `schemathesis-${role}.xml`);
  await rm(report, { force: true });
  const chosen = only
    ? only.flatMap((name) => ['--include-name', `Mutation.${name}`])
    : LAST.flatMap((name) => ['--exclude-name', `Mutation.${name}`]);
  const args = [
    'run', join(root, 'schema.graphql'), '--url', server.graphql, '--checks', 'all', '--max-examples', String(EXAMPLES),
    '--seed', '7', '--generation-database', 'none', '--no-color', '--report', 'junit', '--report-junit-path', report,
    '--continue-on-failure', '--workers', '2', '--suppress-health-check', 'all', '--no-shrink', ...chosen,
    ...(token ? ['--header', `Authorization: Bearer ${token}`] : []),
  ];
  const { code, output } = await new Promise((resolve) => {
    execFile(ST, args, { cwd: scratch, maxBuffer: 1 << 28 }, (error, stdout, stderr) => {
      resolve({ code: error ? error.code : 0, output: `${stdout}${stderr}` });
    });
  });
  const cases = casesOf(await readFile(report, 'utf8').catch(() => ''));
  // A failure that the report does not show would be lost.
  if (cases.length === 0 || (code !== 0 && cases.every(({ problem }) => problem === null))) suite.report(`${role}: the run itself`, `status ${code}\n${output.slice(-4000)}`);
  for (const { name, problem } of cases) suite.report(`${role}: ${name}`, problem);
}

/** The cases of a JUnit report: an operation that passed, or each of its failures, by its kind and the code of the answer. */
function casesOf(xml) {
  return [...xml.matchAll(/<testcase name="([^"]*)"[^>]*?(?:\/>|>(.*?)<\/testcase>)/gs)].flatMap(([, name, body = '']) => {
    if (!/<(failure|error)/.test(body)) return [{ name, problem: null }];
    return unescape(body).split(/(?:^|>)\d+\. Test Case ID/m).slice(1).map((failure) => {
      const kind = /- (ST\d+ .*)/.exec(failure)?.[1] ?? 'a failure without a kind';
      const code = /"code":"([A-Z_]+)"/.exec(failure)?.[1] ?? 'no code';
      return { name: `${name}: ${kind}, ${code}`, problem: failure.slice(0, 3000) };
    });
  });
}

function unescape(text) {
  const entities = { lt: '<', gt: '>', quot: '"', '#10': '\n', amp: '&' };
  return text.replace(/&(lt|gt|quot|#10|amp);/g, (_, name) => entities[name]);
}

/** An admin, made as the command line makes one. */
async function makeAdmin(server, binary) {
  const email = `admin-${Date.now()}@example.com`;
  await new Promise((resolve, reject) => {
    const child = spawn(binary, ['admin', 'create-user', '--email', email, '--full-name', 'Ada'], {
      env: server.environment, cwd: server.data, stdio: ['pipe', 'ignore', 'pipe'],
    });
    const said = [];
    child.stderr.on('data', (data) => said.push(data));
    child.once('close', (code) => (code === 0 ? resolve() : reject(new Error(Buffer.concat(said).toString()))));
    child.stdin.end(`${PASSWORD}\n`);
  });
  const query = 'mutation ($input: LogInInput!) { logIn(input: $input) { accessToken userErrors { code message } } }';
  return (await call(server, null, query, { input: { email, password: PASSWORD } })).logIn.accessToken;
}
