// Headless Chromium's own EventSource and fetch against the gateways, across origins.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack } from '../integration/stack.mjs';
import { TIMEOUT, origin, until, withPage as open } from './browser.mjs';

const [allowed, refused] = await Promise.all([origin(), origin()]);
const s = await Stack.start({ gateways: 2, tls: [1], env: { TICKERS: 'letters:200,counter:200,usd_eur:100', CORS_ORIGINS: allowed.url, RETRY_MS: 200 } });
after(() => {
    allowed.close();
    refused.close();
});

// The pages of this file ask the gateways, which are another origin than theirs, and what is refused says so in the console.
const withPage = (url, body) => open(url, body, { strangers: true });

// In the page: opens an EventSource that leaves what it hears in window.heard[name].
const listen = (page, name, url, types = ['message']) => page.evaluate(([as, address, kinds]) => {
    window.heard ??= {};
    const source = new EventSource(address);
    const log = (window.heard[as] = { source, events: [], opens: 0, errors: 0 });
    source.onopen = () => ++log.opens;
    source.onerror = () => ++log.errors;
    for (const type of kinds)
        source.addEventListener(type, event => log.events.push({ type, data: event.data, id: event.lastEventId }));
}, [name, url, types]);

test('EventSource from an allowed origin hears the letters of both gateways, one of them over HTTP/2', TIMEOUT, async () => {
    await withPage(allowed.url, async page => {
        await listen(page, 'plain', `${s.gw[0].url}/sse`);
        await listen(page, 'tls', `${s.gw[1].httpsUrl}/sse`);
        await until(page, () => Object.values(window.heard).every(({ events }) => events.length >= 6));
        const { plain, tls, protocol } = await page.evaluate(() => ({ plain: window.heard.plain.events, tls: window.heard.tls.events,
            protocol: performance.getEntriesByType('resource').map(entry => entry.nextHopProtocol) }));
        assert.deepEqual([JSON.parse(plain[0].data), JSON.parse(tls[0].data)], [{ msg: 'a' }, { msg: 'a' }]);
        const byId = new Map(plain.slice(1).map(event => [event.id, event.data]));
        const common = tls.slice(1).filter(event => byId.has(event.id));
        assert.ok(common.length >= 3);
        for (const event of common)
            assert.equal(event.data, byId.get(event.id));
        assert.ok(protocol.every(name => ['', 'http/1.1', 'h2'].includes(name)), protocol.join());
    });
});

test('EventSource from a refused origin hears nothing and is closed', TIMEOUT, async () => {
    await withPage(refused.url, async page => {
        await listen(page, 'sse', `${s.gw[0].url}/sse`);
        await until(page, () => window.heard.sse.errors > 0);
        assert.deepEqual(await page.evaluate(() => [window.heard.sse.source.readyState, window.heard.sse.events.length, window.heard.sse.opens]), [2, 0, 0]);
    });
});

test('a cross-origin POST works from the allowed origin, preflight and all, and not from the other', TIMEOUT, async () => {
    const post = page => page.evaluate(async url => {
        try {
            const answer = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json', 'idempotency-key': 'k1' }, body: '{"from":"browser"}' });
            return [answer.status, await answer.text()];
        } catch (error) {
            return error.name;
        }
    }, `${s.gw[0].url}/post`);
    await withPage(allowed.url, async page => {
        await listen(page, 'post', `${s.gw[0].url}/post`);
        await until(page, () => window.heard.post.opens === 1);
        await s.redis.subscribed('post');
        assert.deepEqual(await post(page), [303, 'broadcasted']);
        await until(page, () => window.heard.post.events.length === 1);
        assert.deepEqual(JSON.parse(await page.evaluate(() => window.heard.post.events[0].data)), { from: 'browser' });
    });
    await withPage(refused.url, async page => assert.equal(await post(page), 'TypeError'));
});

test('named events, lines and ids come as they were published; the position frame fires nothing', TIMEOUT, async () => {
    await withPage(allowed.url, async page => {
        await listen(page, 'c', `${s.gw[0].url}/channels/e2e`, ['message', 'greet', 'gap']);
        await until(page, () => window.heard.c.opens === 1);
        await s.redis.subscribed('e2e');
        await fetch(`${s.pub[0].url}/channels/e2e?event=greet&id=my-id`, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'héllo\nwörld\n\n☃' });
        await until(page, () => window.heard.c.events.length === 1);
        assert.deepEqual(await page.evaluate(() => window.heard.c.events), [{ type: 'greet', data: 'héllo\nwörld\n\n☃', id: 'my-id' }]);
    });
});

test('the browser comes back by itself after the gateway was killed', TIMEOUT, async () => {
    await withPage(allowed.url, async page => {
        await listen(page, 'r', `${s.gw[0].url}/channels/again`);
        await until(page, () => window.heard.r.opens === 1);
        await s.redis.subscribed('again');
        await s.post('again', 'before');
        await until(page, () => window.heard.r.events.length === 1);
        await s.gw[0].kill('SIGKILL');
        await until(page, () => window.heard.r.errors >= 1);
        await s.gw[0].start();
        await until(page, () => window.heard.r.opens === 2);
        await s.redis.subscribed('again');
        await s.post('again', 'after');
        await until(page, () => window.heard.r.events.length === 2);
        assert.deepEqual(await page.evaluate(() => window.heard.r.events.map(event => event.data)), ['before', 'after']);
    });
});
