// Both pages for people who see, hear or type them: axe finds nothing, a phone needs no sideways scrolling, the keyboard reaches all. SCREENSHOTS=1 takes the pictures beside
// this file anew.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Stack, until as waitUntil } from '../integration/stack.mjs';
import { openStream } from '../integration/sse.mjs';
import { TIMEOUT, until, untilText, withPage } from './browser.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const HERE = dirname(fileURLToPath(import.meta.url));
const DESKTOP = { width: 1200, height: 900 };
const PHONE = { width: 360, height: 740 };

const s = await Stack.start({ gateways: 2, tls: [1], env: { TICKERS: 'letters:200,counter:200,usd_eur:100', STATUS_MS: 300, RETRY_MS: 200 },
    gatewayEnv: [{ NODE_NAME: 'gateway-1' }, { NODE_NAME: 'gateway-2' }], publisherEnv: [{ NODE_NAME: 'publisher' }] });
const streams = await Promise.all(Array.from({ length: 20 }, (_, i) => openStream(`${s.gw[i % 2].url}/events`)));
streams.splice(12).forEach(stream => stream.close());

// The page with something of everything in it.
async function fill(page) {
    await untilText(page, '#live-state', /^live$/);
    await page.fill('#open-form [name=last]', '3');
    await page.click('#open-form button');
    await page.fill('#post-form [name=data]', '{"hello":"everybody"}');
    await page.click('#post-form button');
    await until(page, () => document.querySelectorAll('#rows tr').length >= 8 && document.querySelectorAll('#posts li:not(.muted)').length >= 1);
    await page.click('#pause');
    await page.click('#break');
    await s.post('post', 'you were away');
    await until(page, () => document.querySelector('#live-state').dataset.state === 'broken');
    const published = () => s.redis.command(['XLEN', '{sse:counter}:log']);
    const length = await published();
    await waitUntil('more is published', async () => await published() >= length + 6);
    await page.click('#break');
    await untilText(page, '#resume-list', /came when it was back/);
    await page.evaluate(() => scrollTo(0, 0));
}

async function watch(page) {
    await until(page, points => document.querySelectorAll('#nodes article').length === 3 && document.querySelectorAll('#closes meter').length > 0 &&
        document.querySelector('#tiles path:last-child').getAttribute('d').split('L').length > points, process.env.SCREENSHOTS ? 10 : 2);
}

const PAGES = [['page', () => s.gw[1].httpsUrl, fill], ['status', () => `${s.gw[0].adminUrl}/status`, watch]];

for (const [name, url, prepare] of PAGES)
    for (const colorScheme of ['light', 'dark']) {
        test(`${name}: axe finds nothing wrong in ${colorScheme} colours, on a desk and on a phone`, TIMEOUT, async () => {
            for (const viewport of [DESKTOP, PHONE])
                await withPage(url(), async page => {
                    await prepare(page);
                    await page.evaluate(AXE);
                    const { violations, passes } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
                    assert.deepEqual(violations.map(({ id, impact, nodes }) => `${impact}: ${id}: ${nodes.map(node => node.html).join(' ').slice(0, 300)}`), []);
                    assert.ok(passes.length > 10, 'axe looked at it');
                    if (process.env.SCREENSHOTS)
                        await page.screenshot({ path: join(HERE, `${name}-${viewport === PHONE ? 'phone' : 'desk'}-${colorScheme}.png`), fullPage: true });
                }, { colorScheme, viewport });
        });
    }

for (const [name, url, prepare] of PAGES)
    test(`${name}: a phone of 360 pixels needs no sideways scrolling`, TIMEOUT, async () => {
        for (const width of [360, 320])
            await withPage(url(), async page => {
                await prepare(page);
                const wide = await page.evaluate(() => [...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > innerWidth + 1 &&
                    !one.closest('.scroll, pre, .hidden, thead, .trail')).map(one => one.outerHTML.slice(0, 120)));
                assert.deepEqual(wide, []);
                assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
            }, { viewport: { width, height: 740 } });
    });

test('all of the page is done with the keyboard alone, and one sees where it is', TIMEOUT, async () => {
    await withPage(s.gw[1].httpsUrl, async page => {
        await untilText(page, '#live-state', /^live$/);
        const seen = [];
        for (let i = 0; i < 40; ++i) {
            await page.keyboard.press('Tab');
            const at = await page.evaluate(() => {
                const one = document.activeElement;
                const outlined = getComputedStyle(one.closest('label') && one.type === 'radio' ? one.closest('label') : one).outlineStyle !== 'none';
                return [one.id || one.name || one.className || one.tagName, outlined];
            });
            if (at[0] === 'BODY')
                break;
            assert.ok(at[1], `${at[0]} shows that it has the focus`);
            seen.push(at[0]);
        }
        for (const id of ['skip', 'theme', 'break', 'reader', 'channel', 'type', 'data', 'channels', 'last', 'after', 'pause', 'clear', 'filter', 'box', 'scroll', 'token'])
            assert.ok(seen.includes(id), `${id} is reached: ${seen}`);
        await page.focus('#post-form [name=data]');
        await page.keyboard.type('typed');
        await page.keyboard.press('Control+Enter');
        await untilText(page, '#posts', /typed/);
        await page.focus('#break');
        await page.keyboard.press('Enter');
        await untilText(page, '#live-state', /^broken by you/);
    });
});

test('what changes all the time is not read out: only states and results are', TIMEOUT, async () => {
    await withPage(s.gw[1].httpsUrl, async page => {
        assert.deepEqual(await page.$$eval('[aria-live], [role=status], [role=log], [role=alert], output', all => all.map(one => one.id).sort()),
            ['live-state', 'open-result', 'post-result', 'token-result']);
    });
});

test('the switch of colours is kept, and nothing moves for those who asked for that', TIMEOUT, async () => {
    await withPage(s.gw[1].httpsUrl, async page => {
        const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        const light = await ground();
        await page.click('#theme label:has-text("Dark")');
        const dark = await ground();
        assert.notEqual(dark, light);
        await page.reload();
        await until(page, colour => getComputedStyle(document.body).backgroundColor === colour, dark);
        await untilText(page, '#live-state', /^live$/);
        assert.deepEqual(await page.evaluate(() => document.getAnimations().length), 0);
        await page.emulateMedia({ reducedMotion: 'no-preference' });
        await until(page, () => document.getAnimations().length > 0);
    });
});
