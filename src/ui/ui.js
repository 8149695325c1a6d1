// The live page: what GET /events tells, as a picture, sentences and a table. Whom a POST waits for comes from
// GET /pending, texts come from GET /messages.
'use strict';

const ui = {}; // the page's elements by their ids
for (const element of document.querySelectorAll('[id]')) ui[element.id] = element;
const now = () => performance.now();
const calm = matchMedia('(prefers-reduced-motion: reduce)');
const narrow = matchMedia('(max-width: 719px)');
const OPEN = 0, NOBODY = 1; // a run's status, beside HTTP's: it waits; nobody saw the answer

// A run is what was appended (on a secondary: stored) in one moment.
let health; // what GET /health says
let runs = []; // in the order of their ids: { first, last, count, at, end, status, … }
let waiting = [], more = 0; // rows of GET /pending, and how many are not told
let marks = []; // what concerns all lanes: { at, end, text }
let heardAt = 0; // when it said so
let isAway; // it does not answer
let rate = 0; // messages a second
let burst = 0, burstAt = 0; // answers at once

function make(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

let into; // what shapes are added to
function shape(name, attributes) {
  const element = into.appendChild(document.createElementNS('http://www.w3.org/2000/svg', name));
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  return element;
}

const line = (kind, x1, x2, y1, y2) => shape('line', { class: kind, x1, x2, y1, y2 });
const box = (kind, x, y, width, height) => shape('rect', { class: kind, x, y, width, height });
const dot = (kind, cx, cy, r) => shape('circle', { class: kind, cx, cy, r });
const write = (kind, x, y, text) => shape('text', { class: kind, x, y }).append(text);

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const isMaster = () => health?.role === 'master';
const isUrl = (url) => /^https?:\/\//.test(url);
const cut = (text, length) => text.length > length ? `${text.slice(0, length)}…` : text;
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
const duration = (ms) => ms < 10 ? `${ms.toFixed(1)} ms` : ms < 1000 ? `${Math.round(ms)} ms` : seconds(ms);
const say = (text) => setText(ui.said, text);

// ---- what the node tells

const runOf = (id) => runs.findLast(({ first, last }) => first <= id && id <= last);

const mark = (text, end = now()) => marks.push({ at: now(), end, text });

function runEnds(run, status) {
  run.end ??= now();
  run.status = Math.max(run.status, status);
  changed(run);
}

const hears = {
  at(data) {
    const before = health ?? data;
    const first = isAway !== false;
    rate = Math.max(0, data.last_id - before.last_id) * 1000 / (now() - heardAt);
    heardAt = now();
    health = data;
    setAway(false);
    if (before.log && (data.log !== before.log || data.last_id < before.last_id)) startOver();
    showNode();
    if (isMaster() && (first || waiting.length || runs.some((run) => run.status === OPEN))) askPending();
    askMessages(data.last_id);
  },
  appended: ({ first, last }) => runBegins(first, last),
  stored: ({ first, last }) => runBegins(first, last),
  shown({ last }) {
    for (const run of runs) if (run.status === OPEN && run.last <= last) runEnds(run, 200);
    askMessages(last);
  },
  sent({ node, first, last }) {
    for (const run of runs)
      if (run.last >= first && run.first <= last && !run.acked[node]) {
        (run.sent[node] ??= []).push(now());
        changed(run);
      }
  },
  ack({ node, last, ms }) {
    for (const run of runs)
      if (run.last <= last && !run.acked[node]) {
        run.acked[node] = Math.min(now(), (run.sent[node]?.at(-1) ?? now()) + ms);
        changed(run);
      }
    for (const row of waiting) {
      const at = row.id <= last ? row.waits_for.indexOf(node) : -1;
      if (at >= 0) row.acks += row.waits_for.splice(at, 1).length;
    }
  },
  answered({ id, status, w, acks, ms }) {
    const run = runOf(id), waited = waiting.some((row) => row.id === id);
    waiting = waiting.filter((row) => row.id !== id);
    if (status >= 400) mark(status);
    if (!run) return;
    run.answers[id] = { status, w, acks, ms };
    run.answered++;
    run.worst = Math.max(run.worst, status);
    if (run.count === 1) run.end = Math.min(now(), run.at + ms);
    if (run.answered >= run.count) runEnds(run, run.worst);
    // of many answers within 20 ms the 16th event stands for those that have none
    if (now() - burstAt > 20) [burst, burstAt] = [0, now()];
    if (++burst > 15)
      for (const one of runs)
        if (one.status <= NOBODY && one.last <= id && !(one.end < now() - 100)) runEnds(one, one.worst = status);
    if (waited) say(`message ${id}: ${status} after ${duration(ms)}, ${acks} of ${w} hold it`);
  },
  member({ id, state }) {
    for (const row of health.secondaries) if (row.id === id) row.state = state;
    showNode();
    say(`${id} is ${state}`);
  },
  lost: ({ count }) => mark(`${count} events missed`),
};

function runBegins(first, last, at = now()) {
  const count = last - first + 1;
  const run = { first, last, count, at, status: OPEN, worst: 0, answered: 0, answers: {}, sent: {}, acked: {} };
  runs.push(run);
  changed(run);
  if (isMaster()) {
    setTimeout(() => run.status === OPEN && askPending(), 150);
    askMessages(last);
  }
}

// ---- the stream of events

let source;
function connect() {
  source?.close();
  source = new EventSource('/events');
  heardAt = now() - 2000;
  for (const type in hears) source.addEventListener(type, ({ data }) => hears[type](JSON.parse(data)));
  source.onerror = () => {
    setAway(true);
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 1000);
  };
}

