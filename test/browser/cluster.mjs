// Nodes of the programs in OUT_DIR, each with its log, and Debian's chromium to look at them.
import { spawn } from 'node:child_process';
import { chromium } from 'playwright-core';

const children = new Set();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// eventually(what, condition): what the condition gives, as soon as that is true; an error after ten seconds.
export async function eventually(what, condition, ms = 10000) {
  for (const end = Date.now() + ms; Date.now() < end;) {
    const found = await condition();
    if (found) return found;
    await sleep(20);
  }
  throw new Error(`${what}: not within ${ms} ms`);
}

// nodeStart('master', { HOST, … }): a running node. `events` grows by one object for each line of its log.
export async function nodeStart(program, settings) {
  const env = { PATH: process.env.PATH, PORT: '0', LOG_FORMAT: 'json', LOG_LEVEL: 'debug', ...settings };
  const child = spawn(`${process.env.OUT_DIR}/${program}`, { env, stdio: ['ignore', 'ignore', 'pipe'] });
  const node = { events: [], name: settings.SECONDARY_ID ?? program, signal: (name) => child.kill(name) };
  const ended = new Promise((resolve) => child.on('exit', (code) => { children.delete(child); resolve(code); }));
  let rest = '';
  children.add(child);
  child.stderr.setEncoding('utf8').on('data', (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    node.events.push(...lines.map((line) => JSON.parse(line)));
  });
  node.stop = async (name = 'SIGTERM') => { child.kill(name); child.kill('SIGCONT'); return ended; };
  const { host, port } = await eventually(`${program} listens`, () => {
    if (child.exitCode !== null) throw new Error(`${program}: ${node.events.at(-1)?.message}`);
    return node.events.find(({ event }) => event === 'listening');
  });
  return Object.assign(node, { host, port, url: `http://${host}:${port}` });
}

// What a node answers to a GET, as JSON.
export const ask = async (node, path) => (await fetch(node.url + path)).json();

// Other hosts than loopback's have no address for this browser, but for those in `names`.
export function browserStart(names = {}) {
  const rules = Object.entries(names).map(([name, address]) => `MAP ${name} ${address}`);
  const args = [`--host-resolver-rules=${[...rules, 'MAP * ~NOTFOUND', 'EXCLUDE 127.0.64.*'].join(', ')}`];
  if (process.getuid() === 0) args.push('--no-sandbox'); // chromium asks for that
  return chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args });
}
