// CORS: an allow-list, never a reflection.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack } from './stack.mjs';
import { openStream, request } from './sse.mjs';

const DEFAULTS = ['http://localhost:3000', 'https://front-end.surge.sh'];
const REFUSED = ['https://evil.example', 'http://localhost:30001', 'http://localhost:3000.evil.example', 'https://localhost:3000',
    'http://localhost', 'http://front-end.surge.sh', 'https://front-end.surge.sh.evil.example', 'https://xfront-end.surge.sh', 'null',
    'http://localhost:3000,https://front-end.surge.sh', '*', 'http://localhost:3000/'];
const PATHS = ['/sse', '/post', '/events', '/exchange_rates/usd_eur', '/channels/x', '/subscribe?channel=x'];

const s = await Stack.start({ gateways: 2, gatewayEnv: [{}, { CORS_ORIGINS: '*' }] });
const [listed, open] = s.gw;
const allow = (answer, what) => answer.headers[`access-control-allow-${what}`];

async function head(url, origin) {
    const stream = await openStream(url, { headers: origin === undefined ? {} : { origin } });
    stream.close();
    return stream;
}

test('an allowed origin is named back on every stream, with Vary', async () => {
    for (const origin of DEFAULTS)
        for (const path of PATHS) {
            const answer = await head(listed.url + path, origin);
            assert.equal(answer.status, 200, path);
            assert.equal(allow(answer, 'origin'), origin, path);
            assert.match(answer.headers.vary ?? '', /\borigin\b/i, path);
        }
});

test('another origin, or one that merely looks alike, gets no CORS header', async () => {
    for (const origin of REFUSED) {
        const answer = await head(`${listed.url}/sse`, origin);
        for (const name of Object.keys(answer.headers))
            assert.doesNotMatch(name, /^access-control-/, origin);
    }
});

test('an answer that differs by origin says so even without an Origin header', async () => {
    const answer = await head(`${listed.url}/sse`);
    assert.equal(allow(answer, 'origin'), undefined);
    assert.match(answer.headers.vary ?? '', /\borigin\b/i);
});

test('* allows any origin and never goes with credentials', async () => {
    for (const origin of [...DEFAULTS, 'https://evil.example']) {
        const answer = await head(`${open.url}/sse`, origin);
        assert.equal(allow(answer, 'origin'), '*');
        assert.equal(allow(answer, 'credentials'), undefined);
    }
});

const preflight = (gw, path, origin, extra = {}) => request(gw.url + path, {
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type,last-event-id', ...extra } });

test('a preflight from an allowed origin is 204 with the methods and headers that work', async () => {
    for (const path of [...PATHS, '/']) {
        const answer = await preflight(listed, path, DEFAULTS[0]);
        assert.equal(answer.status, 204, path);
        assert.equal(answer.body, '');
        assert.equal(allow(answer, 'origin'), DEFAULTS[0], path);
        assert.match(allow(answer, 'methods') ?? '', /\bGET\b/, path);
        assert.match(answer.headers.vary ?? '', /\borigin\b/i, path);
    }
    for (const path of ['/post', '/channels/x']) {
        const answer = await preflight(listed, path, DEFAULTS[1]);
        assert.match(allow(answer, 'methods'), /\bPOST\b/);
        for (const name of ['content-type', 'last-event-id', 'idempotency-key', 'cache-control', 'sse-end', 'if-none-match', 'hx-request', 'hx-current-url'])
            assert.ok(allow(answer, 'headers').toLowerCase().split(/, */).includes(name), `${name} in ${allow(answer, 'headers')}`);
        assert.match(answer.headers['access-control-max-age'] ?? '', /^\d+$/);
    }
});

test('a preflight from another origin allows nothing', async () => {
    for (const origin of REFUSED) {
        const answer = await preflight(listed, '/post', origin);
        for (const name of Object.keys(answer.headers))
            assert.doesNotMatch(name, /^access-control-/, origin);
    }
});

test('a preflight never says yes to a header just because it was asked for', async () => {
    const answer = await preflight(listed, '/post', DEFAULTS[0], { 'access-control-request-headers': 'x-evil' });
    assert.doesNotMatch(allow(answer, 'headers') ?? '', /x-evil/i);
});

test('errors carry the CORS headers too, so that a page can read them', async () => {
    for (const [path, status, headers] of [['/nope', 404, {}], ['/channels/a%20b', 400, {}], ['/subscribe', 400, {}], ['/sse', 406, { accept: 'text/html' }]]) {
        const answer = await request(listed.url + path, { headers: { origin: DEFAULTS[0], ...headers } });
        assert.equal(answer.status, status, `${path}: ${answer.body}`);
        assert.equal(allow(answer, 'origin'), DEFAULTS[0], path);
    }
});

test('CORS_ORIGINS takes any list, spaces and all', async () => {
    const stack = await Stack.start({ publishers: 0, gatewayEnv: [{ CORS_ORIGINS: ' https://a.example , https://b.example:8443 ' }] });
    for (const [origin, want] of [['https://a.example', true], ['https://b.example:8443', true], ['https://b.example', false], [DEFAULTS[0], false]]) {
        const answer = await head(`${stack.gw[0].url}/sse`, origin);
        assert.equal(allow(answer, 'origin'), want ? origin : undefined);
    }
});