function setAway(away) {
  if (away === isAway) return;
  isAway = away;
  if (away) mark('no answer', null);
  else for (const one of marks) one.end ??= now();
  ui.link.className = away ? 'failed' : 'held';
  setText(ui.link, away ? 'no answer, trying again' : 'live');
  say(`the node ${away ? 'does not answer' : 'answers'}`);
}

// It is another list than before.
function startOver() {
  [runs, rows, waiting] = [[], [], []];
  messages = new Map();
  shownTo = askTo = 0;
  ui.rows.replaceChildren();
  mark('another log');
  rebuild();
}

// ---- what is asked for

const get = async (path) => (await fetch(path)).json();

let asksPending = false;
async function askPending() {
  if (asksPending) return;
  asksPending = true;
  const asked = now();
  try {
    const { count, pending } = await get('/pending');
    const known = count > pending.length ? pending.at(-1).id : Infinity; // all that wait up to here are told
    const before = waiting.length;
    waiting = pending.map((row) => ({ ...row, since: asked - row.age * 1000, asked }));
    if (!before && count) say(sentence(waiting[0]));
    more = count - pending.length;
    for (const { id, since, age } of waiting) // since before this page was here
      if (id && age > 1 && !runOf(id)) runBegins(id, id, since);
    runs.sort((a, b) => a.first - b.first);
    for (const run of runs)
      if (run.at < asked && run.last <= known) {
        run.waits = waiting.filter(({ id }) => id >= run.first && id <= run.last).length;
        if (!run.waits && run.status === OPEN) runEnds(run, run.worst || NOBODY);
        if (run.waits && run.answered < run.count) Object.assign(run, { status: OPEN, end: undefined });
        changed(run);
      }
  } catch { /* the next `at` asks again */ }
  asksPending = false;
}

let messages = new Map(); // texts by id, the last 50
let shownTo = 0; // the last id that was fetched
let askTo = 0; // the last id that shows
let askTimer;
function askMessages(last) {
  askTo = Math.max(askTo, last);
  if (last > shownTo && !askTimer) askTimer = setTimeout(fetchMessages, messages.size ? 250 : 0);
}

async function fetchMessages() {
  const list = messages;
  const from = Math.max(shownTo + 1, askTo - 49);
  try {
    const { messages: texts } = await get(`/messages?from=${from}&limit=50`);
    if (list === messages && texts.length) {
      texts.forEach((text, i) => list.set(from + i, text));
      shownTo = from + texts.length - 1;
      for (const id of list.keys()) if (id <= shownTo - 50) list.delete(id);
    }
  } catch { /* the next `at` asks again */ }
  askTimer = undefined;
  if (shownTo >= from) askMessages(askTo);
}

// Whom a POST waits for: a row of GET /pending.
function names({ w, acks, waits_for: nodes }) {
  const some = nodes.slice(0, 3).join(', ') + (nodes.length > 3 ? ` and ${nodes.length - 3} more` : '');
  const missing = w - acks - nodes.length;
  return missing < 0 ? `${w - acks} of ${some}` : missing === 0 ? some
    : `${some && `${some} and `}${missing} more to register`;
}

function sentence({ id, w, acks, since, asked, timeout, ...row }) {
  const left = timeout ? `, gives up in ${seconds(Math.max(0, asked + timeout * 1000 - now()))}` : '';
  const what = id ? `message ${id}: w=${w}, ${acks} of ${w} hold it, waits for ${names({ w, acks, ...row })}`
    : 'a POST waits to be appended: members must answer first';
  return `${what} (${seconds(now() - since)})${left}`;
}

