// proto/openapi.yaml is what the programs answer: it is valid, it names every route in the code and no other, and running servers give every status it names with
// the headers and bodies it describes, and no other headers.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import { createHmac, randomBytes } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv from 'ajv/dist/2020.js';
import { Validator } from '@seriousme/openapi-schema-validator';
import { parse } from 'yaml';
import { ROOT, Stack, tempFolder, until, within } from './stack.mjs';
import { openStream } from './sse.mjs';

// What no test can bring about here, and where it is tested.
const UNPROVOKED = ['gateway admin GET /healthz 503', 'publisher admin GET /healthz 503', // a thread that is stuck: tests/integration/observability.test.mjs
    'gateway POST /channels 503', 'publisher POST /channels 503']; // too many bytes being received, of any path: tests/integration/bodies.test.mjs

const text = readFileSync(join(ROOT, 'proto/openapi.yaml'), 'utf8');
const doc = parse(text, { maxAliasCount: 1000 });
const SOURCES = ['gateway', 'publisher', 'runtime'].flatMap(folder => readdirSync(join(ROOT, folder), { recursive: true }).map(name => `${folder}/${name}`)).filter(name => name.endsWith('.c')).sort();
const SERVERS = { 'http://localhost:4043': 'gateway', 'http://localhost:4044': 'publisher', 'http://127.0.0.1:9043': 'gateway admin', 'http://127.0.0.1:9044': 'publisher admin' };
const TRANSPORT = ['date', 'connection', 'keep-alive', 'content-length', 'transfer-encoding', 'content-type'];
const METHODS = ['get', 'post', 'options'];

const ajv = new Ajv({ strict: false });
ajv.addSchema({ ...doc, $id: 'doc' }, 'doc');
const resolve = object => (object?.$ref === undefined ? object : object.$ref.slice(2).split('/').reduce((at, key) => at[key.replaceAll('~1', '/')], doc));
const compiled = new Map();
function valid(schema, value, what) {
    if (!compiled.has(schema))
        compiled.set(schema, ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"doc#/'))));
    const check = compiled.get(schema);
    assert.ok(check(value), `${what}: ${JSON.stringify(value).slice(0, 300)} ${ajv.errorsText(check.errors)}`);
}

// [server, method, path template, operation] of everything documented.
const operations = Object.entries(doc.paths).flatMap(([path, item]) => METHODS.filter(method => item[method]).flatMap(method =>
    (item[method].servers ?? doc.servers).filter(({ url }) => method !== 'options' || SERVERS[url] === 'gateway').map(({ url }) => [SERVERS[url], method.toUpperCase(), path, item[method]])));
const statusesOf = (server, operation) => Object.keys(operation.responses).filter(status => server === 'gateway' || !operation['x-gateway-only']?.includes(status));

const got = new Set();

// The answer has the headers that `response` and the server's port have, and a body of its schema.
function conforms(what, server, response, { headers, body }, { head = false } = {}) {
    const common = doc['x-common-headers'][server];
    const named = [...Object.entries(response.headers ?? {}), ...[...common.required, ...common.optional].map(name => [name, { ...doc.components.headers[name], required: common.required.includes(name) }])]
        .map(([name, header]) => [name.toLowerCase(), resolve(header)]);
    const known = new Map(named);
    for (const [name, { required, schema }] of known) {
        assert.ok(!required || name in headers, `${what} has no header ${name}`);
        if (name in headers)
            valid(schema, headers[name], `${what}, header ${name}`);
    }
    assert.deepEqual(Object.keys(headers).filter(name => !known.has(name) && !TRANSPORT.includes(name)), [], `${what} has headers that are not documented`);
    const type = headers['content-type']?.split(';')[0];
    assert.equal(type === undefined, response.content === undefined, `${what} has content-type ${type}`);
    if (type === undefined)
        return assert.equal(body, '', what);
    assert.ok(type in response.content, `${what} has content-type ${type}`);
    if (type === 'application/x-ndjson')
        body.trimEnd().split('\n').forEach(line => valid(response.content[type].schema, JSON.parse(line), what));
    else if (!head && type !== 'text/event-stream')
        valid(response.content[type].schema, type === 'application/json' ? JSON.parse(body) : body, what);
}

// One exchange; of a stream only its head, and the connection is closed then.
function exchange(url, { method = 'GET', headers = {}, body = null, agent = false } = {}) {
    return within(`${method} ${url.slice(0, 80)}`, new Promise((done, fail) => {
        const request = http.request(url, { method, headers, agent }, response => {
            const chunks = [];
            const end = () => done({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks).toString() });
            response.on('data', chunk => chunks.push(chunk)).on('error', fail).on('end', end);
            if (response.headers['content-type']?.startsWith('text/event-stream') && method !== 'HEAD')
                end(request.destroy());
        });
        request.on('error', fail).end(body);
    }));
}

