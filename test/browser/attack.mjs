// What a hostile web page tries on nodes that its visitor's browser reaches: to append, to register, to remove, to
// read. Each attempt has a number in its query, so that the node's log tells how it was answered; one that never came
// to the node proves nothing.
import assert from 'node:assert';
import http from 'node:http';
import { ask, browserStart, eventually, nodeStart } from './cluster.mjs';

const secret = 'for our own eyes';
let tries = 0;
const told = {}; // of each page and way: how often a node answered what

// A web server of the attacker's. /to?URL sends on to there, with method and body.
function hostile(host, port = 0) {
  const server = http.createServer((request, response) => {
    const [path, query] = request.url.split('?to=');
    if (path === '/to') response.writeHead(307, { Location: decodeURIComponent(query) });
    else response.writeHead(200, { 'Content-Type': 'text/html', 'Cache-Control': 'no-store',
      ...(query ? { 'Content-Security-Policy': `img-src 'none'; report-uri ${decodeURIComponent(query)}` } : {}) });
    response.end(path === '/to' ? '' : '<!doctype html><title>hostile</title>');
  });
  return new Promise((resolve) => server.listen(port, host, () => resolve(Object.assign(server, {
    url: `http://${host}:${server.address().port}`, port: server.address().port }))));
}

// ---- in the attacker's page: each expression is one way to send or to read, and gives what the page learned

const prelude = `
  const body = () => {
    if (type === 'application/x-www-form-urlencoded') return new URLSearchParams({ message: text });
    if (type !== 'multipart/form-data') return new Blob([text], { type });
    const form = new FormData();
    form.append('message', text);
    return form;
  };
  const add = (name, properties) => document.body.appendChild(Object.assign(document.createElement(name), properties));
  const learned = async (answer) => answer.type === 'opaque' ? 'nothing' : answer.status + ' ' + await answer.text();
  const framed = (frame, resolve) => () => {
    if (frame.contentDocument?.URL !== 'about:blank') resolve(frame.contentDocument?.body.innerText ?? 'nothing');
  };
  // as text/plain a form sends NAME=VALUE: of JSON, the "=" comes to stand in a string
  const field = text.startsWith('{') ? { name: text.slice(0, -1) + ',"x":"', value: '"}' }
    : { name: 'message', value: text };
  const submit = (action, target) => {
    const form = add('form', { action, target, method: 'POST', enctype: type });
    form.append(Object.assign(document.createElement('input'), field));
    form.submit();
  };
  const submitFramed = (action) => new Promise((resolve) => {
    const frame = add('iframe', { name: url });
    frame.onload = framed(frame, resolve);
    submit(action, url);
  });
  const sandbox = (...lines) => add('iframe', { sandbox: 'allow-scripts allow-forms',
    srcdoc: '<body><scr' + 'ipt>' + lines.join('; ') + '</scr' + 'ipt>' });`;
const send = {
  'fetch no-cors': `fetch(url, { method: 'POST', mode: 'no-cors', body: body() }).then(learned)`,
  'fetch cors': `fetch(url, { method: 'POST', body: body() }).then(learned)`,
  'fetch keepalive, with credentials': `fetch(url, { method: 'POST', mode: 'no-cors', keepalive: true,
    credentials: 'include', body: body() }).then(learned)`,
  XMLHttpRequest: `new Promise((resolve) => { const xhr = new XMLHttpRequest(); xhr.open('POST', url);
    xhr.onload = () => resolve(xhr.status + ' ' + xhr.responseText); xhr.onerror = () => resolve('nothing');
    xhr.send(body()); })`,
  sendBeacon: `navigator.sendBeacon(url, body()) ? 'nothing' : 'the browser refused'`,
  form: `submitFramed(url)`,
  'form, by way of a redirect': `submitFramed('/to?to=' + encodeURIComponent(url))`,
  'form in a sandbox, with Origin: null': `sandbox('const f = document.createElement("form")',
    'Object.assign(f, ' + JSON.stringify({ method: 'POST', action: url, enctype: type }) + ')',
    'f.append(Object.assign(document.createElement("input"), ' + JSON.stringify(field) + '))',
    'document.body.append(f)', 'f.submit()') && 'nothing'`,
  'fetch in a sandbox, with Origin: null': `sandbox('fetch(' + JSON.stringify(url)
    + ', { method: "POST", mode: "no-cors", body: ' + JSON.stringify(text) + ' })') && 'nothing'`,
  'report of a broken Content-Security-Policy': `new Promise((resolve) => {
    const frame = add('iframe', { src: '/page?to=' + encodeURIComponent(url) });
    frame.onload = () => { frame.contentDocument.body.append(Object.assign(new Image(), { src: '/x' }));
      resolve('nothing'); };
  })`,
};
const plain = ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data'];
const types = {
  'fetch no-cors': [...plain, ''],
  'fetch cors': ['text/plain', 'application/json'],
  'fetch keepalive, with credentials': ['text/plain'],
  XMLHttpRequest: ['text/plain', 'application/json'],
  sendBeacon: [...plain, '', 'application/json'],
  form: plain,
  'form, by way of a redirect': plain,
  'form in a sandbox, with Origin: null': plain,
  'fetch in a sandbox, with Origin: null': ['text/plain'],
  'report of a broken Content-Security-Policy': ['application/csp-report'],
};
const read = {
  'fetch cors': `fetch(url).then(learned)`,
  'fetch no-cors': `fetch(url, { mode: 'no-cors' }).then(learned)`,
  XMLHttpRequest: `new Promise((resolve) => { const xhr = new XMLHttpRequest(); xhr.open('GET', url);
    xhr.onload = () => resolve(xhr.responseText); xhr.onerror = () => resolve('nothing'); xhr.send(); })`,
  EventSource: `new Promise((resolve) => { const source = new EventSource(url);
    for (const type of ['message', 'at', 'appended']) source.addEventListener(type, (event) => resolve(event.data));
    source.onerror = () => { source.close(); resolve('nothing'); }; })`,
  WebSocket: `new Promise((resolve) => { const socket = new WebSocket(url.replace('http', 'ws'));
    socket.onmessage = (event) => resolve(event.data); socket.onopen = () => resolve('it opened');
    socket.onclose = () => resolve('nothing'); })`,
  'a frame': `new Promise((resolve) => { const frame = add('iframe', { src: url });
    frame.onload = framed(frame, resolve); })`,
  'a script element': `new Promise((resolve) => add('script', { src: url, onload: () => resolve('it ran'),
    onerror: () => resolve('nothing') }))`,
  'a style element': `new Promise((resolve) => add('link', { rel: 'stylesheet', href: url,
    onload: () => resolve('it applied'), onerror: () => resolve('nothing') }))`,
  'an image': `new Promise((resolve) => add('img', { src: url, onload: () => resolve('it loaded'),
    onerror: () => resolve('nothing') }))`,
};