const copying = ({ first, last, count, at }) => `message${count > 1 ? `s ${first} to` : ''} ${last}: stored, `
  + `not shown yet (${seconds(now() - at)})`;

function showSentences() {
  const all = isMaster() ? waiting : runs.filter((run) => run.status === OPEN);
  const rest = all.length + more - 2;
  const lines = all.slice(0, rest > 1 ? 2 : 3).map(isMaster() ? sentence : copying);
  let colour = 'waits';
  if (rest > 1) lines.push(`and ${rest} more`);
  if (!lines.length) { // the last answer stays until something waits again
    const run = runs.findLast((one) => one.answers[one.last]);
    const { status, w, acks, ms } = run?.answers[run.last] ?? {};
    lines.push(status ? `message ${run.last}: w=${w}, ${acks} of ${w} hold it, ${status} after ${duration(ms)}`
      : isMaster() ? 'No POST waits.' : 'All is shown.');
    colour = status ? kind(status) : '';
  }
  const list = ui.sentences.children;
  while (list.length > lines.length) ui.sentences.lastChild.remove();
  while (list.length < lines.length) ui.sentences.append(make('li'));
  lines.forEach((text, i) => {
    setText(list[i], text);
    list[i].className = colour;
  });
}

// The classes that give a colour.
const KINDS = { [OPEN]: 'waits', [NOBODY]: 'nobody', 202: 'late' };
const kind = (status) => KINDS[status] ?? (status >= 400 ? 'failed' : 'held');
const STATES = { ok: 'held', healthy: 'held', unhealthy: 'failed', refused: 'failed' };

function makeChip(name, url) {
  const title = isUrl(url) ? make('a', { href: `${url}/ui` }, name) : name;
  return make('li', {}, make('strong', {}, title), make('span'), make('span', { className: 'words' }),
    make('span', { className: 'error' }));
}

function fillChip(lane, state, words, error = '') {
  const [, first, second, third] = ui.chips.children[lane].children;
  const colour = STATES[state] ?? 'late';
  first.className = `state ${colour}`;
  setText(first, state.replace('_', ' '));
  setText(second, words);
  setText(third, error);
  third.title = error;
  ui.grid.children[lane].setAttribute('class', `lane ${colour}`);
}

const LANES_MAX = 12;
let lanesKey, lanes; // the members' ids; the node's own lane is above them
function showNode() {
  const { role, last_id: last, secondaries: members = [], refused = [] } = health;
  const shown = members.slice(0, LANES_MAX);
  const key = JSON.stringify([role, shown.map(({ id, url }) => [id, url])]);
  if (key !== lanesKey) {
    lanesKey = key;
    lanes = shown.map(({ id }) => id);
    ui.chips.replaceChildren(makeChip(role), ...shown.map(({ id, url }) => makeChip(id, url)));
    rebuild();
    return;
  }
  fillChip(0, health.status, `last id ${last}${rate >= 2 ? `, ${Math.round(rate)} a second` : ''}`, health.reason);
  shown.forEach(({ state, lag, last_seen: seen, error }, i) =>
    fillChip(i + 1, state, `lag ${lag}, seen ${seconds(seen * 1000)} ago`, error));
  const notes = refused.slice(0, 3).map(({ id, reason }) => `${id} is refused: ${reason}`);
  if (members.length > LANES_MAX) notes.push(`${members.length - LANES_MAX} more members have no lane`);
  setText(ui.notes, notes.join('\n'));
  setText(ui.node, `${role} at ${location.host}`);
  setText(ui.what, isMaster() ? 'answer' : 'shown');
  document.title = `${role} · Replicated log`;
  ui.append.hidden = ui.legend.hidden = !isMaster();
  ui.elsewhere.hidden = isMaster();
  if (isUrl(health.master)) Object.assign(ui.master, { href: `${health.master}/ui`, textContent: health.master });
  for (let w = ui.w.length - 2; w <= members.length + 2; w++) ui.w.add(make('option', {}, w));
}

function showMessages() {
  const table = ui.rows.children;
  const newest = table[0]?.messageId ?? 0;
  for (const [messageId, text] of messages)
    if (messageId > newest)
      ui.rows.prepend(make('tr', { messageId }, make('td', {}, messageId), make('td', { dir: 'auto' }, cut(text, 200)),
        make('td')));
  while (table.length > 50) ui.rows.lastChild.remove();
  for (const row of table) showAnswer(row);
  ui.empty.hidden = messages.size > 0;
}

