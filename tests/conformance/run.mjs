// Runs the suites against a real server, prints a table, and fails on every finding that docs/api.md does not name.
//
//   node run.mjs [--server target/debug/therapybridge] [suite …]

import { access, mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { Suite } from './check.mjs';
import { namedFindings } from './findings.mjs';
import { root, scratch } from './paths.mjs';
import { makePractice } from './practice.mjs';
import { startServer } from './server.mjs';

const SUITES = [
  'graphql-http', 'graphql-ws', 'graphql-sse', 'multipart', 'apollo', 'urql', 'relay', 'graphql-eslint',
  'graphql-inspector', 'tus', 'docs', 'schemathesis',
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { server: { type: 'string', default: join(root, 'target/debug/therapybridge') } },
});
const wanted = positionals.length > 0 ? positionals : SUITES;
const unknown = wanted.filter((name) => !SUITES.includes(name));
if (unknown.length > 0) throw new Error(`no suite ${unknown.join(', ')}; there are ${SUITES.join(', ')}`);

const binary = resolve(values.server);
await access(binary);
await mkdir(scratch, { recursive: true });

const started = Date.now();
const servers = { main: await startServer(binary, { GRAPHQL_GET: 'true' }) };
let red = 0;
try {
  const practice = await makePractice(servers.main);
  const rows = [];
  for (const name of wanted) {
    const suite = new Suite();
    const { run } = await import(`./suites/${name}.mjs`);
    const from = Date.now();
    try {
      await run({ suite, servers, practice, binary });
    } catch (error) {
      suite.report('the suite itself', error?.stack ?? String(error));
    }
    if (suite.cases.length === 0) suite.report('the suite itself', 'it has no cases');
    if (!servers.main.isRunning()) suite.report('the server', 'it is gone');
    rows.push(judge(name, suite.cases, (Date.now() - from) / 1000));
  }
  red = show(rows);
} finally {
  await servers.main.stop();
}
console.log(`conformance: ${red === 0 ? 'passed' : 'FAILED'} in ${Math.round((Date.now() - started) / 1000)} s`);
process.exit(red === 0 ? 0 : 1);

/** Sorts the findings of a suite into those that the documentation names, with the reason, and those that it does not. */
function judge(name, cases, seconds) {
  const findings = cases.filter(({ problem }) => problem !== null);
  const named = namedFindings().filter(({ suite }) => suite === name);
  const isNamed = (finding) => named.some(({ names }) => names(finding.name));
  const unnamed = findings.filter((finding) => !isNamed(finding));
  const gone = named.filter(({ names }) => !findings.some((finding) => names(finding.name)));
  return { name, cases: cases.length, passed: cases.length - findings.length, named: findings.length - unnamed.length, unnamed, gone, seconds };
}

function show(rows) {
  for (const { name, unnamed, gone } of rows) {
    for (const finding of unnamed) console.log(`\n${name}: ${finding.name}\n  ${finding.problem.split('\n').join('\n  ')}`);
    for (const { finding } of gone) console.log(`\n${name}: docs/api.md names the finding \`${finding}\`, which is gone`);
  }
  const line = (...cells) => console.log(`${cells[0].padEnd(18)}${cells.slice(1).map((cell) => String(cell).padStart(8)).join('')}`);
  console.log();
  line('suite', 'cases', 'passed', 'named', 'findings', 'seconds');
  for (const { name, cases, passed, named, unnamed, gone, seconds } of rows) {
    line(name, cases, passed, named, unnamed.length + gone.length, seconds.toFixed(1));
  }
  const sum = (key) => rows.reduce((all, row) => all + row[key], 0);
  const failed = rows.reduce((all, { unnamed, gone }) => all + unnamed.length + gone.length, 0);
  // The plain line that machines look for.
  console.log(`\n${sum('passed')} passed, ${failed} failed`);
  return failed;
}
