// The page at / in headless Chromium: what people see, and what they see when a connection breaks.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as jose from 'jose';
import { Stack, tempFolder, until as waitUntil } from '../integration/stack.mjs';
import { TIMEOUT, until, untilText, withContext, withPage } from './browser.mjs';

const folder = tempFolder();
const keys = await jose.generateKeyPair('ES256', { extractable: true });
const policyFile = join(folder, 'policy');
const keyFile = join(folder, 'keys.json');
writeFileSync(keyFile, JSON.stringify({ keys: [{ ...await jose.exportJWK(keys.publicKey), kid: 'k' }] }));
writeFileSync(policyFile, 'read letters\nread counter\nread usd_eur\n');

const env = { TICKERS: 'letters:200,counter:200,usd_eur:100', RETRY_MS: 200 };
const s = await Stack.start({ gateways: 2, tls: [1], env, gatewayEnv: [{ NODE_NAME: 'one' }, { NODE_NAME: 'two' }] });
const [one, two] = s.gw;

const live = page => untilText(page, '#live-state', /^live$/);
// What was posted and holds `tag`, oldest first; a fresh page begins with the newest of the history.
const posts = (page, tag) => page.$$eval('#posts li:not(.muted)', (items, text) => items.map(item => item.lastChild.textContent).filter(one => one.includes(text)).reverse(), tag);
const untilPosts = (page, tag, count) => until(page, ([text, n]) => [...document.querySelectorAll('#posts li')].filter(item => item.textContent.includes(text)).length >= n, [tag, count]);
const rows = page => page.$$eval('#rows tr', all => all.map(row => [...row.cells].map(cell => cell.textContent)));

async function post(page, data, { channel, type } = {}) {
    if (channel !== undefined)
        await page.fill('#post-form [name=channel]', channel);
    await page.fill('#post-form [name=type]', type ?? '');
    await page.fill('#post-form [name=data]', data);
    await page.click('#post-form button');
    await untilText(page, '#post-result', /^(Published|Not published)/);
}

async function openConsole(page, channels, { last = 0, after = '' } = {}) {
    const before = await page.$$eval('#streams [data-state=live]', items => items.length);
    await page.fill('#open-form [name=channels]', channels);
    await page.fill('#open-form [name=last]', String(last));
    await page.fill('#open-form [name=after]', after);
    await page.click('#open-form button');
    await until(page, n => document.querySelectorAll('#streams [data-state=live]').length > n, before);
}

for (const [what, gateway, url, protocol] of [['HTTP/1.1', 'one', () => one.url, 'HTTP/1.1'], ['HTTP/2 over TLS', 'two', () => two.httpsUrl, 'HTTP/2']])
    test(`letters, counter and rate appear, and the page says who answered (${what})`, TIMEOUT, async () => {
        await withPage(url(), async page => {
            await live(page);
            await untilText(page, '#letter', /^[a-z]$/);
            await untilText(page, '#counter', /^\d+$/);
            await untilText(page, '#rate', /^\d+\.\d+$/);
            const from = Number(await page.textContent('#counter'));
            await until(page, n => Number(document.querySelector('#counter').textContent) > n + 2, from);
            await until(page, () => document.querySelector('#rate-chart path:last-child').getAttribute('d').split('L').length > 5);
            assert.match(await page.getAttribute('#rate-chart', 'aria-label'), /^USD in EUR: now \d/);
            assert.deepEqual([await page.textContent('#live-gateway'), await page.textContent('#node'), await page.textContent('#protocol')], [gateway, gateway, protocol]);
            assert.match(await page.textContent('#live-id'), /^[0-9a-f]{8}-[0-9a-f]{4}-4/);
            assert.match(await page.textContent('#live-latency'), /^-?\d+ ms$/);
            assert.equal(await page.isVisible('#limit'), protocol === 'HTTP/1.1', 'the limit of 6 connections is told where it is');
            assert.match(await page.innerText('main'), /^Live\n/, 'and is not the first that one reads');
        });
    });

