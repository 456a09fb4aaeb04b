// The page at /status in headless Chromium.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack } from '../integration/stack.mjs';
import { openStream } from '../integration/sse.mjs';
import { TIMEOUT, until, untilText, withPage } from './browser.mjs';

const s = await Stack.start({ gateways: 2, env: { STATUS_MS: 300, TICKERS: 'counter:100' }, gatewayEnv: [{ NODE_NAME: 'one' }, { NODE_NAME: 'two' }], publisherEnv: [{ NODE_NAME: 'pub' }] });
const nodes = page => page.$$eval('#nodes article', all => all.map(card => [card.querySelector('h3').textContent, card.dataset.state]));
const untilNodes = (page, want) => until(page, text => JSON.stringify([...document.querySelectorAll('#nodes article')].map(card =>
    [card.querySelector('h3').textContent, card.dataset.state])) === text, JSON.stringify(want)).catch(async error => {
    throw new Error(`${error.message}; it shows ${JSON.stringify(await nodes(page))}`);
});
const fact = (page, node, name) => page.evaluate(([title, term]) => [...document.querySelectorAll('#nodes article')].find(card =>
    card.querySelector('h3').textContent === title && card.dataset.state !== 'gone').querySelectorAll('dt').values().find(dt => dt.textContent === term).nextSibling.textContent, [node, name]);

test('it shows both gateways and the publisher, and one as gone after it was killed', TIMEOUT, async () => {
    const stream = await openStream(`${s.gw[1].url}/events`);
    await withPage(`${s.gw[0].adminUrl}/status`, async page => {
        await untilText(page, '#state', /^live$/);
        await untilNodes(page, [['one', 'ready'], ['two', 'ready'], ['pub', 'ready']]);
        await untilText(page, '#tiles article:nth-child(1) .big', /^1$/);
        await untilText(page, '#tiles article:nth-child(2) .big', /^([5-9]|1\d)(\.\d)?\/s$/);
        assert.deepEqual([await fact(page, 'one', 'Streams'), await fact(page, 'two', 'Streams')], ['0', '1']);
        await until(page, () => /^[\d.]+ (µs|ms)$/.test([...document.querySelectorAll('#nodes dt')].find(dt => dt.textContent === 'Bus round trip').nextSibling.textContent));
        await s.gw[1].kill('SIGKILL');
        await untilNodes(page, [['two', 'gone'], ['one', 'ready'], ['pub', 'ready']]);
        await untilText(page, '#tiles article:nth-child(1) .big', /^0$/);
        await s.gw[1].start();
        await untilNodes(page, [['two', 'gone'], ['one', 'ready'], ['two', 'ready'], ['pub', 'ready']]);
    });
    stream.close();
});

test('closes are counted by reason', TIMEOUT, async () => {
    await withPage(`${s.gw[0].adminUrl}/status`, async page => {
        const streams = await Promise.all(Array.from({ length: 3 }, () => openStream(`${s.gw[1].url}/channels/closes`)));
        streams.forEach(stream => stream.close());
        await untilText(page, '#closes', /client closed3/);
    });
});

test('what another node says is text and nothing else, and nonsense is left out', TIMEOUT, async () => {
    await withPage(`${s.gw[0].adminUrl}/status`, async page => {
        await untilNodes(page, [['one', 'ready'], ['two', 'ready'], ['pub', 'ready']]);
        const evil = '<img src=x onerror=alert(1)><script>alert(2)</script>';
        const tell = said => s.redis.command(['PUBLISH', 'sse:!nodes', typeof said === 'string' ? said : JSON.stringify(said)]);
        const good = { node: evil, id: evil, role: 'gateway', version: evil, why: evil, seq: 1, every_ms: 60000, closes: { [evil.slice(0, 40)]: 5 }, streams: 'many', events_out: -5 };
        for (const said of ['{}', '{"id":1}', '{"id":', { ...good, role: evil }, { ...good, seq: 'x' }, { ...good, every_ms: 1e9 }, { ...good, id: '' }, { ...good, node: 'x'.repeat(201) },
            { ...good, node: { a: 1 } }, '{"__proto__":{"x":1},"id":"p"}'])
            await tell(said);
        await tell(good);
        await until(page, text => [...document.querySelectorAll('#nodes h3')].some(title => title.textContent === text), evil);
        assert.equal((await nodes(page)).length, 4);
        assert.equal(await page.$$eval('#nodes img, #nodes script, #closes img', found => found.length), 0);
        await untilText(page, '#closes', /<img src=x/);
    });
});

test('a cluster of 300 nodes stays readable and bounded', TIMEOUT, async () => {
    await withPage(`${s.gw[0].adminUrl}/status`, async page => {
        await untilNodes(page, [['one', 'ready'], ['two', 'ready'], ['pub', 'ready']]);
        for (let i = 0; i < 300; ++i)
            await s.redis.command(['PUBLISH', 'sse:!nodes', JSON.stringify({ node: `n${i}`, id: `n${i}`, role: 'gateway', version: '1', seq: 1, every_ms: 60000, streams: 10 })]);
        await untilText(page, '#tiles article:nth-child(1) .big', /^3,000$/);
        await untilText(page, '#nodes-title', /^Nodes: 200 of 303$/);
        assert.equal((await nodes(page)).length, 200);
    });
});

test('while its gateway has no Redis the page says so: the others are unknown, not gone, and the sums are old', TIMEOUT, async () => {
    const cut = await Stack.start({ gateways: 2, env: { STATUS_MS: 300 }, gatewayEnv: [{ NODE_NAME: 'one' }, { NODE_NAME: 'two' }], publisherEnv: [{ NODE_NAME: 'pub' }] });
    const stream = await openStream(`${cut.gw[1].url}/channels/kept`);
    await withPage(`${cut.gw[0].adminUrl}/status`, async page => {
        await untilText(page, '#state', /^live$/);
        await untilNodes(page, [['one', 'ready'], ['two', 'ready'], ['pub', 'ready']]);
        await untilText(page, '#tiles article:nth-child(1) .big', /^1$/);
        await cut.redis.kill();
        await untilText(page, '#state', /^this gateway has no Redis: what is shown of the others is from \d\d:\d\d:\d\d$/);
        assert.equal(await page.getAttribute('#state', 'data-state'), 'failing');
        await untilNodes(page, [['one', 'failing'], ['two', 'unknown'], ['pub', 'unknown']]);
        assert.notEqual(await page.getAttribute('#tiles', 'data-old'), null);
        assert.equal(await page.textContent('#tiles article:nth-child(1) .big'), '1', 'as last heard');
        await cut.redis.start();
        await untilText(page, '#state', /^live$/);
        await untilNodes(page, [['one', 'ready'], ['two', 'ready'], ['pub', 'ready']]);
        assert.equal(await page.getAttribute('#tiles', 'data-old'), null);
    });
    stream.close();
});