// ---- one attempt

// Does `how` from the page on a node's path. What the node's log says of it is what counts.
async function attempt({ page, from, how, script, node, path, method = 'POST', type = '', text = '', refusals }) {
  const tag = `try=${++tries}`;
  const url = `${from.base ?? node.url}${path}${path.includes('?') ? '&' : '?'}${tag}`;
  const run = `(async (url, type, text) => { ${prelude}
    return ${script}; })(${[url, type, text].map((value) => JSON.stringify(value)).join()})`;
  const saw = await page.evaluate(run).catch(() => 'nothing');
  const came = await eventually(`${method} ${path} by ${how} from ${from.name} comes to the node`, () => {
    const lines = node.events.filter((line) => line.event === 'request' && `${line.path}&`.includes(`${tag}&`));
    return lines.length && lines;
  });
  const what = `${from.name}: ${method} ${node.name}${path}${type && ` as ${type}`}, ${how}`;
  const counts = told[`${from.name}: ${how}`] ??= {};
  for (const request of came) {
    const answer = `${request.method} ${request.status}`;
    counts[answer] = (counts[answer] ?? 0) + 1;
  }
  assert(!saw.includes(secret), `${what}: the page has read ${saw}`);
  for (const request of came)
    assert(request.method === 'OPTIONS' || refusals.includes(request.status), `${what}: ${request.status}`);
  return saw;
}

// ---- the cluster, and what must stay as it is

const master = await nodeStart('master', { HOST: '127.0.64.1' });
const secondary = await nodeStart('secondary', { HOST: '127.0.64.2', SECONDARY_ID: 's1', MASTER_URL: master.url });
const nobody = 'http://127.0.64.4:1';
const alone = await nodeStart('secondary', { HOST: '127.0.64.3', SECONDARY_ID: 's2', MASTER_URL: nobody });
const nodes = [master, secondary, alone];
const members = async () => (await ask(master, '/health')).secondaries.map(({ id, url }) => `${id} ${url}`);
const lists = () => Promise.all(nodes.map((node) => ask(node, '/messages')));
const state = async () => JSON.stringify([await members(), await lists()]);
await eventually('the secondary registers', async () => (await members()).length === 1);
assert.equal((await fetch(`${master.url}/messages`, { method: 'POST', body: secret })).status, 201);
const before = await state();

const other = await hostile('127.0.64.9'); // another site
const near = await hostile(master.host); // the same site, another port
const names = { 'evil.example': '127.0.64.9', 'rebound.example': '127.0.64.5', near: master.host };
const browser = await browserStart(names);
const page = await browser.newPage();
const register = JSON.stringify({ id: 'evil', url: other.url, last_id: 0 });
const replicate = JSON.stringify({ first: 1, messages: ['evil'] });

