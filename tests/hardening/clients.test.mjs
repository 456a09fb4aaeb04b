// What the guard must leave alone: load generators, browsers that reload pages full of streams, clients that answer every frame.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SANITIZED, SCALE, until } from '../integration/stack.mjs';
import { H2 } from '../integration/sse.mjs';
import { FLAG, Frames, TYPE, block, frame, u32 } from './frames.mjs';
import { HARDENING_SCALE, Stage } from './stage.mjs';

const run = promisify(execFile);
const LIMIT = { timeout: 120000 * SCALE };
const REQUESTS = (SANITIZED ? 10000 : 100000) * HARDENING_SCALE;
const stage = await Stage.start({ publisher: { BODIES_LIMIT: 1 << 28 } }); // one address may send a quarter of it at once
const { gw, pub } = stage;

const body = join(stage.stack.folder, 'body.json');
writeFileSync(body, '{"some":"event"}');
const POST = ['-d', body, '-H', 'content-type: application/json'];

for (const [what, server, path, more, requests] of [
    ['short GETs to the gateway', gw, '/no-such-path', [], REQUESTS],
    ['the page', gw, '/', [], REQUESTS / 10],
    ['POSTs to the publisher', pub, '/channels/loaded', POST, REQUESTS],
    ['POSTs through the gateway', gw, '/channels/loaded', POST, REQUESTS / 10],
])
    test(`h2load, 10 connections with 90 requests at a time: ${requests} ${what} are all answered`, LIMIT, async () => {
        const { stdout } = await run('h2load', ['-n', requests, '-c', 10, '-m', 90, ...more, `${server.url}${path}`], { maxBuffer: 1 << 24 });
        const [, done, failed] = /requests: \d+ total, \d+ started, (\d+) done, \d+ succeeded, \d+ failed, (\d+) errored/.exec(stdout);
        assert.deepEqual([Number(done), Number(failed)], [requests, 0], stdout);
    });

test('a page with 90 streams that is reloaded once a second, and ten times in a row: its connection stays', LIMIT, async () => {
    const h2 = await H2.connect(gw.url);
    for (let i = 0; i < 10; ++i) {
        const streams = await Promise.all(Array.from({ length: 90 }, () => h2.open('/channels/watched')));
        streams.forEach(stream => stream.close());
        await Promise.all(streams.map(stream => stream.closed));
    }
    assert.equal((await h2.request('/')).status, 200);
    h2.close();
});

test('a client that answers every DATA frame with two WINDOW_UPDATEs keeps its connection, however many there are', LIMIT, async () => {
    const c = await Frames.connect(gw.port), open = [];
    for (let i = 0; i < 50; ++i)
        open.push(c.request('GET', '/channels/updated'));
    await until('all are open', () => open.every(stream => c.find(TYPE.DATA, one => one.stream === stream)));
    await stage.stack.redis.subscribed('updated');
    let answered = 0;
    while (answered < 20000 && !c.closed) { // 40,000 WINDOW_UPDATEs; 10,000 are a connection's to begin with
        for (let i = 0; i < 20; ++i)
            stage.stack.redis.publish('updated', 'x');
        const fresh = await until('the events come', () => (c.find(TYPE.DATA) ? c.seen.splice(0).filter(one => one.type === TYPE.DATA) : null));
        for (const { stream, payload } of fresh)
            c.send(frame(TYPE.WINDOW_UPDATE, 0, stream, u32(Math.max(1, payload.length))), frame(TYPE.WINDOW_UPDATE, 0, 0, u32(Math.max(1, payload.length))));
        answered += fresh.length;
    }
    assert.equal(c.closed, false);
    c.close();
});

test('16 bodies of the largest size at once, on one connection, are taken', LIMIT, async () => {
    const h2 = await H2.connect(pub.url), data = 'x'.repeat(1 << 20);
    const answers = await Promise.all(Array.from({ length: 16 }, () =>
        h2.request('/channels/large', { method: 'POST', headers: { 'content-type': 'text/plain' }, body: data })));
    assert.deepEqual([...new Set(answers.map(answer => answer.status))], [200]);
    h2.close();
});

test('a head of 30 KB in many frames, and of 200 cookie crumbs, is taken', LIMIT, async () => {
    const c = await Frames.connect(gw.port);
    const crumbs = Array.from({ length: 200 }, (_, i) => ['cookie', `${i}=${'c'.repeat(100)}`]);
    const head = Buffer.from(block('GET', '/', crumbs), 'latin1');
    c.send(frame(TYPE.HEADERS, FLAG.END_STREAM, 1, head.subarray(0, 1000).toString('latin1')));
    for (let at = 1000; at < head.length; at += 1000)
        c.send(frame(TYPE.CONTINUATION, at + 1000 >= head.length ? FLAG.END_HEADERS : 0, 1, head.subarray(at, at + 1000).toString('latin1')));
    const answer = await c.wait('the answer', TYPE.HEADERS);
    assert.equal(answer.payload[0], 0x88, '200');
    c.close();
});

test('heads over 32 KB up to 64 KB are still answered: 431', LIMIT, async () => {
    const h2 = await H2.connect(gw.url);
    const answer = await h2.request('/', { headers: { 'x-large': '\u007e'.repeat(40000) } });
    assert.equal(answer.status, 431);
    h2.close();
});

test('frames of types made up to be ignored, a PING every 20 ms and PRIORITY with each request do no harm', LIMIT, async () => {
    const c = await Frames.connect(gw.port);
    for (let i = 0; i < 100; ++i) {
        c.send(frame(0x0b + 0x1f, 0, 0, 'grease'), frame(0x10, 0, 0, `${u32(i * 2 + 1)}u=1`), frame(TYPE.PING, 0, 0, '12345678'));
        const stream = c.request('GET', '/no-such-path');
        c.send(frame(TYPE.PRIORITY, 0, stream + 2, '\0\0\0\0\x10'));
        await c.wait('an answer', TYPE.HEADERS, one => one.stream === stream);
    }
    assert.equal(c.frames.filter(one => one.type === TYPE.PING && one.flags === FLAG.ACK).length, 100);
    c.close();
    assert.equal(gw.lines.filter(line => line.includes('skipping frame')).length, 0, 'and libh2o prints nothing about them');
});

test('nobody was taken for an attacker', async () => {
    assert.deepEqual(await stage.abuses(gw), {});
    assert.deepEqual(await stage.abuses(pub), {});
});