function showAnswer(row) {
  const id = row.messageId, cell = row.lastChild;
  const run = runOf(id), answer = run?.answers[id], waits = waiting.find((one) => one.id === id);
  cell.className = answer ? kind(answer.status) : waits ? 'waits' : '';
  if (answer) setText(cell, `${answer.status} · ${answer.acks} of ${answer.w} · ${duration(answer.ms)}`);
  else if (waits) setText(cell, `waits · ${waits.acks} of ${waits.w}`);
  else if (run && !isMaster()) setText(cell, run.end ? `after ${duration(run.end - run.at)}` : 'not yet');
}

// ---- the picture: what changes is drawn anew, the strip moves

const LANE = 64, OWN_LANE = 112, ROW = 16, ROWS = 6, BIN_MS = 250;
const FAR = 100000; // what goes on ends beyond the right edge
let width, scale, base; // in pixels; in pixels a millisecond; the time at the strip's x = 0
let banded = false; // too much for bars: bands of BIN_MS
let rows = []; // of the master's bars: the last run in each
const dirty = new Set();
let changedAt;
const groups = new Map();

const x = (time) => (time - base) * scale;
const spanMs = () => width / scale;
const binOf = (run) => Math.floor(run.at / BIN_MS);
const labelled = () => narrow.matches ? 34 : 0; // on a narrow page a lane has its name above it
const laneTop = (lane) => lane === 0 ? 0 : OWN_LANE + labelled() + (lane - 1) * (LANE + labelled());
const laneMiddle = (lane) => laneTop(lane) + labelled() + (lane === 0 ? OWN_LANE : LANE) / 2;

function changed(run) {
  changedAt = now();
  if (!document.hidden) dirty.add(run);
}

function rebuild() {
  if (!lanes) return;
  width = ui.chart.clientWidth;
  scale = narrow.matches ? 0.08 : 0.11;
  base = now();
  groups.clear();
  ui.strip.replaceChildren();
  ui.grid.replaceChildren();
  into = ui.grid;
  const bottom = laneTop(lanes.length + 1);
  ui.chart.style.height = `${bottom}px`;
  for (let lane = 0; lane <= lanes.length; lane++) {
    line('lane', 0, lane && width, laneMiddle(lane), laneMiddle(lane));
    ui.chips.children[lane].style.height = `${laneTop(lane + 1) - laneTop(lane)}px`;
  }
  for (let ago = 2; ago * 1000 < spanMs(); ago += 2) {
    const at = width - ago * 1000 * scale;
    line('tick', at, at, 0, bottom);
    write('', at + 4, bottom - 5, `${ago} s ago`);
  }
  runs.forEach((run) => dirty.add(run));
  showNode();
}

// What is drawn next replaces what was drawn of this run or bin.
function drawInto(key) {
  into = ui.strip;
  if (!groups.has(key)) groups.set(key, shape('g'));
  into = groups.get(key);
  into.replaceChildren();
}

function drawBar(run) {
  drawInto(run);
  if (run.row === undefined) {
    const free = rows.findIndex(({ end }) => end + 46 / scale < run.at);
    run.row = free < 0 ? rows.length : free;
    rows[run.row] = run;
  }
  const left = x(run.at), size = run.end ? Math.max(4, x(run.end) - left) : FAR;
  const y = laneMiddle(0) + (run.row % ROWS - (ROWS - 1) / 2) * ROW;
  lanes.forEach((node, i) => {
    const middle = laneMiddle(i + 1), sent = run.sent[node] ?? [], ack = run.acked[node];
    for (const at of ack ? [...sent, ack] : sent) line('way', x(at), x(at), y, middle);
    if (sent.length) line('flight', x(sent[0]), ack ? x(ack) : FAR, middle, middle);
    for (const at of sent) dot('sent', x(at), middle, 5);
    if (ack) dot('ack', x(ack), middle, 3.5);
  });
  box(`bar ${kind(run.status)}`, left, y - 6, size, 12);
  write('id', left - 5, y + 4, run.count === 1 ? run.first : `${run.first}–${run.last}`);
}

