// test/openapi/check.js: docs/openapi.yaml and src/ui/openapi.json against each other, against the rules of OpenAPI, and
// against a live cluster, to which every example is sent. See the top of the YAML for how its examples belong together.
//
// Environment: TOOLS, a folder with node_modules; MASTER and SECONDARY, URLs of nodes with the messages a, b and c; TOKEN of
// theirs; WRITE=1 writes the JSON anew.
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const http = require('node:http');
const {createRequire} = require('node:module');
const path = require('node:path');

const tools = createRequire(path.join(process.env.TOOLS, 'package.json'));
const {createConfig, formatProblems, getTotals, lint, parseYaml} = tools('@redocly/openapi-core');
const Ajv = tools('@redocly/ajv/dist/2020').default;
const YAML = 'docs/openapi.yaml';
const JSON_FILE = 'src/ui/openapi.json';
const SENT_MS = 10000; // for an answer
const STREAM_MS = 500; // for what a stream sends at once

// ---- what an example cannot say ------------------------------------------------------------------------------------
// Of the live cluster, or wrong on purpose.
const live = {
    'GET /messages not_modified': async (request) => {
        request.fields['If-None-Match'] = (await send({method: 'GET', url: request.base + '/messages'})).fields.etag;
    },
    'POST /messages empty': (request) => body(request, 'application/json', '{"message":""}'),
    'POST /messages bad_w': (request) => body(request, 'application/json', '{"message":"hello","w":0}'),
    'POST /messages form': (request) => body(request, 'multipart/form-data; boundary=b', '--b--'),
    'POST /messages other_site': (request) => (request.fields.Origin = 'http://evil.example'),
    'POST /messages expect': async (request) => {
        const health = JSON.parse((await send({method: 'GET', url: process.env.MASTER + '/health'})).body);
        request.url = request.url.replace('expect=8', `expect=${health.last_id + 1}`);
    },
    'POST /register register_text': (request) => body(request, 'text/plain', 'hello'),
    'POST /replicate no_messages': (request) => body(request, 'application/json', '{"first":4}'),
    'POST /replicate replicate_text': (request) => body(request, 'text/plain', 'hello'),
    'DELETE /secondaries/{id} remove': (request) => register(request),
    'DELETE /secondaries/{id} remove_no_token': (request) => delete request.fields.Authorization,
    'GET /pending few': async () => {
        send({method: 'POST', url: process.env.MASTER + '/messages?w=9&timeout=2', body: 'waits'});
        await new Promise((resolve) => setTimeout(resolve, 300));
    },
};

function body(request, type, text) {
    request.fields['Content-Type'] = type;
    request.body = text;
}

// A member that DELETE may remove.
async function register(request) {
    const answer = await send({method: 'POST', url: request.base + '/register', fields: {...request.fields,
        'Content-Type': 'application/json'}, body: '{"id":"by-hand","url":"http://127.0.0.1:9"}'});
    assert.strictEqual(answer.status, 200, answer.body);
}

// ---- requests ------------------------------------------------------------------------------------------------------

// Of a stream what has come after a while.
function send({method, url, fields = {}, body}) {
    return new Promise((resolve, reject) => {
        const request = http.request(url, {method, headers: fields, timeout: SENT_MS, agent: false}, (answer) => {
            let text = '';
            const done = () => resolve({status: answer.statusCode, fields: answer.headers, body: text});
            const endless = /event-stream/.test(answer.headers['content-type']);
            if (endless)
                setTimeout(() => { done(); request.destroy(); }, STREAM_MS);
            answer.setEncoding('utf8').on('data', (piece) => (text += piece)).on('end', done);
            answer.on('error', endless ? () => {} : reject);
        });
        request.on('timeout', () => request.destroy(new Error(`no answer within ${SENT_MS} ms`))).on('error', reject);
        if (body !== undefined)
            request.setHeader('Content-Length', Buffer.byteLength(body));
        request.end(body);
    });
}

// ---- the document --------------------------------------------------------------------------------------------------

let doc;

function follow(node) {
    return node && node.$ref ? follow(node.$ref.slice(2).split('/').reduce((at, key) =>
        at[key.replace(/~1/g, '/').replace(/~0/g, '~')], doc)) : node;
}

