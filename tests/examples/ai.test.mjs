// proto/examples/ai: answers that are written by a worker and read by the AI SDK's useChat, OpenAI's library and htmx 4, and a job's progress; over reloads, tabs and deaths.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, SCALE, Stack, freePort, quiet, until } from '../integration/stack.mjs';
import { EXAMPLES, Example, copyOf } from './programs.mjs';

const CHROMIUM = process.env.CHROMIUM || '/usr/bin/chromium';
const options = { skip: existsSync(CHROMIUM) ? false : `no Chromium (Debian: chromium) at ${CHROMIUM}`, timeout: 90000 * SCALE };
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const PACKAGES = join(ROOT, 'tests/examples/node_modules');

const port = await freePort();
const app = `http://localhost:${port}`;
// Its address in a page is the gateway's; the pages have the one that they are shown with.
const site = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://x');
    const files = { '/htmx.js': join(PACKAGES, 'htmx.org/dist/htmx.js'), '/hx-sse.js': join(PACKAGES, 'htmx.org/dist/ext/hx-sse.js'),
        '/answer.html': join(EXAMPLES, 'ai/answer.html'), '/progress.html': join(EXAMPLES, 'ai/progress.html') };
    const file = files[pathname];
    response.writeHead(file ? 200 : 404, { 'content-type': pathname.endsWith('.js') ? 'text/javascript' : 'text/html' });
    response.end(file && readFileSync(file, 'utf8').replaceAll('http://localhost:4043', s.gw[0].url));
});
await new Promise(done => site.listen(0, '127.0.0.1', done));
const origin = `http://localhost:${site.address().port}`;
const s = await Stack.start({ gateways: 2, env: { RETRY_MS: 200, CORS_ORIGINS: `${app},${origin}` } });

let browser;
before(async () => {
    if (!options.skip) {
        const { chromium } = await import('playwright-core');
        browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS, timeout: 30000 * SCALE });
    }
});
after(() => (site.close(), browser?.close()));

const at = copyOf();
const env = { GATEWAY: s.gw[0].url, MODEL_MS: '20' };
const run = (name, args, more = {}) => new Example({ file: `ai/${name}`, run: (file, folder) => [process.execPath, join(folder, file)], at }, args, { ...env, ...more });

const { model } = await import(join(at, 'ai/model.mjs'));
async function textOf(question) {
    let text = '';
    for await (const { choices: [{ delta }] } of model(question, { waitMs: 0 }))
        text += delta.content ?? '';
    return text;
}

async function withPage(address, body) {
    const context = await browser.newContext();
    const faults = [], asked = [];
    context.on('request', request => request.url().startsWith(s.gw[0].url) && request.method() === 'GET' && asked.push(request.url()));
    const open = async url => {
        const page = await context.newPage();
        page.on('pageerror', error => faults.push(error.message));
        page.on('console', message => message.type() === 'error' && !/ERR_|Failed to load/.test(message.text()) && faults.push(message.text()));
        await page.goto(url);
        return page;
    };
    try {
        await body(await open(address), open, asked);
        assert.deepEqual(faults, []);
    } finally {
        await context.close();
    }
}

const items = page => page.$$eval('li', list => list.map(element => element.textContent));
const untilIn = (page, what, fn, arg) => page.waitForFunction(fn, arg, { timeout: 30000 * SCALE, polling: 20 }).catch(async () => {
    throw new Error(`${what}; the page has: ${await page.textContent('body')}`);
});
const begun = page => untilIn(page, 'the answer begins', () => document.querySelectorAll('li')[1]?.textContent.length > 30);
const ready = (page, n) => untilIn(page, 'the answer is there', count => document.querySelectorAll('li').length === count && document.querySelector('output').textContent === 'ready', n);