// What was appended within BIN_MS: the height tells how much, the filled part how much of it is done.
function drawBand(bin, inBin) {
  drawInto(bin);
  const sum = (countOf) => inBin.reduce((total, run) => total + countOf(run), 0);
  const all = sum((run) => run.count);
  const grow = Math.min(1, 0.3 + Math.log10(all) / 4);
  const stack = (lane, height, parts) => {
    let y = laneMiddle(lane) + grow * height / 2;
    for (const name in parts) {
      const part = grow * height * parts[name] / all;
      if (part) box(`band ${name}`, x(bin * BIN_MS), y -= part, BIN_MS * scale + 0.5, part);
    }
  };
  const own = { held: 0, nobody: 0, late: 0, failed: 0, waits: 0 };
  for (const run of inBin) {
    const waits = run.status === OPEN ? run.waits ?? run.count - run.answered : 0;
    own.waits += waits;
    own[run.status === OPEN ? 'held' : kind(run.status)] += run.count - waits;
  }
  stack(0, OWN_LANE - 24, own);
  lanes.forEach((node, i) => stack(i + 1, LANE - 20, {
    held: sum((run) => run.acked[node] ? run.count : 0),
    sent: sum((run) => run.sent[node] && !run.acked[node] ? run.count : 0),
  }));
}

function drawMarks() {
  drawInto('marks');
  for (const { at, end, text } of marks) {
    box('mark', x(at), 0, end ? Math.max(1.5, x(end) - x(at)) : FAR, '100%');
    write('mark-text', x(at) + 5, labelled() + 12, text);
  }
  const edge = x(now() - spanMs());
  const older = banded ? runs.filter((run) => run.status === OPEN && x(run.at) < edge).length : 0;
  if (!older) return;
  box('bar waits', edge - 4, laneMiddle(0) - 30, 12, 60);
  write('', edge + 13, laneMiddle(0) + 4, `${older} older`);
}

// Forgets what neither waits nor shows any more.
function prune() {
  const oldest = now() - spanMs() - 2000;
  runs = runs.filter((run) => run.at > oldest || run.end > oldest || run.last > shownTo - 50
    || (run.status === OPEN && runs.length < 2000));
  marks = marks.filter(({ end }) => (end ?? Infinity) > oldest);
}

function draw() {
  const recent = runs.filter((run) => run.at > now() - spanMs() || run.status === OPEN);
  const open = recent.filter((run) => run.status === OPEN).length;
  const before = banded;
  banded = recent.length > (before ? 20 : 36) || open > (before ? 3 : ROWS);
  if (banded !== before || x(now()) > width) rebuild();
  if (banded) for (const bin of new Set([...dirty].map(binOf))) drawBand(bin, runs.filter((run) => binOf(run) === bin));
  else dirty.forEach(drawBar);
  dirty.clear();
  drawMarks();
  ui.strip.setAttribute('transform', `translate(${width - x(now())} 0)`);
}

function frame() {
  if (lanes && (dirty.size || marks.length || now() - changedAt < spanMs() + 1000)) draw();
  if (!calm.matches) requestAnimationFrame(frame);
}

// ---- the form sends what curl would

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

function path() {
  const query = new URLSearchParams([...new FormData(ui.form)].filter(([, value]) => value)).toString();
  return query ? `/messages?${query}` : '/messages';
}

function showCurl() {
  const option = ui.text.value.startsWith('@') ? '--data-raw' : '-d'; // -d @x sends the file x
  setText(ui.curl, `curl ${option} ${quoted(ui.text.value)} ${quoted(location.origin + path())}`);
}

let posts = 0; // of a browser's six connections to a node one has the events; three may wait
async function append(event) {
  event.preventDefault();
  const begun = now(), text = ui.text.value;
  const item = make('li', { className: 'waits' }, make('bdi', {}, cut(text, 30)), ': ');
  const outcome = item.appendChild(make('span', {}, 'waits …'));
  ui.answers.prepend(item);
  ui.answers.children[3]?.remove();
  ui.go.disabled = ++posts > 2;
  ui.text.select();
  setTimeout(() => item.className === 'waits' && askPending(), 150);
  try {
    const answer = await fetch(path(), { method: 'POST', body: text });
    outcome.textContent = `${answer.status} after ${duration(now() - begun)}: ${await answer.text()}`;
    item.className = kind(answer.status);
  } catch {
    item.className = 'failed';
    outcome.textContent = 'no answer; it may be appended, or not';
  }
  ui.go.disabled = --posts > 2;
}

ui.form.addEventListener('submit', append);
ui.form.addEventListener('input', showCurl);
document.addEventListener('visibilitychange', rebuild);
new ResizeObserver(rebuild).observe(ui.lanes);
calm.addEventListener('change', frame);
setInterval(() => {
  if (now() - heardAt > 3500) setAway(true);
  if (now() - heardAt > 10000 && source.readyState === EventSource.OPEN) connect(); // it is silent
  if (document.hidden) return;
  showSentences();
  showMessages();
}, 100);
setInterval(() => {
  prune();
  if (calm.matches) frame();
}, 1000);
showCurl();
connect();
frame();