test('a post made in one tab shows in another, of another gateway, as the text it is', TIMEOUT, async () => {
    await withContext({}, async open => {
        const [first, second] = [await open(one.url), await open(two.httpsUrl)];
        await Promise.all([live(first), live(second)]);
        await s.redis.subscribed('post', 2);
        const text = '<img src=x onerror=alert(1)> "über" \u2028 ☃ tabs';
        await post(first, text);
        await post(second, '{"tabs":[1,2]}');
        for (const page of [first, second]) {
            await untilPosts(page, 'tabs', 2);
            assert.deepEqual(await posts(page, 'tabs'), [text, '{"tabs":[1,2]}']);
        }
        assert.match(await first.textContent('#post-result'), /^Published on post as [0-9a-f-]{36}\.$/);
        assert.equal(await first.inputValue('#post-form [name=data]'), '');
    });
});

test('a refusal of the publisher is shown in its own words', TIMEOUT, async () => {
    await withPage(one.url, async page => {
        await post(page, 'x', { channel: 'a b' });
        assert.match(await page.textContent('#post-result'), /^Not published: 400, the channel name holds a byte other than/);
        const color = () => page.$eval('#post-result', result => getComputedStyle(result).color);
        const failed = await color();
        await post(page, 'y', { channel: 'told' });
        assert.match(await page.textContent('#post-result'), /^Published on told/);
        assert.notEqual(await color(), failed, 'a failure looks like one');
        await page.route('**/channels/told', route => route.fulfill({ status: 200, contentType: 'text/html', body: '<p>log in' }));
        await post(page, 'z');
        assert.match(await page.textContent('#post-result'), /^Not published: 200, /, "a proxy's own page is not a success");
    });
});

test('typed posts are shown with their type, and line breaks as such', TIMEOUT, async () => {
    await withPage(one.url, async page => {
        await live(page);
        await s.redis.subscribed('post', 1);
        await post(page, 'typed: first line\nsecond line', { channel: 'post', type: 'greeting' });
        await untilPosts(page, 'typed:', 1);
        const item = await page.$eval('#posts li', one => ({ type: one.querySelector('strong').textContent, text: one.innerText }));
        assert.equal(item.type, 'greeting');
        assert.match(item.text, /typed: first line\nsecond line$/);
    });
});

// Of any type, as version 1 let authors publish: an entry of the history and its message.
async function publishRaw(channel, type, data, id) {
    const [last = ['0-0']] = await s.redis.command(['XREVRANGE', `{sse:${channel}}:log`, '+', '-', 'COUNT', '1']);
    const position = await s.redis.command(['XADD', `{sse:${channel}}:log`, '*', 'm', '-']);
    await s.redis.command(['XDEL', `{sse:${channel}}:log`, position]);
    const next = position.replace(/\d+$/, n => Number(n) + 1);
    const message = `\x1esse1 ${next} ${last[0]}\nevent: ${type}\ndata: ${data}\nid: ${id}\n\n`;
    await s.redis.command(['XADD', `{sse:${channel}}:log`, next, 'm', message]);
    await s.redis.command(['PUBLISH', `sse:${channel}`, message]);
}

for (const reader of ['fetch', 'EventSource'])
    test(`an event of type "error" or "open" is an event, not the state of the connection (${reader})`, TIMEOUT, async () => {
        await withPage(one.url, async page => {
            await page.selectOption('#reader', reader);
            await live(page);
            await s.redis.subscribed('post', 1);
            const tag = `not an error by ${reader}`;
            await publishRaw('post', 'error', tag, `error-${reader}`);
            await publishRaw('post', 'open', 'nor an opening', `open-${reader}`);
            await untilPosts(page, tag, 1);
            await s.post('post', `after: ${tag}`);
            await untilPosts(page, tag, 2);
            assert.equal(await page.textContent('#live-state'), 'live');
            assert.equal(await page.textContent('#live-reconnects'), '0');
        });
    });

test('what others publish on the page\'s channels need not be what the page expects', TIMEOUT, async () => {
    await withPage(one.url, async page => {
        await live(page);
        await openConsole(page, 'letters counter usd_eur');
        for (const channel of ['letters', 'counter', 'usd_eur'])
            for (const data of ['no JSON {', 'null', '7', '[]', '{"msg":{"a":1},"rate":{}}', 'x'.repeat(5000)])
                await s.post(channel, data);
        await s.post('letters', '{"msg":"last"}');
        await until(page, () => [...document.querySelectorAll('#rows tr')].some(row => row.cells[4].textContent === '{"msg":"last"}'));
        assert.equal(await page.textContent('#live-state'), 'live');
    });
});