const bases = s => ({ gateway: s.gw[0].url, publisher: s.pub[0].url, 'gateway admin': s.gw[0].adminUrl, 'publisher admin': s.pub[0].adminUrl });
let asset;
const pathOf = template => ({ '/channels/{name}': '/channels/news', '/subscribe': '/subscribe?channel=news', '/page/{version}/{file}': asset })[template] ?? template;
const withQuery = (path, query) => path + (path.includes('?') ? '&' : '?') + query;

// Asks each operation that `wanted` picks in the way `how` says, and expects `status`, which has to be documented.
async function provoke(s, status, how, wanted) {
    let count = 0;
    for (const [server, method, template, operation] of operations.filter(([server, method, template]) => wanted(server, method, template))) {
        assert.ok(statusesOf(server, operation).includes(String(status)), `${server} ${method} ${template} is documented to answer ${status}`);
        const { query, path = pathOf(template), tries = 1, ...options } = typeof how === 'function' ? how(server, method, template) : how;
        const url = bases(s)[server] + (query === undefined ? path : withQuery(path, query));
        const lines = template === '/channels';
        if (method === 'POST')
            options.headers = { 'content-type': lines ? 'application/x-ndjson' : 'text/plain', ...options.headers };
        let answer;
        for (let i = 0; i < tries && answer?.status !== status; ++i)
            answer = await exchange(url, { method, body: method !== 'POST' ? null : lines ? '{"channel":"news","data":"hello"}\n' : 'hello', ...options });
        const what = `${server} ${method} ${template} ${status}`;
        assert.equal(answer.status, status, `${what}: ${answer.status} ${answer.body}`);
        conforms(what, server, resolve(operation.responses[status]), answer);
        got.add(what);
        ++count;
    }
    assert.ok(count > 0, `${status} was asked of something`);
}

const FOREIGN = { origin: 'https://elsewhere.example' };
const isStream = (server, method, template) => server === 'gateway' && method === 'GET' && doc.paths[template].get.tags.includes('streams');
const isPoll = (server, method, template) => server === 'gateway' && method === 'GET' && ['/channels/{name}', '/subscribe'].includes(template);
const isPost = (server, method) => method === 'POST';
const isLines = (server, method, template) => method === 'POST' && template === '/channels';
const isSingle = (...row) => isPost(...row) && !isLines(...row); // its refusals are the request's, not a line's
const isPage = (server, method, template) => method === 'GET' && /^\/(page\/.*|status)?$/.test(template);
const isGateway = server => server === 'gateway';
const either = (...picks) => (...row) => picks.some(pick => pick(...row));

