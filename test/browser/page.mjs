// The live page on a live cluster, as people see and use it, at two widths. With --picture FILE it only takes the
// picture for the documentation.
import assert from 'node:assert';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { ask, browserStart, eventually, nodeStart, sleep } from './cluster.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SLOW_S = 4; // there is much to look at while a POST waits

async function clusterStart(delay) {
  const master = await nodeStart('master', { HOST: '127.0.64.21', NODES: '3', HEARTBEAT_INTERVAL: '0.5' });
  const common = { HOST: '127.0.64.22', MASTER_URL: master.url };
  const secondaryStart = () => nodeStart('secondary', { ...common, SECONDARY_ID: 'secondary' });
  const secondary = await secondaryStart();
  await eventually('it registers', async () => (await ask(master, '/health')).secondaries.length === 1);
  const settings = { ...common, SECONDARY_ID: 'secondary_slow', SECONDARY_DELAYS: String(delay) };
  const slow = await nodeStart('secondary', settings);
  await eventually('both are ready', async () => (await fetch(`${slow.url}/readyz`)).ok);
  const stop = async () => { for (const node of [slow, secondary, master]) await node.stop(); };
  return { master, secondary, slow, secondaryStart, stop };
}

// ---- a page that complains: of errors, of what its policy forbids, of requests to others, of a width that overflows

