// proto/examples/browser and react in headless Chromium: they show what is published, once and in order, over a gateway that is killed and one that answers 503 for a while.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, SCALE, Stack, tempFolder, until } from '../integration/stack.mjs';
import { EXAMPLES } from './programs.mjs';

const CHROMIUM = process.env.CHROMIUM || '/usr/bin/chromium';
const options = { skip: existsSync(CHROMIUM) ? false : `no Chromium (Debian: chromium) at ${CHROMIUM}`, timeout: 90000 * SCALE };
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

// The React example with a root to hang it in, as a bundler makes it for a page. StrictMode runs every effect twice, so that one that does not clean up shows.
const MAIN = `import { StrictMode } from 'react'; import { createRoot } from 'react-dom/client'; import { News } from './News.jsx';
    createRoot(document.getElementById('root')).render(<StrictMode><News url={new URLSearchParams(location.search).get('url')} /></StrictMode>);`;

async function bundle() {
    const { build } = await import('esbuild');
    const { outputFiles: [{ text }] } = await build({ stdin: { contents: MAIN, loader: 'jsx', resolveDir: join(EXAMPLES, 'react') }, bundle: true, write: false, format: 'esm',
        jsx: 'automatic', nodePaths: [join(ROOT, 'tests/examples/node_modules')], define: { 'process.env.NODE_ENV': '"development"' } });
    return text;
}

// Another origin than the gateway's, as an application's own.
const files = { '/events.html': 'browser/events.html', '/token.html': 'browser/token.html', '/source.js': '../../gateway/page/source.js' };
const site = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://x');
    const html = '<!doctype html><meta charset="utf-8"><title>News</title><div id="root"></div><script type="module" src="/react.js"></script>';
    const body = pathname === '/react.html' ? html : pathname === '/react.js' ? await bundle() : files[pathname] ? readFileSync(join(EXAMPLES, files[pathname])) : null;
    response.writeHead(body === null ? 404 : 200, { 'content-type': pathname.endsWith('.js') ? 'text/javascript' : 'text/html' }).end(body);
});

let browser, origin;
before(async () => {
    await new Promise(done => site.listen(0, '127.0.0.1', done));
    origin = `http://localhost:${site.address().port}`;
    if (!options.skip) {
        const { chromium } = await import('playwright-core');
        browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS, timeout: 30000 * SCALE });
    }
});
after(() => (site.close(), browser?.close()));

const shown = page => page.$$eval('li', items => items.map(item => item.textContent));

async function shows(page, wanted) {
    await page.waitForFunction(n => document.querySelectorAll('li').length >= n, wanted.length, { timeout: 30000 * SCALE, polling: 50 }).catch(() => {});
    assert.deepEqual(await shown(page), wanted);
}

async function withPage(address, body) {
    const page = await browser.newPage();
    const faults = [];
    page.on('pageerror', error => faults.push(error.message));
    page.on('console', message => message.type() === 'error' && !/ERR_|Failed to load/.test(message.text()) && faults.push(message.text()));
    try {
        await page.goto(address);
        await body(page);
        assert.deepEqual(faults, []);
    } finally {
        await page.close();
    }
}

// Publishes while the page is there, while no gateway is, and again.
async function throughDeaths(s, page) {
    const [gw] = s.gw;
    await gw.waitMetric('sse_streams', 1, { ms: 30000 });
    await s.post('news', 'one\ntwo <b>ä€😀</b>');
    await s.post('news', 'hello', { headers: { 'sse-event': 'greeting' } });
    const wanted = ['message: one\ntwo <b>ä€😀</b>', 'greeting: hello'];
    await shows(page, wanted);
    await gw.kill('SIGKILL');
    await s.post('news', 'while it is away');
    await gw.start();
    await s.post('news', 'and back');
    wanted.push('message: while it is away', 'message: and back');
    await shows(page, wanted);
    await gw.waitMetric('sse_streams', 1, { ms: 30000 });
    return wanted;
}

const start = env => Stack.start({ env: { RETRY_MS: 200, CORS_ORIGINS: origin, ...env } });

for (const name of ['events', 'react'])
    test(`the ${name === 'react' ? 'React hook' : 'EventSource page'} shows each event once, over a killed gateway and after a 503`, options, async () => {
        const s = await start();
        const [gw] = s.gw;
        await withPage(`${origin}/${name}.html?url=${encodeURIComponent(`${gw.url}/channels/news`)}`, async page => {
            const wanted = await throughDeaths(s, page);
            await gw.kill();
            // What a proxy says when it has no gateway left.
            let refused = 0;
            const proxy = createServer((request, response) => (++refused, response.writeHead(503, { 'access-control-allow-origin': origin, connection: 'close' }).end()));
            await new Promise(done => proxy.listen(gw.port, '127.0.0.1', done));
            await s.post('news', 'while a proxy refuses');
            await until('the page is refused', () => refused === 1, 30000);
            await new Promise(done => (proxy.close(done), proxy.closeAllConnections()));
            await gw.start();
            await shows(page, [...wanted, 'message: while a proxy refuses']);
            assert.equal(await gw.metric('sse_streams'), 1);
        });
    });

test('the page with a token reads what only the token grants, resumes after a killed gateway, and says why it was refused', options, async () => {
    const file = join(tempFolder(), 'key');
    const secret = randomBytes(32);
    writeFileSync(file, secret);
    const s = await start({ JWT_KEY_FILE: file });
    const b64 = value => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = `${b64({ alg: 'HS256', typ: 'JWT' })}.${b64({ exp: Math.floor(Date.now() / 1000) + 600, sse: { subscribe: ['news'], publish: ['news'] } })}`;
    const token = `${claims}.${createHmac('sha256', secret).update(claims).digest('base64url')}`;
    const post = s.post.bind(s);
    s.post = (channel, data, { headers = {} } = {}) => post(channel, data, { headers: { authorization: `Bearer ${token}`, ...headers } });
    const address = more => `${origin}/token.html#${new URLSearchParams({ url: `${s.gw[0].url}/channels/news`, ...more })}`;
    await withPage(address({ token }), page => throughDeaths(s, page));
    await withPage(address({}), page => shows(page, ['refused: a token is required: Authorization: Bearer TOKEN']));
});
