// Headless Chromium's own EventSource and fetch against the gateways: from the page they serve, and across origins.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { chromium } from 'playwright-core';
import { SCALE, Stack } from '../integration/stack.mjs';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'];
const TIMEOUT = { timeout: 60000 * SCALE };

// An origin of its own: a server of one empty page.
function origin() {
    return new Promise(resolve => {
        const server = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>page</title>'));
        server.listen(0, '127.0.0.1', () => resolve({ url: `http://localhost:${server.address().port}`, close: () => server.close() }));
    });
}

const [allowed, refused] = await Promise.all([origin(), origin()]);
const s = await Stack.start({ gateways: 2, tls: [1], env: { TICKERS: 'letters:200,counter:200,usd_eur:100', CORS_ORIGINS: allowed.url, RETRY_MS: 200 } });
let browser;

before(async () => {
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: FLAGS, timeout: 30000 * SCALE });
});
after(async () => {
    await browser?.close();
    allowed.close();
    refused.close();
});

// Runs `body` with a page at `url`; anything the page throws fails the test.
async function withPage(url, body) {
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    const page = await context.newPage();
    const errors = [];
    page.on('pageerror', error => errors.push(error.message));
    try {
        await page.goto(url);
        await body(page);
        assert.deepEqual(errors, []);
    } finally {
        await context.close();
    }
}

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

const until = (page, fn, arg) => page.waitForFunction(fn, arg, { timeout: 15000 * SCALE, polling: 20 });

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

for (const [what, url] of [['plain', () => s.gw[0].url], ['TLS', () => s.gw[1].httpsUrl]])
    test(`the page at / shows the live streams and posts a message (${what})`, TIMEOUT, async () => {
        await withPage(url(), async page => {
            await until(page, () => /^[a-z]$/.test(document.querySelector('#letter').textContent));
            await until(page, () => /^\d+$/.test(document.querySelector('#counter').textContent));
            await until(page, () => /\d/.test(document.querySelector('#rate').textContent));
            const before = Number(await page.textContent('#counter'));
            await until(page, from => Number(document.querySelector('#counter').textContent) > from + 2, before);
            await s.redis.subscribed('post');
            await page.fill('#message', `hello from ${what} <b>`);
            await page.click('button');
            await until(page, text => document.querySelector('#posts li')?.textContent.includes(text), `hello from ${what} <b>`);
            assert.equal(await page.inputValue('#message'), '');
            if (process.env.SCREENSHOTS)
                await page.screenshot({ path: `${process.env.SCREENSHOTS}/page-${what}.png` });
        });
    });