async function pageOpen(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 820 }, ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (line) => ['error', 'warning'].includes(line.type()) && complaints.push(line.text()));
  page.on('pageerror', (error) => complaints.push(error.stack));
  page.on('dialog', (dialog) => { complaints.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on('request', (request) => new URL(request.url()).origin === new URL(url).origin
    || request.url().startsWith('data:') || complaints.push(`request to ${request.url()}`));
  await page.addInitScript(() => document.addEventListener('securitypolicyviolation', (event) =>
    console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`)));
  await page.goto(url);
  await page.waitForSelector('#link:text("live")');
  page.check = async (what) => {
    assert.deepEqual(complaints, [], what);
    const [has, fits] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert(has <= fits, `${what}: ${has} pixels wide in a window of ${fits}`);
    const { violations } = await page.evaluate(`${axe}; axe.run()`);
    const grave = violations.filter(({ impact }) => ['serious', 'critical'].includes(impact));
    const words = grave.map(({ id, nodes }) => [id, nodes.map(({ html, any }) => [html, any[0]?.message])]);
    assert.deepEqual(words, [], what);
  };
  page.count = (selector) => page.locator(selector).count();
  page.sentence = () => page.locator('#sentences li').first().textContent();
  page.says = (pattern) => eventually(`the sentence ${pattern}`, async () => pattern.test(await page.sentence()));
  page.close = () => context.close();
  return page;
}

async function post(page, text, { w = '', timeout = '' } = {}) {
  await page.selectOption('#w', w);
  await page.fill('#timeout', timeout);
  await page.fill('#text', text);
  await page.press('#text', 'Enter');
}

const row = (page, id) => page.locator('#rows tr').filter({ has: page.locator(`td:first-child:text-is("${id}")`) });

// ---- what a POST looks like

// A POST waits for the slow one: hatched, with a sentence; then it is green. Its text is markup, and stays text.
async function waits(page, id, text) {
  await post(page, text);
  await page.waitForSelector('rect.bar.waits');
  const [fill, lines] = await page.evaluate(() =>
    [getComputedStyle(document.querySelector('rect.bar.waits')).fill, document.querySelectorAll('#hatch rect').length]);
  assert.equal(fill, 'url("#hatch")');
  assert.equal(lines, 2);
  const says = new RegExp(`^message ${id}: w=3, 2 of 3 hold it, waits for secondary_slow \\((\\d\\.\\d) s\\)$`);
  const waited = async () => Number(says.exec(await page.sentence())?.[1] ?? 0);
  const first = await eventually(`the sentence of message ${id}`, waited);
  assert(first < SLOW_S);
  assert.deepEqual([await page.count('circle.sent'), await page.count('circle.ack')], [2, 1]);
  await eventually('the table tells it', async () => /waits · 2 of 3$/.test(await row(page, id).textContent()));
  await page.check('while a POST waits');
  await eventually('its time goes on', async () => await waited() > first || await page.count('rect.bar.held'));
  await page.waitForSelector('rect.bar.held');
  assert.deepEqual([await page.count('rect.bar.waits'), await page.count('circle.ack')], [0, 2]);
  await page.says(new RegExp(`^message ${id}: w=3, 3 of 3 hold it, 201 after \\d+\\.\\d s$`));
  await page.waitForSelector(`#answers li:first-child:has-text('201 after')`);
  assert.match(await page.locator('#answers li').first().textContent(), new RegExp(`{"id":${id},"w":3,"acks":3}`));
  assert.equal(await row(page, id).locator('td').nth(1).textContent(), text);
  assert.equal(await page.count('#rows script, #rows img, #answers img'), 0);
  console.log(await page.sentence());
}

// Amber at the end of its time.
async function late(page, id) {
  await post(page, 'not enough nodes', { w: '4', timeout: '0.3' });
  await page.waitForSelector('rect.bar.late');
  await page.waitForSelector(`#answers li:first-child:has-text('202 after')`);
  await page.says(new RegExp(`^message ${id}: w=4, \\d of 4 hold it, 202 after \\d+ ms$`));
  console.log(await page.sentence());
}

// Letters from right to left, an override of the direction and an unclosed isolate move nothing but themselves.
async function rightToLeft(page, id) {
  const text = '\u202e\u2067שלום עולם 123 abc';
  await post(page, text, { w: '1' });
  await row(page, id).waitFor();
  assert.equal(await row(page, id).locator('td').nth(1).textContent(), text);
  const cells = (one) => row(page, one).evaluate((line) => [...line.children].map((cell) =>
    [Math.round(cell.getBoundingClientRect().left), getComputedStyle(cell).direction]));
  const [before, after] = await Promise.all([cells(id), cells(id - 1)]);
  assert.deepEqual(before.map(([left]) => left), after.map(([left]) => left));
  assert.deepEqual(before.map(([, direction]) => direction), ['ltr', 'rtl', 'ltr']);
  await row(page, id).locator('td:text("201 · 1 of 1 · ")').waitFor();
}

// The curl line does what the form does, in a shell.
async function curls(page, master) {
  for (const text of [`it's "$(echo no)" \\ \`date\` !! $HOME`, '@/etc/hostname', '-d', 'ä€😀']) {
    await page.selectOption('#w', '2');
    await page.fill('#timeout', '5');
    await page.fill('#text', text);
    const line = await page.locator('#curl').textContent();
    const answer = JSON.parse(execFileSync('bash', ['-c', line.replace('curl ', 'curl -sS ')], { encoding: 'utf8' }));
    assert.equal((await ask(master, `/messages/${answer.id}`)).message, text, line);
    assert.equal(answer.w, 2);
  }
}

async function onMaster(browser, { master }, path, width, colorScheme) {
  const page = await pageOpen(browser, master.url + path, { viewport: { width, height: 820 }, colorScheme });
  const { last_id: last } = await ask(master, '/health');
  assert.equal(await page.count('#chips li'), 3);
  assert.deepEqual(await page.locator('.state').allTextContents(), ['ok', 'healthy', 'healthy']);
  if (!last) assert(await page.isVisible('#empty'));
  await page.check('before a POST');
  await waits(page, last + 1, `<script>document.title = "stolen"</script><img src=x onerror=alert(1)>`);
  assert.equal(await page.title(), 'master · Replicated log');
  await late(page, last + 2);
  await rightToLeft(page, last + 3);
  await curls(page, master);
  await page.check('after all');
  const posts = Array.from({ length: 60 }, (_, i) =>
    sleep(20 * i).then(() => fetch(`${master.url}/messages`, { method: 'POST', body: `load ${i}` })));
  for (const kind of ['waits', 'sent', 'held']) await page.waitForSelector(`rect.band.${kind}`);
  await Promise.all(posts);
  await page.check('under load');
  await page.close();
}

// ---- other pages

async function onSecondary(browser, { master, slow }) {
  const page = await pageOpen(browser, `${slow.url}/ui`, { viewport: { width: 400, height: 820 } });
  assert(!await page.isVisible('form'));
  assert.equal(await page.getAttribute('#master', 'href'), `${master.url}/ui`);
  assert.equal(await page.count('#chips li'), 1);
  const { status } = await fetch(`${master.url}/messages?w=1`, { method: 'POST', body: 'soon' });
  assert.equal(status, 201);
  await page.waitForSelector('rect.bar.waits');
  await page.check('while a message does not show');
  await page.waitForSelector('rect.bar.held');
  await page.waitForSelector('#rows td:has-text("soon")');
  await page.check('when it shows');
  await page.close();
}

// No other page can show it in a frame, to have its visitor click there.
async function framed(browser, { master, slow }) {
  const page = await browser.newPage();
  await page.goto(`${slow.url}/messages`);
  await page.evaluate((src) => document.body.append(Object.assign(document.createElement('iframe'), { src })),
    `${master.url}/ui`);
  const place = () => page.frames()[1]?.evaluate(() => location.href).catch(() => '');
  await eventually('the frame shows an error', async () => (await place())?.startsWith('chrome-error:'));
  await page.close();
}

// Without motion the picture is drawn anew once a second.
async function calm(browser, { master }) {
  const page = await pageOpen(browser, `${master.url}/ui`, { reducedMotion: 'reduce' });
  const places = new Set();
  for (const end = Date.now() + 1500; Date.now() < end; await sleep(20))
    places.add(await page.getAttribute('#strip', 'transform'));
  assert(places.size <= 3, `${places.size} pictures in 1.5 s`);
  await page.close();
}

async function deadMember(browser, { master, secondary, secondaryStart }) {
  const page = await pageOpen(browser, `${master.url}/ui`);
  await secondary.stop('SIGKILL');
  await page.waitForSelector('.state.failed:text("unhealthy")');
  await post(page, 'who lacks it?');
  await page.says(/ waits for secondary \(/);
  await page.check('with a dead member');
  await post(page, 'the second');
  assert(await page.isEnabled('button'));
  await post(page, 'the third'); // no more of this page's: the browser would have no connection left to ask
  assert(await page.isDisabled('button'));
  const again = await secondaryStart();
  await page.waitForSelector('button:enabled');
  await page.close();
  await again.stop();
}

// A master that waits for its members appends nothing, and the page says why.
async function gate(browser) {
  const master = await nodeStart('master', { HOST: '127.0.64.24', NODES: '2' });
  const page = await pageOpen(browser, `${master.url}/ui`);
  await post(page, 'the very first');
  await page.says(/^a POST waits to be appended: members must answer first \(\d\.\d s\)$/);
  const settings = { HOST: '127.0.64.24', MASTER_URL: master.url, SECONDARY_ID: 'late' };
  const secondary = await nodeStart('secondary', settings);
  await page.says(/^message 1: w=2, 2 of 2 hold it, 201 after /);
  await page.waitForSelector('rect.bar.held');
  await page.check('behind the gate');
  await page.close();
  await secondary.stop();
  await master.stop();
}

// The node goes away and comes back with another log: the page says so and starts over, by itself.
async function restart(browser) {
  const before = await nodeStart('master', { HOST: '127.0.64.23' });
  const page = await pageOpen(browser, `${before.url}/ui`);
  await post(page, 'before');
  await page.waitForSelector('#rows td:has-text("before")');
  before.signal('SIGSTOP');
  await page.waitForSelector('#link:text("no answer")');
  before.signal('SIGCONT');
  await page.waitForSelector('#link:text("live")');
  await before.stop();
  await page.waitForSelector('#link:text("no answer")');
  const after = await nodeStart('master', { HOST: '127.0.64.23', PORT: String(before.port) });
  await page.waitForSelector('#link:text("live")');
  await page.waitForSelector('#empty', { state: 'visible' });
  await post(page, 'after');
  await page.waitForSelector('#rows td:has-text("after")');
  assert.equal(await page.count('#rows tr'), 1);
  await page.close();
  await after.stop();
}

async function sizes({ master }) {
  let bytes = 0;
  for (const path of ['/ui', '/ui.js', '/ui.css'])
    bytes += (await (await fetch(master.url + path)).arrayBuffer()).byteLength;
  assert(bytes <= 30000, `${bytes} bytes`);
  console.log(`the page has ${bytes} bytes`);
}

// ---- the picture: as if the master were the demo's

async function picture(cluster, file) {
  const { master } = cluster;
  const browser = await browserStart({ '127.0.0.2:5000': `${master.host}:${master.port}` });
  const size = { deviceScaleFactor: 1.5, viewport: { width: 1280, height: 860 } };
  const page = await pageOpen(browser, 'http://127.0.0.2:5000/', size);
  await post(page, 'all three nodes hold this');
  await sleep(2600);
  await post(page, 'this one waits for a second', { timeout: '1' });
  await sleep(2100);
  await post(page, 'two are enough', { w: '2' });
  await sleep(700);
  await post(page, 'who holds me?');
  await page.says(/\(1\.[2-7] s\)/);
  await page.screenshot({ path: file });
  await browser.close();
}

const forPicture = process.argv[2] === '--picture';
const cluster = await clusterStart(forPicture ? 2 : SLOW_S);
if (forPicture) await picture(cluster, process.argv[3]);
else {
  const browser = await browserStart();
  await sizes(cluster);
  await onMaster(browser, cluster, '/', 1280, 'light');
  await onMaster(browser, cluster, '/ui', 400, 'dark');
  await onSecondary(browser, cluster);
  await framed(browser, cluster);
  await calm(browser, cluster);
  await deadMember(browser, cluster);
  await gate(browser);
  await restart(browser);
  await browser.close();
  console.log('the page is as it should be');
}
await cluster.stop();