test('useChat shows an answer once and whole, over a reload in the middle, in a second tab, and after its end', options, async t => {
    const { build } = await import('esbuild');
    const { outputFiles: [{ text }] } = await build({ entryPoints: [join(EXAMPLES, 'ai/page.jsx')], bundle: true, write: false, format: 'esm', jsx: 'automatic', nodePaths: [PACKAGES],
        define: { 'process.env.NODE_ENV': '"development"' } });
    writeFileSync(join(at, 'ai/page.js'), text);
    const server = run('server.mjs', [String(port)], { MODEL_MS: '100' }); // so that an answer takes longer than two pages need to load, on a busy machine too
    t.after(() => server.kill()); // else this process would wait for it for ever
    await server.printed(`${app}/?chat=1\n`);
    const question = 'what is an answer?', whole = [question, await textOf(question)];
    const statuses = [];
    await withPage(`${app}/?chat=1`, async (page, open) => {
        page.on('response', answer => answer.url().startsWith(s.gw[0].url) && statuses.push(answer.status()));
        await page.fill('input', question);
        await page.click('button');
        await begun(page);
        const second = await open(`${app}/?chat=1`);
        await page.reload();
        await Promise.all([begun(page), begun(second)]);
        assert.ok((await items(page))[1].length < whole[1].length, 'it was reloaded in the middle');
        await Promise.all([ready(page, 2), ready(second, 2)]);
        assert.deepEqual(await items(page), whole);
        assert.deepEqual(await items(second), whole);
        assert.deepEqual(statuses, [200, 200]);
        await page.reload();
        await untilIn(page, 'it knows that there is no more', () => document.querySelector('output')?.textContent === 'ready');
        await until('the gateway said so', () => statuses.length === 3);
        assert.deepEqual(statuses, [200, 200, 204]);
        assert.deepEqual(await items(page), whole);

        await page.fill('input', 'and another?');
        await page.click('button');
        await ready(page, 4);
        assert.deepEqual(await items(page), [...whole, 'and another?', await textOf('and another?')]);
        await second.reload();
        await ready(second, 4);
        assert.deepEqual(await items(second), await items(page));
    });
    await s.gw[0].waitMetric('sse_streams', 0);
});

test("OpenAI's library reads an answer before, during and after it is written, at two gateways", { timeout: 60000 * SCALE }, async () => {
    const whole = `${await textOf('why?')}\n`;
    const early = run('read.mjs', ['answers/openai']);
    await s.gw[0].waitMetric('sse_streams', 1);
    const worker = run('worker.mjs', ['answers/openai', 'why?', 'chunks']);
    await early.printed(whole.slice(0, 40));
    const during = run('read.mjs', ['answers/openai'], { GATEWAY: s.gw[1].url });
    for (const reader of [early, during])
        assert.deepEqual([await reader.status(), reader.out], [0, whole]);
    assert.equal(await worker.status(), 0, worker.tail());
    const late = run('read.mjs', ['answers/openai'], { GATEWAY: s.gw[1].url });
    assert.deepEqual([await late.status(), late.out], [0, whole]);
});

test('a worker that dies leaves no reader waiting: the answer ends, and is not taken for whole', { timeout: 60000 * SCALE }, async () => {
    const reader = run('read.mjs', ['answers/dead']);
    const worker = run('worker.mjs', ['answers/dead', 'why?', 'chunks'], { LEASE_S: '1' });
    await reader.printed('You asked: why?.');
    await worker.kill('SIGKILL');
    assert.equal(await reader.status(), 1);
    assert.ok((await textOf('why?')).startsWith(reader.out.trimEnd()));
});

test('htmx 4 swaps an answer in, word by word, and stops at its end', options, async () => {
    const worker = run('worker.mjs', ['answers/1', '<b>why?</b>', 'html']);
    await withPage(`${origin}/answer.html`, async (page, open, asked) => {
        assert.equal(await worker.status(), 0, worker.tail());
        await untilIn(page, 'the answer is there', text => document.querySelector('p').textContent === text, await textOf('<b>why?</b>'));
        await s.gw[0].waitMetric('sse_streams', 0);
        await quiet(1500); // it would come back after half a second
        assert.equal(asked.length, 1, asked.join('\n'));
    });
});

test('the progress bar of a job moves, says when it is done, and shows it to whoever comes later', options, async () => {
    const page = path => `${origin}/progress.html?url=${encodeURIComponent(`${s.gw[0].url}/channels/${path}`)}`;
    const bar = view => view.evaluate(() => [document.querySelector('progress').value, document.querySelector('output').value]);
    const says = (view, text) => untilIn(view, `it says ${text}`, wanted => document.querySelector('output').value === wanted, text);
    await withPage(page('jobs/1'), async (early, open) => {
        const job = run('job.mjs', ['jobs/1']);
        await untilIn(early, 'it moves', () => document.querySelector('progress').value > 10);
        const middle = await open(page('jobs/1'));
        await untilIn(middle, 'it shows where the job is', () => document.querySelector('progress').value > 10);
        for (const view of [early, middle])
            await says(view, 'done');
        assert.equal(await job.status(), 0, job.tail());
        const late = await open(page('jobs/1'));
        await says(late, 'done');
        for (const view of [early, middle, late])
            assert.deepEqual(await bar(view), [100, 'done']);
    });
});
