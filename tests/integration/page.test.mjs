// The pages: what / and its scripts and styles answer, and the header that names the gateway.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, Stack } from './stack.mjs';
import { H2, openStream, request } from './sse.mjs';

const ORIGIN = 'http://localhost:3000';
const s = await Stack.start({ gateways: 2, tls: [1], gatewayEnv: [{ NODE_NAME: 'eu-1.a_b' }] });
const [gw, other] = s.gw;
const get = (path, headers = {}) => request(gw.url + path, { headers });
const page = await get('/', { accept: 'text/html' });
const [version] = /(?<=page\/)[0-9a-f]{16}(?=\/main\.js)/.exec(page.body) ?? [];

test('/ is an HTML page that needs nothing from anywhere else', async () => {
    assert.equal(page.status, 200);
    assert.match(page.headers['content-type'], /^text\/html; ?charset=utf-8$/i);
    assert.match(page.body, /^<!doctype html>/i);
    assert.doesNotMatch(page.body, /(src|href)="(https?:)?\/\//);
    const head = await request(`${gw.url}/`, { method: 'HEAD' });
    assert.deepEqual([head.status, head.body, head.headers['content-length']], [200, '', String(page.bytes.length)]);
});

test('its policy lets only scripts and styles of this gateway in, none that stand in the page', async () => {
    const policy = Object.fromEntries(page.headers['content-security-policy'].split(';').map(part => part.trim().split(/ (.*)/s)));
    assert.equal(policy['default-src'], "'none'");
    for (const name of ['script-src', 'style-src', 'connect-src'])
        assert.equal(policy[name], "'self'");
    assert.deepEqual([policy['require-trusted-types-for'], policy['trusted-types'], policy['frame-ancestors']], ["'script'", "'none'", "'none'"]);
    assert.doesNotMatch(page.body, /<style|<script(?![^>]* src=)|\son[a-z]+=|\sstyle=/);
    assert.equal(page.headers['x-content-type-options'], 'nosniff');
});

test('a client that has the page gets 304, over HTTP/2 as well; with another tag it gets all of it', async () => {
    const { etag } = page.headers;
    assert.match(etag, /^"[0-9a-f]{16}"$/);
    assert.equal(page.headers['cache-control'], 'no-cache');
    for (const tag of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
        const answer = await get('/', { 'if-none-match': tag });
        assert.deepEqual([answer.status, answer.body, answer.headers.etag], [304, '', etag], tag);
    }
    assert.equal((await get('/', { 'if-none-match': '"x", W/"y"' })).status, 200);
    const h2 = await H2.connect(other.httpsUrl);
    assert.equal((await h2.request('/', { headers: { 'if-none-match': etag } })).status, 304);
    h2.close();
});

test('every script and style is there, cached for good under its version, and imports only what is there', async () => {
    const names = readdirSync(join(ROOT, 'gateway/page')).filter(name => /\.(js|css)$/.test(name));
    assert.ok(names.length > 5);
    for (const name of names) {
        const answer = await get(`/page/${version}/${name}`);
        assert.equal(answer.status, 200, name);
        assert.match(answer.headers['content-type'], name.endsWith('.js') ? /^text\/javascript; charset=utf-8$/ : /^text\/css; charset=utf-8$/);
        assert.equal(answer.headers['cache-control'], 'public, max-age=31536000, immutable');
        assert.equal((await get(`/page/${version}/${name}`, { 'if-none-match': answer.headers.etag })).status, 304);
        for (const [, file] of answer.body.matchAll(/(?:from|import) '([^']+)'/g))
            assert.ok(names.includes(file.replace('./', '')), `${name} imports ${file}`);
    }
    for (const [, name] of page.body.matchAll(/"page\/[0-9a-f]{16}\/([^"]+)"/g))
        assert.ok(names.includes(name), name);
});

test('a page of another version gets the files, but not for good', async () => {
    const answer = await get('/page/0123456789abcdef/main.js');
    assert.deepEqual([answer.status, answer.headers['cache-control']], [200, 'no-cache']);
});

test('a path that is not a script or style is 404, and only GET, HEAD and OPTIONS are allowed', async () => {
    for (const path of ['/page/', '/page/x', `/page/${version}/`, `/page/${version}/index.html`, `/page/${version}/status.html`, `/page/${version}/../../etc/passwd`,
        `/page/${version}/%00main.js`, `/page/${version}/main.js/`]) {
        const answer = await get(path);
        assert.deepEqual([answer.status, JSON.parse(answer.body)], [404, { error: 'no such path' }], path);
    }
    assert.equal((await request(`${gw.url}/page/${version}/main.js`, { method: 'POST', body: 'x' })).status, 405);
    assert.equal((await request(`${gw.url}/page/${version}/main.js`, { method: 'OPTIONS' })).status, 204);
});

test('every answer names the gateway: NODE_NAME, or the host, and pages of other origins may read it', async () => {
    const post = await request(`${gw.url}/channels/node`, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'x' });
    for (const answer of [page, await get('/sse/none'), post])
        assert.equal(answer.headers['sse-gateway'], 'eu-1.a_b');
    const stream = await openStream(`${gw.url}/channels/node`, { headers: { origin: ORIGIN } });
    assert.equal(stream.headers['sse-gateway'], 'eu-1.a_b');
    assert.equal(stream.headers['access-control-expose-headers'], 'sse-gateway, retry-after');
    stream.close();
    const h2 = await H2.connect(other.httpsUrl);
    const second = await h2.open('/channels/node');
    assert.equal(second.headers['sse-gateway'], hostname().replace(/[^A-Za-z0-9._-]/g, '-').slice(0, 64));
    assert.equal(second.headers['access-control-expose-headers'], undefined);
    h2.close();
});