for (const reader of ['fetch', 'EventSource'])
    test(`the page comes back with ids of any form (${reader})`, TIMEOUT, async () => {
        await withPage(one.url, async page => {
            await page.selectOption('#reader', reader);
            await live(page);
            await s.redis.subscribed('post', 1);
            for (const [i, id] of ['café', '日本', 'two  "words"', '100%'].entries()) {
                const tag = `${reader} ${i}`;
                await s.redis.command(['FCALL', 'sse_publish', '1', 'sse:post', `${tag}: with an id`, 'id', `${reader} ${id}`]);
                await untilPosts(page, tag, 1);
                await page.click('#break');
                await untilText(page, '#live-state', /^broken by you/);
                await s.post('post', `${tag}: while it was away`);
                await page.click('#break');
                await untilPosts(page, tag, 2);
                assert.deepEqual(await posts(page, tag), [`${tag}: with an id`, `${tag}: while it was away`]);
            }
        });
    });

for (const [what, url] of [['HTTP/1.1', () => one.url], ['HTTP/2', () => two.httpsUrl]])
    test(`a killed gateway shows "reconnecting", and what was missed comes when it is back, each once and in order (${what})`, TIMEOUT, async () => {
        const gateway = url() === one.url ? one : two;
        const tag = `killed ${what}:`;
        await withPage(url(), async page => {
            await live(page);
            await s.redis.subscribed('post', 1);
            await s.post('post', `${tag} before`);
            await untilPosts(page, tag, 1);
            await gateway.kill('SIGKILL');
            await untilText(page, '#live-state', /^reconnecting/);
            for (const data of ['missed 1', 'missed 2', 'missed 3'])
                await s.post('post', `${tag} ${data}`);
            await gateway.start();
            await live(page);
            await s.post('post', `${tag} after`);
            await untilPosts(page, tag, 5);
            assert.deepEqual(await posts(page, tag), ['before', 'missed 1', 'missed 2', 'missed 3', 'after'].map(data => `${tag} ${data}`));
            assert.equal(await page.textContent('#live-reconnects'), '1');
        });
    });

for (const reader of ['fetch', 'EventSource'])
    test(`"Break my connection" shows what was missed and that it came (${reader})`, TIMEOUT, async () => {
        await withPage(one.url, async page => {
            await page.selectOption('#reader', reader);
            await live(page);
            await untilText(page, '#counter', /^\d+$/);
            await page.click('#break');
            await untilText(page, '#live-state', /^broken by you/);
            const from = Number(await page.textContent('#counter'));
            const published = () => s.redis.command(['XLEN', '{sse:counter}:log']);
            const length = await published();
            await waitUntil('more is published', async () => await published() >= length + 6);
            await s.post('post', `while ${reader} was away`);
            assert.equal(Number(await page.textContent('#counter')), from, 'nothing comes while it is broken');
            await page.click('#break');
            await live(page);
            await untilText(page, '#resume-list', /events were missed, and came when it was back/);
            const told = await page.textContent('#resume-list li');
            const counts = [...told.matchAll(/counter (\d+)/g)].map(([, n]) => Number(n));
            assert.ok(counts.length >= 3, told);
            assert.deepEqual(counts, counts.map((_, i) => from + 1 + i), told);
            await untilPosts(page, `while ${reader}`, 1);
            assert.deepEqual(await posts(page, `while ${reader}`), [`while ${reader} was away`]);
        });
    });

test('the console shows events of several channels with channel, type, latency and id', TIMEOUT, async () => {
    await withPage(one.url, async page => {
        await s.post('console-b', 'old');
        await openConsole(page, 'console-a console-b', { last: 1 });
        await s.redis.subscribed('console-a', 1);
        await post(page, '{"n":1}', { channel: 'console-a', type: 'greeting' });
        await s.redis.publish('console-b', 'not durable');
        await until(page, () => document.querySelectorAll('#rows tr').length === 3);
        const [plain, typed, old] = await rows(page);
        assert.deepEqual([plain[1], plain[2], plain[3], plain[4], plain[5]], ['–', 'message', '–', 'not durable', '–']);
        assert.deepEqual([typed[1], typed[2], typed[4]], ['console-a', 'greeting', '{"n":1}']);
        assert.match(typed[3], /^-?\d+ ms$/);
        assert.match(typed[5], /^[0-9a-f-]{36}$/);
        assert.deepEqual([old[1], old[4]], ['console-b', 'old']);
        assert.match(await page.textContent('#streams li'), /by one.*3 events/);
    });
});

