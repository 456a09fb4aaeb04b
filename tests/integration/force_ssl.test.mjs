// FORCE_SSL: plain requests are sent to https, TLS answers say HSTS, and X-Forwarded-* count only from trusted proxies.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { Stack } from './stack.mjs';
import { openStream, request } from './sse.mjs';

const s = await Stack.start({ gateways: 3, tls: [0], env: { FORCE_SSL: 'on' }, gatewayEnv: [{ HTTP2_CLEARTEXT: 'on' }, { TRUSTED_PROXIES: '10.0.0.0/8, 127.0.0.0/8' }, { TRUSTED_PROXIES: '10.0.0.0/8' }] });
const [secure, trusting, wary] = s.gw;
const PATHS = ['/', '/sse', '/post?last=1', '/channels/a/b%2Fc?x=1&y=%20', '/subscribe?channel=a&channel=b'];
const HSTS = /^max-age=[1-9]\d+/;

test('a plain GET or HEAD is 301, anything else 307, to the same path and query on https', async () => {
    for (const path of PATHS)
        for (const [method, status] of [['GET', 301], ['HEAD', 301], ['POST', 307], ['PUT', 307]]) {
            const answer = await request(secure.url + path, { method, headers: { host: 'sse.example:8080' } });
            assert.equal(answer.status, status, `${method} ${path}`);
            const to = new URL(answer.headers.location);
            assert.deepEqual([to.protocol, to.hostname, to.pathname + to.search], ['https:', 'sse.example', path]);
            assert.equal(answer.headers['strict-transport-security'], undefined, 'HSTS over plain HTTP means nothing');
        }
});

test('a client of plain HTTP/2 that says https is redirected as well', async () => {
    const session = http2.connect(secure.url);
    const answer = session.request({ ':scheme': 'https', ':path': '/sse' });
    const [headers] = await once(answer, 'response');
    assert.equal(headers[':status'], 301);
    assert.equal(headers['strict-transport-security'], undefined);
    session.destroy();
});

test('a Host that is no host cannot be smuggled into Location', async () => {
    for (const host of ['evil.example/path', 'a b', 'user@evil.example', 'x\\y', '"x"']) {
        const answer = await request(`${secure.url}/sse`, { headers: { host } });
        const location = answer.headers.location;
        assert.ok(location === undefined || (answer.status < 400 && !location.includes(host)), `${answer.status} ${location}`);
    }
});

test('over TLS everything works and says HSTS', async () => {
    const stream = await openStream(`${secure.httpsUrl}/sse`);
    assert.equal(stream.status, 200);
    assert.match(stream.headers['strict-transport-security'], HSTS);
    stream.close();
    const post = await request(`${secure.httpsUrl}/post`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
    assert.equal(post.status, 303);
    assert.match(post.headers['strict-transport-security'], HSTS);
    const error = await request(`${secure.httpsUrl}/nope`);
    assert.equal(error.status, 404);
    assert.match(error.headers['strict-transport-security'], HSTS);
});

test('a trusted proxy that says https is believed', async () => {
    const stream = await openStream(`${trusting.url}/sse`, { headers: { 'x-forwarded-proto': 'https' } });
    assert.equal(stream.status, 200);
    assert.match(stream.headers['strict-transport-security'], HSTS);
    stream.close();
});

test('a trusted proxy that says http is redirected to the host and port it names', async () => {
    const headers = { 'x-forwarded-proto': 'http', 'x-forwarded-host': 'public.example', 'x-forwarded-port': '80' };
    const answer = await request(`${trusting.url}/sse?a=1`, { headers });
    assert.equal(answer.status, 301);
    assert.match(answer.headers.location, /^https:\/\/public\.example(:443)?\/sse\?a=1$/);
});

test('the same headers from anyone else count for nothing', async () => {
    const headers = { host: 'sse.example', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'evil.example', 'x-forwarded-port': '666' };
    for (const gw of [wary, secure]) {
        const answer = await request(`${gw.url}/sse`, { headers });
        assert.equal(answer.status, 301);
        assert.equal(new URL(answer.headers.location).hostname, 'sse.example');
        assert.doesNotMatch(answer.headers.location, /evil|666/);
    }
});

test('without FORCE_SSL nothing is redirected and nothing says HSTS', async () => {
    const stack = await Stack.start({ publishers: 0, tls: true });
    for (const url of [stack.gw[0].url, stack.gw[0].httpsUrl]) {
        const stream = await openStream(`${url}/sse`, { headers: { 'x-forwarded-proto': 'http' } });
        assert.equal(stream.status, 200);
        assert.equal(stream.headers['strict-transport-security'], undefined);
        stream.close();
    }
});