// Each example of an answer is a case: {key, name, tag, method, path, operation, status, answer, type, example}.
function* cases() {
    for (const [at, item] of Object.entries(doc.paths))
        for (const [method, operation] of Object.entries(item))
            for (const [status, reference] of Object.entries(operation.responses)) {
                const answer = follow(reference);
                const shared = reference.$ref; // its examples are of several operations: those that have such a request
                const about = {method: method.toUpperCase(), path: at, operation, status, answer};
                const add = (name, more) => ({...about, name, key: `${about.method} ${at} ${name}`,
                                              tag: operation.tags[0], ...more});
                for (const name of answer['x-examples'] || [])
                    yield add(name, {});
                for (const [type, media] of Object.entries(answer.content || {}))
                    for (const [name, example] of Object.entries(media.examples || {}))
                        if (!shared || requests_of(operation).has(name))
                            yield add(name, {type, media, example, live: example['x-live'] !== false,
                                             tag: example['x-node'] || operation.tags[0]});
            }
}

function requests_of(operation) {
    const names = new Set();
    for (const parameter of (operation.parameters || []).map(follow))
        Object.keys(parameter.examples || {}).forEach((name) => names.add(name));
    for (const media of Object.values(operation.requestBody?.content || {}))
        Object.keys(media.examples || {}).forEach((name) => names.add(name));
    return names;
}

function request_of(one, base) {
    const request = {method: one.method, base, fields: {}, name: one.name};
    let target = one.path;
    const query = new URLSearchParams();
    for (const parameter of (one.operation.parameters || []).map(follow)) {
        const example = parameter.examples?.[one.name];
        assert(example || !parameter.required, `${one.key}: no example of ${parameter.name}`);
        if (!example)
            continue;
        if (parameter.in === 'path')
            target = target.replace(`{${parameter.name}}`, encodeURIComponent(example.value));
        else if (parameter.in === 'query')
            query.append(parameter.name, example.value);
        else
            request.fields[parameter.name] = String(example.value);
    }
    for (const [type, media] of Object.entries(one.operation.requestBody?.content || {}))
        if (media.examples?.[one.name]) {
            const {value} = media.examples[one.name];
            body(request, type, /json/.test(type) ? JSON.stringify(value) : value);
        }
    if (one.operation.security)
        request.fields.Authorization = `Bearer ${process.env.TOKEN}`;
    if (one.type && !/json$|^text\/plain/.test(one.type) || one.type === 'application/x-ndjson')
        request.fields.Accept = one.type;
    request.url = base + target + (query.size ? `?${query}` : '');
    return request;
}

// ---- answers -------------------------------------------------------------------------------------------------------

// What the example has, the answer has, in the same kinds of values; where both have elements, in the first ones.
function same_shape(example, got, at) {
    if (example === null || got === null)
        return;
    assert.strictEqual(typeof got, typeof example, `${at} is ${JSON.stringify(got)}`);
    assert.strictEqual(Array.isArray(got), Array.isArray(example), at);
    if (Array.isArray(example)) {
        if (example.length && got.length)
            same_shape(example[0], got[0], `${at}[0]`);
    } else if (typeof example === 'object') {
        for (const key of Object.keys(example)) {
            assert(key in got, `${at} has no ${key}: ${JSON.stringify(got)}`);
            same_shape(example[key], got[key], `${at}.${key}`);
        }
    }
}

