// What users do with node, through the proxy that the environment names: see run.
'use strict';
const assert = require('assert');
const fs = require('fs');
const https = require('https');

const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });

function call(method, path, body, headers = {}, chunks = null) {
  return new Promise((resolve, reject) => {
    const options = { agent, host: 'localhost', port: process.env.PROXY_PORT, method, path, headers, auth: 'ann:secret' };
    const request = https.request(options, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => resolve({
        status: response.statusCode, headers: response.headers, text: Buffer.concat(parts).toString(),
        reused: request.reusedSocket }));
    });
    request.on('error', reject);
    for (const chunk of chunks || []) request.write(chunk);
    request.end(body);
  });
}

// The other ends of the connections that the node at a port has taken, all that were seen.
const seen = new Set();
function connections(port) {
  const hex = Number(port).toString(16).toUpperCase().padStart(4, '0');
  for (const line of fs.readFileSync('/proc/net/tcp', 'utf8').split('\n')) {
    const [, local, remote, state] = line.trim().split(/\s+/);
    if (local === `0100007F:${hex}` && state === '01') seen.add(remote);
  }
  return seen.size;
}

(async () => {
  const json = { 'Content-Type': 'application/json' };
  const before = connections(process.env.MASTER_PORT);
  for (let i = 0; i < 50; i++) {
    const posted = await call('POST', '/messages', JSON.stringify({ message: `ä€😀 ${i}`, w: 3 }), json);
    assert.strictEqual(posted.status, 201);
    const { id, w, acks } = JSON.parse(posted.text);
    assert.strictEqual(posted.headers.location, `/messages/${id}`);
    assert.ok(w === 3 && acks === 3);
    assert.ok(i === 0 || posted.reused);
    const connected = connections(process.env.MASTER_PORT);
    assert.ok(connected > 0 && connected <= before + 10, `${connected} connections to the master, and ${before} before`);
    const got = await call('GET', posted.headers.location);
    assert.deepStrictEqual(JSON.parse(got.text), { id, message: `ä€😀 ${i}` });
  }

  const head = await call('HEAD', '/messages?from=1&limit=1');
  assert.ok(head.status === 200 && head.text === '' && head.headers['content-length'] > 0 && head.headers.etag);
  const known = await call('GET', '/messages?from=1&limit=1', undefined, { 'If-None-Match': head.headers.etag });
  assert.ok(known.status === 304 && known.text === '');
  const chunked = await call('POST', '/messages', 'end', { 'Content-Type': 'text/plain' }, ['one ', 'two ']);
  assert.strictEqual(chunked.status, 201);
  const read = await call('GET', chunked.headers.location);
  assert.strictEqual(JSON.parse(read.text).message, 'one two end');
  assert.strictEqual((await call('POST', '/messages', '{"message":', json)).status, 400);
  assert.strictEqual((await call('POST', '/register', '{}', json)).status, 404);

  // A list longer than what any buffer on the way holds.
  const list = await call('GET', '/messages');
  assert.ok(list.text.length > 20e6 && JSON.parse(list.text).messages.length > 50);

  const frozen = Number(process.env.FROZEN);
  process.kill(frozen, 'SIGSTOP');
  const waiting = call('POST', '/messages', 'waits');
  await new Promise((resolve) => setTimeout(resolve, 500));
  process.kill(frozen, 'SIGCONT');
  assert.strictEqual((await waiting).status, 201);
  agent.destroy();
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