// Everything that a page can send without asking first, and what a browser asks for first.
async function sendAll(from) {
  await page.goto(from.page);
  for (const [how, script] of Object.entries(send))
    for (const type of types[how])
      await attempt({ page, from, how, script, node: master, path: '/messages', type, text: 'evil', refusals: [403] });
  for (const how of ['fetch no-cors', 'form', 'sendBeacon'])
    for (const type of plain) {
      const common = { page, from, how, script: send[how], type, refusals: [403] };
      await attempt({ ...common, node: master, path: '/', text: 'evil' });
      await attempt({ ...common, node: master, path: '/messages?w=1&timeout=0', text: 'evil' });
      await attempt({ ...common, node: master, path: '/register', text: register });
      for (const node of [secondary, alone])
        await attempt({ ...common, node, path: '/replicate', text: replicate });
    }
  for (const [node, id] of [[master, 's1'], [secondary, 's1']])
    for (const method of ['DELETE', 'PUT', 'PATCH'])
      await attempt({ page, from, how: 'fetch cors', script: `fetch(url, { method: '${method}' }).then(learned)`, node,
        path: `/secondaries/${id}`, method, refusals: [403] });
}

// What is read has an answer 200; the browser keeps it from the page.
async function readAll(from) {
  await page.goto(from.page);
  for (const node of [master, secondary])
    for (const path of ['/messages', '/messages/1', '/health', '/events'])
      for (const [how, script] of Object.entries(read)) {
        if (path === '/events' && how !== 'EventSource') continue; // it has no end
        const saw = await attempt({ page, from, how, script, node, path, method: 'GET', refusals: [200, 404, 406] });
        assert.equal(saw, 'nothing', `${from.name}: ${how} of ${path} on ${node.url}`);
      }
}

for (const from of [{ name: 'another site', page: other.url },
  { name: 'a site by name', page: `http://evil.example:${other.port}` }, { name: 'another port', page: near.url }]) {
  await sendAll(from);
  await readAll(from);
}

// A form that fills the whole tab shows the answer to the visitor, not to the page; and it changes nothing.
const left = await browser.newPage();
await left.goto(other.url);
await attempt({ page: left, from: { name: 'another site' }, how: 'form that fills the tab', node: master,
  path: '/messages', script: `submit(url, '_top') ?? 'nothing'`, type: 'text/plain', text: 'evil', refusals: [403] });

// ---- DNS rebinding: the attacker's name leads to the attacker's server first, and then to a node. The name and the
// port stay, so for the browser all is one origin. (It sends what was answered 421 once more, on another connection.)
async function rebind(program, settings) {
  const first = await hostile('127.0.64.5');
  const base = `http://rebound.example:${first.port}`;
  await page.goto(base);
  first.closeAllConnections();
  await new Promise((resolve) => first.close(resolve));
  const node = await nodeStart(program, { HOST: '127.0.64.5', PORT: String(first.port), ...settings });
  const unchanged = await ask(node, '/messages');
  const from = { name: `DNS rebinding to a ${program}`, base };
  for (const how of ['fetch cors', 'form', 'sendBeacon', 'XMLHttpRequest'])
    for (const type of ['text/plain', 'application/json'])
      for (const [path, text] of Object.entries({ '/messages': 'evil', '/register': register, '/replicate': replicate }))
        await attempt({ page, from, how, script: send[how], node, path, text, refusals: [421],
          type: how === 'form' ? 'text/plain' : type });
  await attempt({ page, from, how: 'fetch', script: `fetch(url, { method: 'DELETE' }).then(learned)`, node,
    path: '/secondaries/s1', method: 'DELETE', refusals: [421] });
  for (const path of ['/messages', '/health', '/events', '/ui'])
    for (const how of ['fetch cors', 'EventSource', 'a frame', 'a script element'])
      await attempt({ page, from, how, script: read[how], node, path, method: 'GET', refusals: [421] });
  assert.deepEqual(await ask(node, '/messages'), unchanged);
  await node.stop();
}
await rebind('master', {});
await rebind('secondary', { SECONDARY_ID: 's3', MASTER_URL: nobody });

assert.equal(await state(), before);
for (const [way, counts] of Object.entries(told))
  console.log(`${way}: ${Object.entries(counts).map(([answer, count]) => `${count} × ${answer}`).join(', ')}`);
console.log(`${tries} attempts: nothing was appended, registered, removed or read`);

// ---- the node's own pages may: by its address, and by a name that no stranger can own
for (const base of [master.url, `http://near:${master.port}`]) {
  await page.goto(`${base}/messages`);
  assert((await page.content()).includes(secret));
  for (const [type, text] of [['text/plain', 'mine'], ['application/json', '{"message":"mine, too"}']]) {
    const answer = await page.evaluate(async ([type, body]) =>
      (await fetch('/messages', { method: 'POST', headers: { 'Content-Type': type }, body })).status, [type, text]);
    assert.equal(answer, 201, `a POST as ${type} by a page of ${base}`);
    console.log(`a page of ${base}: POST as ${type}: ${answer}`);
  }
}
assert.deepEqual((await ask(master, '/messages')).messages, [secret, 'mine', 'mine, too', 'mine', 'mine, too']);

await browser.close();
for (const server of [other, near]) { server.closeAllConnections(); server.close(); }
for (const node of nodes) assert.equal(await node.stop(), 0);