// Of text: the first word of the example's lines.
function same_lines(example, got) {
    const words = (text) => text.split('\n').map((line) => line.match(/^[#"{<!\w]*/)[0]);
    const head = words(example);
    assert.deepStrictEqual(words(got).slice(0, head.length - 1), head.slice(0, -1));
}

function check_answer(one, answer, valid) {
    assert.strictEqual(answer.status, Number(one.status), answer.body);
    for (const [name, header] of Object.entries(one.answer.headers || {}))
        if (follow(header).required)
            assert(name.toLowerCase() in answer.fields, `no field ${name}`);
    if (!one.type) {
        assert.strictEqual(answer.body, '');
        return;
    }
    assert(answer.fields['content-type'].startsWith(one.type.split(';')[0]), answer.fields['content-type']);
    if (/json$/.test(one.type) && one.type !== 'application/x-ndjson') {
        const got = JSON.parse(answer.body);
        assert(answer.body.endsWith('\n'), 'no newline at its end');
        valid(one, got);
        same_shape(one.example.value, got, 'body');
    } else if (one.type === 'text/html' || one.type.startsWith('text/plain')) {
        assert(answer.body.length > one.example.value.length);
    } else {
        same_lines(one.example.value, answer.body);
    }
}

async function check_live() {
    const ajv = new Ajv({strict: false, allErrors: true, validateFormats: false});
    ajv.addSchema(doc, 'doc');
    const pointer = (key) => key.replace(/~/g, '~0').replace(/\//g, '~1');
    const valid = (one, got) => {
        const schema = one.media.schema.$ref ? {$ref: `doc${one.media.schema.$ref}`} : {$ref: 'doc#/paths/' +
            [one.path, one.method.toLowerCase(), 'responses', one.status, 'content', one.type, 'schema'].map(pointer)
            .map(encodeURIComponent).join('/')};
        const check = ajv.compile(schema);
        assert(check(got), `${ajv.errorsText(check.errors)}: ${JSON.stringify(got)}`);
    };
    const urls = {Master: [process.env.MASTER], Secondary: [process.env.SECONDARY]};
    const counts = {sent: 0, failed: 0, seldom: 0};
    const overridden = new Set(Object.keys(live));
    for (const one of cases()) {
        overridden.delete(one.key);
        if (one.live === false) {
            counts.seldom++;
            continue;
        }
        for (const base of urls[one.tag] || [...urls.Master, ...urls.Secondary]) {
            const request = request_of(one, base);
            await live[one.key]?.(request);
            counts.sent++;
            try {
                check_answer(one, await send(request), valid);
            } catch (error) {
                counts.failed++;
                console.error(`openapi: ${one.key} at ${base}: ${error.message}`);
            }
        }
    }
    for (const key of overridden)
        console.error(`openapi: no example is called ${key}`);
    console.log(`openapi: ${counts.sent} examples sent, ${counts.failed} answered otherwise; ` +
                `${counts.seldom} answers are not to be had from this cluster`);
    return counts.failed === 0 && overridden.size === 0;
}

// ---- the files -----------------------------------------------------------------------------------------------------

async function check_rules() {
    const config = await createConfig({extends: ['recommended'], rules: {
        'operation-4xx-response': 'off', // `default` has them
        'no-server-example.com': 'off',
        'no-unused-components': 'off', // an event's data is one
        'no-invalid-media-type-examples': {severity: 'error', allowAdditionalProperties: true},
        'no-invalid-parameter-examples': 'off', // some are wrong on purpose
        'operation-operationId-unique': 'error',
        'security-defined': 'error',
    }});
    const problems = await lint({ref: YAML, config});
    formatProblems(problems, {format: 'stylish', totals: getTotals(problems), version: ''});
    return problems.length === 0;
}

async function main() {
    doc = parseYaml(fs.readFileSync(YAML, 'utf8'));
    const text = JSON.stringify(doc) + '\n';
    if (process.env.WRITE) {
        fs.writeFileSync(JSON_FILE, text);
        console.log(`openapi: ${JSON_FILE} is written; make openapi checks it`);
        return;
    }
    assert(fs.readFileSync(JSON_FILE, 'utf8') === text, `${JSON_FILE} is not what ${YAML} says: make openapi WRITE=1`);
    const health = JSON.parse((await send({method: 'GET', url: process.env.MASTER + '/health'})).body);
    assert.strictEqual(doc.info.version, health.version, 'info.version is another than the program\'s');
    const served = await send({method: 'GET', url: process.env.SECONDARY + '/openapi.json'});
    assert(served.body === text, 'GET /openapi.json answers another text');
    const ruled = await check_rules();
    process.exitCode = await check_live() && ruled ? 0 : 1;
}

main().catch((error) => {
    console.error(`openapi: ${error.message}`);
    process.exitCode = 1;
});
