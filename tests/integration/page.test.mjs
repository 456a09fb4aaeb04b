// The page at / and what it may load.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack } from './stack.mjs';
import { request } from './sse.mjs';

const s = await Stack.start({ publishers: 0 });

test('/ is an HTML page that needs nothing from anywhere else', async () => {
    const page = await request(`${s.gw[0].url}/`, { headers: { accept: 'text/html' } });
    assert.equal(page.status, 200);
    assert.match(page.headers['content-type'], /^text\/html; ?charset=utf-8$/i);
    assert.match(page.body, /^<!doctype html>/i);
    assert.doesNotMatch(page.body, /(src|href)="https?:/);
    const head = await request(`${s.gw[0].url}/`, { method: 'HEAD' });
    assert.deepEqual([head.status, head.body, head.headers['content-length']], [200, '', String(page.bytes.length)]);
});
