// Headless Chromium for a test file, and pages in it that fail the test when they throw, say something in the console or break their policy.
import { after, before } from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { chromium } from 'playwright-core';
import { SCALE } from '../integration/wait.mjs';

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP *.example.org 127.0.0.1'];
export const TIMEOUT = { timeout: 90000 * SCALE };

let browser;
before(async () => {
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: FLAGS, timeout: 30000 * SCALE });
});
after(() => browser?.close());

// An origin of its own: a server of one empty page.
export function origin() {
    return new Promise(resolve => {
        const server = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>page</title>'));
        server.listen(0, '127.0.0.1', () => resolve({ url: `http://localhost:${server.address().port}`, close: () => server.close() }));
    });
}

// What a page whose gateway went away can't help saying.
const NETWORK = /Failed to load resource|net::ERR_|ERR_CONNECTION/;

// Runs `body` with a context of its own; `open(url)` gives a page in it. What a page does wrong fails the test: exceptions, complaints in the console, what its policy forbade,
// and requests to another origin. `strangers`: it asks others, and the console may say what they refused.
export async function withContext(options, body) {
    const { strangers = false, ...rest } = options;
    const context = await browser.newContext({ ignoreHTTPSErrors: true, reducedMotion: 'reduce', ...rest });
    const faults = [];
    await context.addInitScript(() => addEventListener('securitypolicyviolation', event => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`)));
    const open = async url => {
        const page = await context.newPage();
        page.setDefaultTimeout(30000 * SCALE);
        page.on('pageerror', error => faults.push(error.message));
        page.on('console', message => !strangers && ['error', 'warning'].includes(message.type()) && !NETWORK.test(message.text()) && faults.push(message.text()));
        page.on('request', request => !strangers && new URL(request.url()).origin !== new URL(url).origin && !request.url().startsWith('data:') &&
            faults.push(`asked ${request.url()}`));
        await page.goto(url);
        return page;
    };
    try {
        await body(open, context);
        assert.deepEqual(faults, []);
    } finally {
        await context.close();
    }
}

// One page at `url`.
export const withPage = (url, body, options = {}) => withContext(options, async open => body(await open(url)));

export const until = (page, fn, arg) => page.waitForFunction(fn, arg, { timeout: 30000 * SCALE, polling: 20 });

// Waits until the element's text matches.
export const untilText = (page, selector, re) => until(page, ([at, source]) => new RegExp(source).test(document.querySelector(at)?.textContent), [selector, re.source]);
