// The recipes of deploy/howto.md for a token in a cookie, as they stand there, over two hosts: a service on app.example.org sets the cookie, the gateway is events.example.org.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as jose from 'jose';
import { ROOT, Stack, freePort, tempFolder } from '../integration/stack.mjs';
import { TIMEOUT, until, withPage } from './browser.mjs';

const HOWTO = readFileSync(join(ROOT, 'deploy/howto.md'), 'utf8');
const [recipe] = [...HOWTO.matchAll(/```js\n([^]*?)```/g)].map(match => match[1]).filter(code => code.startsWith('function follow('));
const cookie = /`Set-Cookie: (sse_token=TOKEN; Domain=example.org;[^`]+)`/.exec(HOWTO)[1].replace(' Secure;', ''); // this is http
const LIFE_S = 6;

const secret = 'a secret of at least thirty-two bytes';
const JWT_KEY_FILE = join(tempFolder(), 'key');
writeFileSync(JWT_KEY_FILE, secret);
const token = (seconds, claims) => new jose.SignJWT({ exp: Math.floor(Date.now() / 1000) + seconds, ...claims }).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from(secret));

const port = await freePort();
const app = `http://app.example.org:${port}`;
const s = await Stack.start({ env: { JWT_KEY_FILE, JWT_COOKIE: 'sse_token', CORS_ORIGINS: app, RETRY_MS: 200 } });
const [gw] = s.gw;
let renewing = true, renewed = 0;

// The service: the page, and /renew, which sets the cookie for who is logged in.
const service = createServer(async (request, response) => {
    if (request.url !== '/renew')
        return response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>app</title><link rel="icon" href="data:,">');
    renewed += renewing;
    const set = renewing ? { 'set-cookie': cookie.replace('TOKEN', await token(LIFE_S, { sub: '42', sse: { subscribe: ['user/42/*'] } })) } : {};
    return response.writeHead(renewing ? 204 : 403, set).end();
});
await new Promise(resolve => service.listen(port, '127.0.0.1', resolve));
after(() => service.close());

const author = { authorization: `Bearer ${await token(600, { sse: { publish: ['*'] } })}` };
const publish = text => s.post('user/42/inbox', text, { headers: author });
const got = page => page.evaluate(() => window.got);
const start = (page, everyMs) => page.evaluate(([code, url, every]) => {
    window.got = [];
    window.failures = 0;
    const renew = async () => {
        const { ok } = await fetch('/renew', { method: 'POST' });
        window.failures += !ok;
        return ok;
    };
    return renew().then(() => {
        window.stop = new Function(`${code}; return follow;`)()(url, { renew, everyMs: every, onEvent: event => window.got.push(event.data) });
    });
}, [recipe, `http://events.example.org:${gw.port}/channels/user/42/inbox`, everyMs]);

test('a stream goes on over the ends of its tokens while the cookie is renewed, and nothing is missed or doubled', TIMEOUT, () =>
    withPage(`${app}/`, async page => {
        await start(page, LIFE_S * 1000 / 2);
        await gw.waitMetric('sse_streams', 1);
        let count = 0;
        while (await gw.metric('sse_stream_closes_total', { reason: 'token expired' }) < 2) {
            await publish(`${count++}`);
            await page.waitForTimeout(200);
        }
        await publish(`${count++}`);
        await until(page, want => window.got.length >= want, count);
        assert.deepEqual(await got(page), Array.from({ length: count }, (_, i) => `${i}`));
        await page.evaluate(() => window.stop());
    }, { strangers: true }));

test('where the cookie was not renewed in time, the stream is opened again once it is, after the last event', TIMEOUT, () =>
    withPage(`${app}/`, async page => {
        renewing = true;
        await start(page, 3600000);
        await gw.waitMetric('sse_streams', 1);
        await publish('before');
        await until(page, () => window.got.length === 1);
        const before = renewed, refused = await gw.metric('sse_auth_refused_total', { reason: 'invalid token' });
        await gw.waitMetric('sse_auth_refused_total', count => count > refused, { labels: { reason: 'invalid token' }, ms: 20000 });
        await publish('while it was away');
        await until(page, () => window.got.length === 2);
        assert.deepEqual(await got(page), ['before', 'while it was away']);
        assert.equal(renewed, before + 1);
        await page.evaluate(() => window.stop());
    }, { strangers: true }));

test('a page of another origin opens no stream with that cookie', TIMEOUT, () =>
    withPage(`http://other.example.org:${port}/`, async page => {
        await page.evaluate(() => fetch('/renew', { method: 'POST' }));
        const state = await page.evaluate(url => new Promise(resolve => {
            const source = new EventSource(url, { withCredentials: true });
            source.onopen = () => resolve('open');
            source.onerror = () => resolve(source.readyState === EventSource.CLOSED ? 'closed' : 'again');
        }), `http://events.example.org:${gw.port}/channels/user/42/inbox`);
        assert.equal(state, 'closed');
        assert.ok(await gw.metric('sse_auth_refused_total', { reason: 'foreign origin' }) > 0);
    }, { strangers: true }));