const s = await Stack.start({ env: { TICKERS: 'off', BODY_LIMIT: 2000, STATUS_MS: 200 } });
asset = '/' + /page\/[^/"]+\/main\.js/.exec((await exchange(`${s.gw[0].url}/`)).body)[0];

test('it is valid OpenAPI 3.1', async () => {
    const result = await new Validator().validate(JSON.parse(JSON.stringify(doc)));
    assert.deepEqual(result.errors ?? [], []);
    assert.equal(result.valid, true);
});

test('it has the routes that the code has, and no other', () => {
    const code = path => readFileSync(join(ROOT, path), 'utf8');
    const found = (path, re) => [...code(path).matchAll(re)].map(match => match[1]);
    const public_ = found('gateway/http/routes.c', /^    \{("[^"]+"|PAGE_ASSETS), ROUTE_/gm).map(path => (path === 'PAGE_ASSETS' ? '/page/' : path.slice(1, -1)));
    const publishing = found('publisher/post.c', /SLICE\("(\/[^"]*)"\)/g);
    const admin = found('runtime/admin.c', /\badd\(host, "([^"]+)"/g);
    const status = found('gateway/http/status.c', /slice_eq\(path, SLICE\("([^"]+)"\)\)/g);
    // GET / is two things, by port: the page, and the index of the admin port, which the description tells of
    const inCode = [...new Set([...public_, ...admin, ...status])].map(path => path.replace(/^\/channels\/$/, '/channels/{name}').replace(/^\/page\/$/, '/page/{version}/{file}'));
    assert.deepEqual(Object.keys(doc.paths).sort(), inCode.sort());
    assert.deepEqual(publishing.sort(), ['/channels', '/channels/', '/post']);
    const register = SOURCES.filter(path => code(path).includes('h2o_config_register_path'));
    assert.deepEqual(register, ['gateway/http/routes.c', 'gateway/http/status.c', 'publisher/endpoint.c', 'runtime/admin.c']);
});

test('valid requests are answered as described', async () => {
    const allowed = { origin: 'http://localhost:3000', 'access-control-request-method': 'GET' };
    const is200 = (server, method, template) => method !== 'OPTIONS' && !(method === 'POST' && template === '/post');
    await provoke(s, 200, {}, is200);
    await provoke(s, 200, { headers: allowed }, (...row) => isGateway(...row) && is200(...row));
    await provoke(s, 303, {}, (server, method, template) => method === 'POST' && template === '/post');
    for (const headers of [{}, allowed])
        await provoke(s, 204, { headers }, (server, method) => method === 'OPTIONS');
    await provoke(s, 304, { headers: { 'if-none-match': '*' } }, isPage);
    await provoke(s, 200, { headers: { accept: 'application/json' }, query: 'last_event_id=earliest' }, isPoll);
    await provoke(s, 304, { headers: { accept: 'application/json', 'if-none-match': '*' } }, isPoll);
});

test('HEAD has the status and the headers of GET, and no body', async () => {
    for (const [server, method, template, operation] of operations.filter(row => row[1] === 'GET')) {
        const answer = await exchange(bases(s)[server] + pathOf(template), { method: 'HEAD' });
        assert.equal(answer.status, 200, `${server} HEAD ${template}`);
        assert.equal(answer.body, '');
        conforms(`${server} HEAD ${template}`, server, resolve(operation.responses[200]), answer, { head: true });
    }
});

test('invalid requests are answered as described', async () => {
    const bad = (server, method, template) => (method === 'POST' ? { headers: { 'sse-retry': 'soon' } } : template.startsWith('/page/') ? { path: '/page/%zz' } : { query: 'last=many' });
    const isAsset = (server, method, template) => method === 'GET' && template.startsWith('/page/');
    await provoke(s, 400, bad, either(isStream, isPost, (...row) => isGateway(...row) && isAsset(...row)));
    await provoke(s, 403, { headers: FOREIGN }, (server, method) => server === 'gateway' && method !== 'GET');
    await provoke(s, 403, { headers: FOREIGN }, (server, ...row) => server === 'publisher' && isLines(server, ...row));
    await provoke(s, 404, { path: '/page/1/nothing.js' }, isAsset);
    await provoke(s, 406, { headers: { accept: 'image/png' } }, either(isStream, (server, method, template) => method === 'GET' && template === '/'));
    await provoke(s, 413, { body: 'x'.repeat(3000) }, isPost);
    await provoke(s, 414, { query: `x=${'a'.repeat(8200)}` }, either(isGateway, isPost));
    await provoke(s, 415, { headers: { 'content-type': 'image/png' } }, isPost);
    await provoke(s, 431, { headers: { 'x-long': 'a'.repeat(33000) } }, either(isGateway, isPost));
});

test('errors that an author or operator has to fix are answered as described', async () => {
    const headers = { 'content-type': 'text/plain', 'idempotency-key': 'taken' };
    for (const path of ['/post', '/channels/news'])
        await exchange(s.pub[0].url + path, { method: 'POST', headers, body: 'another' });
    await provoke(s, 422, { headers }, isSingle);
    for (const name of ['post', 'news'])
        await s.redis.command(['RENAME', `{sse:${name}}:log`, `kept ${name}`]);
    for (const path of ['/post', '/channels/news'])
        await exchange(s.pub[0].url + path, { method: 'POST', headers: { 'content-type': 'text/plain', 'sse-end': '1' }, body: 'last' });
    await provoke(s, 409, {}, isSingle);
    for (const name of ['post', 'news'])
        await s.redis.command(['SET', `{sse:${name}}:log`, 'no history']);
    await provoke(s, 500, {}, isSingle);
    await provoke(s, 200, {}, isLines); // with an error in its line
    await provoke(s, 500, { headers: { 'sse-tokens': 'checked' } }, isLines);
    for (const name of ['post', 'news'])
        await s.redis.command(['RENAME', `kept ${name}`, `{sse:${name}}:log`]);
});

test('other methods and other paths are answered as described', async () => {
    for (const server of Object.values(SERVERS)) {
        const rows = operations.filter(row => row[0] === server);
        for (const template of new Set(rows.map(row => row[2]))) {
            const answer = await exchange(bases(s)[server] + pathOf(template), { method: 'DELETE' });
            assert.equal(answer.status, 405, `${server} DELETE ${template}`);
            conforms(`${server} DELETE ${template}`, server, resolve(doc['x-other-methods']), answer);
            const possible = rows.filter(row => row[2] === template).map(row => row[1]);
            const allowed = answer.headers.allow.split(', ');
            assert.deepEqual(allowed.filter(method => method !== 'HEAD' && !possible.includes(method)), [], `${server} ${template} allows ${allowed}`);
        }
        const answer = await exchange(`${bases(s)[server]}/no/such/path`);
        assert.equal(answer.status, 404);
        conforms(`${server} 404`, server, resolve(doc['x-other-paths']), answer);
    }
});

test('who has had the end of a channel is answered as described', async () => {
    const channels = { '/sse': 'letters', '/post': 'post', '/events': 'counter', '/exchange_rates/usd_eur': 'usd_eur' };
    const names = [...Object.values(channels), 'news'];
    const ids = {};
    for (const name of names) {
        await s.redis.command(['RENAME', `{sse:${name}}:log`, `kept ${name}`]).catch(() => {});
        [ids[name]] = await s.redis.command(['FCALL', 'sse_publish', 1, `sse:${name}`, '', 'end', 1]);
    }
    await provoke(s, 204, (server, method, template) => ({ headers: { 'last-event-id': ids[channels[template] ?? 'news'] } }), (server, method, template) => method === 'GET' && isStream(server, method, template));
    for (const name of names) {
        await s.redis.command(['DEL', `{sse:${name}}:log`]);
        await s.redis.command(['RENAME', `kept ${name}`, `{sse:${name}}:log`]).catch(() => {});
    }
});

test('where events are gone, gap=close is answered as described', () => provoke(s, 410, { query: 'gap=close&last_event_id=no-such-id' }, isPoll));

test('the data of a gap is as described', async () => {
    const stream = await openStream(`${s.gw[0].url}/channels/news`, { headers: { 'last-event-id': 'no-such-id' } });
    const event = await stream.next();
    stream.close();
    assert.equal(event.type, 'gap');
    valid(doc.components.schemas.Gap, JSON.parse(event.data), 'gap');
    const wrapped = await openStream(`${s.gw[0].url}/channels/news?envelope=1`, { headers: { 'last-event-id': 'no-such-id' } });
    valid(doc.components.schemas.Envelope, JSON.parse((await wrapped.next()).data), 'envelope');
    wrapped.close();
});

test('the seventeenth stream of announcements is refused', async () => {
    const streams = await Promise.all(Array.from({ length: 16 }, () => openStream(`${s.gw[0].adminUrl}/status/events`)));
    assert.ok(streams.every(stream => stream.status === 200));
    await provoke(s, 503, {}, (server, method, template) => template === '/status/events');
    streams.forEach(stream => stream.close());
});

test('requests without the right are refused as described', async () => {
    const folder = tempFolder();
    const [JWT_KEY_FILE, POLICY_FILE] = ['key', 'policy'].map(name => join(folder, name));
    const secret = randomBytes(32).toString('hex'); // a byte of white space at its end would not count
    writeFileSync(JWT_KEY_FILE, secret);
    writeFileSync(POLICY_FILE, 'closed *\n');
    const closed = await Stack.start({ env: { JWT_KEY_FILE, POLICY_FILE, DEMO: 'on', JWT_QUERY: 'on' } });
    const b64 = value => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = `${b64({ alg: 'HS256' })}.${b64({ exp: Math.floor(Date.now() / 1000) + 600, sse: {} })}`;
    const authorization = `Bearer ${claims}.${createHmac('sha256', secret).update(claims).digest('base64url')}`;
    const guarded = either(isStream, isPost);
    await provoke(closed, 401, {}, guarded);
    await provoke(closed, 401, { headers: { authorization: 'Bearer nonsense' } }, guarded);
    await provoke(closed, 403, { headers: { authorization } }, either(isStream, isSingle));
    await provoke(closed, 400, { headers: { authorization }, query: 'access_token=another' }, guarded);
    await closed.stop();
});

test('the admin ports refuse a foreign name', () => provoke(s, 421, { headers: { host: 'evil.example' } }, (server, method, template) =>
    server.endsWith('admin') && /^\/(status|status\/events|healthz|readyz|metrics)$/.test(template)));

test('proto/README.md lists the statuses of errors that there are, and no other', () => {
    const [, list] = /<!-- statuses -->\n([^]*?)<!-- \/statuses -->/.exec(readFileSync(join(ROOT, 'proto/README.md'), 'utf8'));
    const listed = [...list.matchAll(/\b[45]\d\d\b/g)].map(([status]) => status);
    const there = operations.filter(([server]) => !server.endsWith('admin')).flatMap(([, , , operation]) => Object.keys(operation.responses)).filter(status => status >= '400');
    assert.deepEqual([...new Set(listed)].sort(), [...new Set([...there, '404', '405'])].sort());
});

test('plain requests are sent to https', async () => {
    const secure = await Stack.start({ tls: true, env: { FORCE_SSL: 'on' }, publisherEnv: [{ FORCE_SSL: null }] });
    await provoke(secure, 301, {}, (server, method) => server === 'gateway' && method === 'GET');
    await provoke(secure, 307, {}, (server, method) => server === 'gateway' && method !== 'GET');
    await secure.stop();
});

test('a client over a limit learns when to retry', async () => {
    const limited = await Stack.start({ env: { MAX_STREAMS: 1, PUBLISH_RATE: 1 } });
    const held = await openStream(`${limited.gw[0].url}/channels/news`);
    await provoke(limited, 429, {}, isStream);
    await provoke(limited, 429, { tries: 30 }, isPost);
    held.close();
    await limited.stop();
});

test('an outage is answered as described', async () => {
    await s.redis.kill();
    await until('both know', async () => (await s.gw[0].ready()).status === 503 && (await s.pub[0].ready()).status === 503);
    await provoke(s, 503, {}, isSingle);
    await provoke(s, 200, {}, isLines);
    await provoke(s, 503, {}, (server, method, template) => template === '/readyz');
    await s.redis.start();
    await s.pub[0].kill();
    await provoke(s, 502, {}, (...row) => isGateway(...row) && isPost(...row));
    await s.pub[0].start();
});

test('a gateway that shuts down opens no stream', async () => {
    const draining = await Stack.start({ env: { DRAIN_SECONDS: 4 } });
    const [gw] = draining.gw;
    const streams = await Promise.all(Array.from({ length: 40 }, () => openStream(`${gw.url}/channels/news`)));
    const agents = new Map(operations.filter(row => isStream(...row)).map(row => [row[2], new http.Agent({ keepAlive: true, maxSockets: 1 })]));
    after(() => agents.forEach(agent => agent.destroy()));
    for (const agent of agents.values())
        await exchange(`${gw.url}/nothing`, { agent }); // a connection that will be open still
    const stopped = gw.kill('SIGTERM');
    await gw.waitMetric('sse_draining', 1);
    await provoke(draining, 503, (server, method, template) => ({ agent: agents.get(template) }), isStream);
    streams.forEach(stream => stream.close());
    await stopped;
});

test('every status that stands in the code is documented', () => {
    const sources = SOURCES.filter(path => path !== 'runtime/reason.c').map(path => join(ROOT, path));
    const inCode = new Set(sources.flatMap(path => [...readFileSync(path, 'utf8').matchAll(/(?:http_error|http_send|fail)\(\w+, (?:.*\? )?(\d{3})(?: : (\d{3}))?,|\bstatus = (\d{3});|\{([345]\d\d), (?:"\w+"|NULL)\}/g)]
        .flatMap(match => match.slice(1).filter(Boolean))));
    const documented = new Set([...operations.flatMap(row => Object.keys(row[3].responses)), '405']);
    assert.ok(inCode.size > 15, [...inCode].join());
    assert.deepEqual([...inCode].filter(status => !documented.has(status)), []);
});

test('every documented status was provoked, but those that can not be', () => {
    const all = operations.flatMap(([server, method, template, operation]) => statusesOf(server, operation).map(status => `${server} ${method} ${template} ${status}`));
    assert.deepEqual(all.filter(row => !got.has(row) && !UNPROVOKED.includes(row)), []);
    assert.deepEqual(UNPROVOKED.filter(row => !all.includes(row) || got.has(row)), []);
});