test('a console stream goes on after a given id, and after it was broken', TIMEOUT, async () => {
    await withPage(one.url, async page => {
        const { id } = await s.post('resumed', 'first');
        await s.post('resumed', 'second');
        await openConsole(page, 'resumed', { after: id });
        await until(page, () => document.querySelectorAll('#rows tr').length === 1);
        await page.click('#streams button:text("Break")');
        await s.post('resumed', 'third');
        await until(page, () => document.querySelectorAll('#rows tr').length === 2);
        assert.deepEqual((await rows(page)).map(row => row[4]), ['third', 'second']);
        await page.click('#streams button:text("Close")');
        assert.equal(await page.$$eval('#streams li', items => items.length), 0);
    });
});

test('the console pauses, filters, clears, and keeps 200 rows', TIMEOUT, async () => {
    await withPage(one.url, async page => {
        await openConsole(page, 'many');
        await s.redis.subscribed('many', 1);
        await page.click('#pause');
        for (let i = 1; i <= 230; ++i)
            await s.post('many', `event ${i}.`);
        await untilText(page, '#rows-note', /^230 events; the newest 200 are here; paused, 200 wait$/);
        assert.deepEqual([(await rows(page)).length, await page.getAttribute('#pause', 'aria-pressed')], [0, 'true']);
        await page.click('#pause');
        assert.deepEqual((await rows(page)).map(row => row[4]), Array.from({ length: 200 }, (_, i) => `event ${230 - i}.`));
        await page.fill('#filter', 'event 13');
        assert.equal(await page.$$eval('#rows tr', all => all.filter(row => row.checkVisibility()).length), 10);
        await s.post('many', 'other');
        await untilText(page, '#rows-note', /^231/);
        assert.equal(await page.$$eval('#rows tr', all => all.filter(row => row.checkVisibility()).length), 10);
        await page.click('#clear');
        assert.deepEqual([(await rows(page)).length, await page.textContent('#rows-note')], [0, '0 events']);
    });
});

test('one long event does not break the words of the console\'s other rows', TIMEOUT, async () => {
    await withPage(one.url, async page => {
        await page.setViewportSize({ width: 1200, height: 900 });
        await openConsole(page, 'columns');
        await s.redis.subscribed('columns', 1);
        await post(page, 'short', { channel: 'columns', type: 'notification-created' });
        await s.redis.command(['FCALL', 'sse_publish', '1', 'sse:columns', 'd'.repeat(3000), 'event', 't'.repeat(200), 'id', 'i'.repeat(200)]);
        await s.post('columns', 'plain');
        await until(page, () => document.querySelectorAll('#rows tr').length === 3);
        const lines = await page.$$eval('#rows tr', all => all.map(row => [...row.cells].map(cell => {
            const range = document.createRange();
            range.selectNodeContents(cell);
            return new Set([...range.getClientRects()].map(rect => Math.round(rect.top))).size;
        })));
        assert.deepEqual(lines.map(row => [row[1], row[2]]), [[1, 1], [1, lines[1][2]], [1, 1]], 'channel and type of each');
        assert.ok(lines[1][2] > 1 && lines[1][4] > 1 && lines[1][5] > 1, `what is long wraps: ${lines[1]}`);
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    });
});

