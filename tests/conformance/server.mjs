// The real server binary, on a database and files of its own, in a folder that is removed afterwards.

import { spawn } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { root } from './paths.mjs';

const START_SECONDS = 120;

// Rates are for strangers: suites ask as often as they like.
const NO_RATES = Object.fromEntries(
  ['LOGIN', 'SIGNUP', 'EXPORTS', 'REQUESTS', 'UPLOADS', 'DOWNLOADS'].map((what) => [`RATE_LIMIT_${what}`, 'off']),
);

/** Starts a server; `stop` ends it, `restart` lets another process take its place, on the same data and address. */
export async function startServer(binary, settings = {}) {
  const data = await mkdtemp(join(tmpdir(), 'therapybridge-conformance-'));
  await chmod(data, 0o755); // PostgreSQL runs as another user where the server runs as root
  const port = await freePort();
  const environment = {
    PATH: process.env.PATH,
    HOME: data,
    DATA_DIR: data,
    MODELS_DIR: join(root, '.cache/models'),
    PORT: String(port),
    LOG_FORMAT: 'json',
    ...NO_RATES,
    ...settings,
  };
  let running = await start(binary, environment, data);
  const origin = `http://127.0.0.1:${port}`;
  return {
    origin,
    graphql: `${origin}/graphql`,
    socket: `ws://127.0.0.1:${port}/graphql`,
    data,
    environment,
    async restart() {
      await running.end();
      running = await start(binary, environment, data);
    },
    async stop() {
      await running.end();
      await rm(data, { recursive: true, force: true });
    },
    isRunning: () => running.isRunning(),
  };
}

async function start(binary, env, cwd) {
  const child = spawn(binary, ['serve'], { env, cwd, stdio: ['ignore', 'ignore', 'pipe'] });
  const guard = guardian(child.pid, cwd);
  const lines = [];
  const ended = new Promise((resolve) => child.once('close', resolve));
  const listening = new Promise((resolve, reject) => {
    const patience = setTimeout(() => reject(new Error(`no server after ${START_SECONDS} s`)), START_SECONDS * 1000);
    createInterface({ input: child.stderr }).on('line', (line) => {
      lines.push(line);
      if (lines.length > 200) lines.shift();
      if (line.includes('"listening"')) resolve(clearTimeout(patience));
    });
    ended.then((code) => reject(new Error(`the server ended with ${code}:\n${lines.join('\n')}`)));
  });
  await listening;
  return {
    isRunning: () => child.exitCode === null && child.signalCode === null,
    async end() {
      child.kill('SIGTERM');
      await ended;
      guard.kill('SIGKILL');
      guard.stdin.destroy();
    },
  };
}

/**
 * Ends a server, and removes its folder, once this process is gone, however it died: even if it was killed, its end of the pipe
 * is closed.
 */
function guardian(pid, folder) {
  const script = 'trap "" INT TERM HUP; cat >/dev/null; kill "$0"; while kill -0 "$0" 2>/dev/null; do sleep 0.2; done; rm -rf "$1"';
  const guard = spawn('sh', ['-c', script, String(pid), folder], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  guard.unref();
  guard.stdin.unref?.();
  return guard;
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}
