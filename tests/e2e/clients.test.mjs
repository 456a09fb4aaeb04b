// Unmodified clients in headless Chromium on a channel, from its first event to its end: its own EventSource, event-source-polyfill, @microsoft/fetch-event-source and htmx 4, from another origin
// than the gateways'. Their connections are cut at random bytes and go to two gateways by turns. tests/integration/clients.test.mjs has those that run in Node.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { existsSync, readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { ALL, RETRY_MS, cutting, data, ended, staysAway, tell } from '../integration/clients.mjs';
import { ROOT, Stack } from '../integration/stack.mjs';
import { TIMEOUT, withPage as open } from './browser.mjs';

const PACKAGES = join(ROOT, 'tests/node_modules');
const HTMX = '<script src="/htmx.org/dist/htmx.js"></script><script src="/htmx.org/dist/ext/hx-sse.js"></script>';
const pages = {
    '/': '<script src="/event-source-polyfill/src/eventsource.js"></script>',
    '/connect': `${HTMX}<ul hx-sse:connect="URL" hx-swap="beforeend" hx-sse:close="end"></ul>`,
    '/get': `${HTMX}<ul hx-get="URL" hx-trigger="load" hx-swap="beforeend"></ul>`,
};

// The packages as they are, and a page for each way to use them; `?URL` is the channel's.
const site = createServer((request, response) => {
    const { pathname, search } = new URL(request.url, 'http://x');
    const file = [pathname, `${pathname}.js`].map(name => join(PACKAGES, normalize(name))).find(name => name.endsWith('.js') && existsSync(name));
    if (file !== undefined)
        return response.writeHead(200, { 'content-type': 'text/javascript' }).end(readFileSync(file));
    const body = pages[pathname];
    response.writeHead(body ? 200 : 404, { 'content-type': 'text/html' });
    response.end(`<!doctype html><meta charset="utf-8"><title>page</title><meta name="htmx-config" content='{"mode":"cors"}'><link rel="icon" href="data:,">${
        body?.replace('URL', decodeURIComponent(search.slice(1)).replaceAll('&', '&amp;'))}`);
});
await new Promise(done => site.listen(0, '127.0.0.1', done));
after(() => site.close());
const origin = `http://localhost:${site.address().port}`;
const s = await Stack.start({ gateways: 2, env: { CORS_ORIGINS: origin, RETRY_MS } });
const withPage = (path, body) => open(origin + path, body, { strangers: true });

const heard = page => page.evaluate(() => ({ data: window.data, ends: window.ends, state: window.source?.readyState }));
const count = page => page.evaluate(() => window.data.length);

// `start(url)` runs in the page: it leaves what it hears in window.data and window.ends.
const eventSource = name => `url => {
    const source = window.source = new ${name}(url);
    source.onmessage = event => window.data.push(event.data);
    source.addEventListener('end', event => window.ends.push(event.data));
}`;
// As deploy/howto.md has it.
const recipe = /^const done = new AbortController\(\);\n[^]*?^\}\);$/m.exec(readFileSync(join(ROOT, 'deploy/howto.md'), 'utf8'))?.[0];
const clients = [
    { name: "Chromium's EventSource", key: 'chromium', start: eventSource('EventSource'), asks: 1, ms: 10 * RETRY_MS },
    { name: 'event-source-polyfill', key: 'polyfill', start: eventSource('EventSourcePolyfill'), asks: 1, ms: 3000 }, // it waits for at least a second
    { name: 'fetch-event-source, as the how-to has it,', key: 'fetch', asks: 0, ms: 10 * RETRY_MS, start: `async url => {
        const { fetchEventSource } = await import('/@microsoft/fetch-event-source/lib/esm/index.js');
        const show = event => (event.event === 'end' ? window.ends : event.data === '' ? [] : window.data).push(event.data);
        ${recipe}
    }` },
];

for (const { name, key, start, asks, ms } of clients)
    for (const [way, query, options] of [['from its beginning', '?last_event_id=earliest', {}], ['that it found empty', '', { alone: true, armed: false }]])
        test(`${name} reads a channel ${way}, hears the end once and then stays away`, TIMEOUT, async () => {
            const channel = `${key}/${query.length}`;
            const proxy = await cutting(s, options);
            await withPage('/', async page => {
                await page.evaluate(`window.data = []; window.ends = []; (${start})(${JSON.stringify(`${proxy.url}/channels/${channel}${query}`)}); 0`);
                if (query === '')
                    await s.redis.subscribed(channel, 1);
                await tell(s, proxy, channel, () => count(page), options);
                await staysAway(s, proxy, { asks, ms });
                const { data: got, ends, state } = await heard(page);
                assert.deepEqual(got, ALL);
                assert.deepEqual(ends, [ended(channel)]);
                assert.equal(proxy.cuts, 5);
                if (asks === 1)
                    assert.equal(state, 2);
            });
        });

const item = n => `<li>${data(n)}</li>`;
const items = page => page.$$eval('li', list => list.map(element => element.textContent));

for (const [attribute, path, cuts] of [['hx-sse:connect', '/connect', 5], ['hx-get', '/get', 0]])
    test(`htmx 4 swaps what ${attribute} reads, ${cuts === 0 ? 'to the end' : 'over cut connections'}, and then stays away`, TIMEOUT, async () => {
        const channel = `htmx${path}`;
        const proxy = await cutting(s, { cuts });
        await withPage(`${path}?${encodeURIComponent(`${proxy.url}/channels/${channel}?last_event_id=earliest`)}`, async page => {
            await tell(s, proxy, channel, async () => (await items(page)).length, { of: item });
            await staysAway(s, proxy, { asks: 0, ms: 3000 }); // it waits for half a second and more
            assert.deepEqual(await items(page), ALL);
            assert.equal(proxy.cuts, cuts);
        });
    });