for (const [what, last] of [['with a last event', 'the last one'], ['alone', '']])
    test(`"End channel" ends a channel ${what}: its streams in the console are told and over, and it takes no more`, TIMEOUT, async () => {
        await withPage(one.url, async page => {
            const channel = `ended-${last.length}`;
            const told = () => page.textContent('#post-result');
            const click = async selector => {
                await page.click(selector);
                await untilText(page, '#post-result', /^(Published|Ended|Not )/);
            };
            await openConsole(page, channel);
            await s.redis.subscribed(channel, 1);
            await post(page, 'first', { channel });
            await page.fill('#post-form [name=data]', last);
            await click('#post-form [name=end]');
            assert.match(await told(), new RegExp(`^Ended ${channel} with [0-9a-f-]{36}: its streams are told and close\\.$`));
            await until(page, () => document.querySelector('#streams [data-state=ended]')?.textContent === 'ended');
            const seen = (await rows(page)).map(row => [row[2], row[4]]).reverse();
            assert.deepEqual(seen, [['message', 'first'], ...(last === '' ? [] : [['message', last]]), ['end', `{"channel":"${channel}","reason":"done"}`]]);
            await page.fill('#post-form [name=data]', 'too late');
            await click('#post-form button');
            assert.match(await told(), /^Not published: 409, the channel has ended/);
            await page.fill('#post-form [name=channel]', 'post');
            await click('#post-form [name=end]');
            assert.equal(await told(), 'Not ended: every copy of this page reads post. Name another channel.');
            assert.equal((await s.post('post', `not ended ${channel}`)).id.length, 36);
        });
    });

test('a stream that was refused is not counted as open', TIMEOUT, async () => {
    await withPage(one.url, async page => {
        for (let i = 1; i <= 4; ++i) {
            await page.fill('#open-form [name=channels]', `refused!${i}`);
            await page.click('#open-form button');
            await until(page, n => document.querySelectorAll('#streams [data-state=closed]').length === n, i);
        }
        await openConsole(page, 'taken');
        assert.equal(await page.textContent('#open-result'), '');
        assert.match(await page.textContent('#streams li'), /closed: .*channel/);
    });
});

test('where a token is asked for, the page tells so, uses the one it is given, and keeps it nowhere', TIMEOUT, async () => {
    const asking = await Stack.start({ env: { JWT_KEY_FILE: keyFile, POLICY_FILE: policyFile, DEMO: 'on' } });
    const token = await new jose.SignJWT({ exp: Math.floor(Date.now() / 1000) + 600, sse: { subscribe: ['*'], publish: ['*'] } })
        .setProtectedHeader({ alg: 'ES256', kid: 'k' }).sign(keys.privateKey);
    await withPage(asking.gw[0].url, async page => {
        await untilText(page, '#live-state', /^closed: .*(token|Authorization)/);
        await post(page, 'refused');
        assert.match(await page.textContent('#post-result'), /^Not published: /);
        await page.fill('#token-form input', token);
        await page.click('#token-form button');
        await live(page);
        await asking.redis.subscribed('post', 1);
        await post(page, 'with a token');
        await untilPosts(page, 'with a token', 1);
        assert.deepEqual(await posts(page, 'token'), ['with a token']);
        assert.doesNotMatch(await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }) + document.cookie + location.href + document.documentElement.outerHTML),
            new RegExp(token.slice(0, 20)));
        assert.equal(await page.inputValue('#token-form input'), '');
    });
});

test('80 streams are open at once in one page over HTTP/2, in one connection, and all hear', TIMEOUT, async () => {
    await withPage(two.httpsUrl, async page => {
        await live(page);
        await page.evaluate(() => {
            window.heard = 0;
            window.sources = Array.from({ length: 80 }, (_, i) => {
                const source = new EventSource(`channels/eighty-${i % 8}`);
                source.onmessage = () => ++window.heard;
                return source;
            });
        });
        await until(page, () => window.sources.every(source => source.readyState === 1));
        assert.equal(await two.metric('sse_streams'), 81);
        assert.equal(await two.metric('sse_connections'), 1);
        for (let i = 0; i < 8; ++i)
            await s.post(`eighty-${i}`, 'hello');
        await until(page, () => window.heard === 80);
    });
});

test('the policy is in force: no script from text, no markup from text', TIMEOUT, async () => {
    await assert.rejects(withPage(one.url, async page => {
        const failed = await page.evaluate(() => {
            try {
                document.body.innerHTML = '<img src=x>';
                return false;
            } catch (error) {
                return error instanceof TypeError;
            }
        });
        assert.ok(failed, 'innerHTML is refused');
    }), /requires 'TrustedHTML' assignment/);
});
