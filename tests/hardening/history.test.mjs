// What clients can make Redis and the gateway pay for a long history: reads that wait in Redis, events kept in memory.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { createConnection } from 'node:net';
import { openStream } from '../integration/sse.mjs';
import { SCALE } from '../integration/stack.mjs';
import { Frames } from './frames.mjs';
import { HARDENING_SCALE, Stage, costs, megabytes } from './stage.mjs';

const MB = 1 << 20, EVENT = 65536, REDIS_MORE = 256 * MB;

// Small, so that what the tests see is bounded by something else.
const LIMITS = { MEMORY_LIMIT: 64 * MB, RING_MEMORY: 64 * MB };

const stage = await Stage.start({ gateway: LIMITS });
const { redis } = stage.stack;

// Events until they are `bytes` together.
async function fill(channel, bytes) {
    const data = 'x'.repeat(EVENT);
    for (let i = 0; i * EVENT < bytes; i += 100)
        await Promise.all(Array.from({ length: Math.min(100, Math.ceil(bytes / EVENT) - i) }, () =>
            redis.command(['FCALL', 'sse_publish', '1', `sse:${channel}`, data, 'maxlen', '100000', 'maxbytes', String(2 ** 40)])));
}

const usedMemory = async () => Number(/used_memory:(\d+)/.exec(await redis.command(['INFO', 'memory']))[1]);

// That many clients ask, and take what the kernel takes for them; when the time is over they are gone. The bytes they sent, and what Redis took more.
async function ask(path, clients, seconds) {
    const head = `GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`, before = await usedMemory();
    const sockets = Array.from({ length: clients }, () => createConnection(stage.gw.port, '127.0.0.1').on('error', () => {}).pause());
    sockets.forEach(socket => socket.write(head));
    let most = 0;
    for (const end = performance.now() + seconds * 1000; performance.now() < end; await new Promise(resolve => setTimeout(resolve, 20)))
        most = Math.max(most, await usedMemory() - before);
    sockets.forEach(socket => socket.destroy());
    return { sent: head.length * clients, most };
}

const clients = Math.ceil(400 * HARDENING_SCALE), history = Math.ceil(640 * HARDENING_SCALE) * MB;

async function asks(t, what, path, memory) {
    let most;
    await costs(t, stage, stage.gw, { what, bound: 'reads wait: 1 MiB under way; `RING_MEMORY`, `MEMORY_LIMIT`', memory }, async () => {
        const result = await ask(path, clients, 4);
        most = result.most;
        return result.sent;
    });
    t.diagnostic(`Redis took ${megabytes(most / 1024)} MB more`);
    assert.ok(most < REDIS_MORE, `Redis took ${most} bytes more`);
    assert.equal(await stage.gw.metric('sse_bus_up'), 1);
    await stage.gw.waitMetric('sse_streams', 100, { ms: 20000 });
}

test('clients that resume a long history from an id that nobody knows', { timeout: 120000 * SCALE }, async t => {
    await fill('long', history);
    await asks(t, `${clients} clients with an unknown id, a history of ${history / MB} MB`, '/channels/long?last_event_id=no-such-id', (64 + 64) * 1024);
});

test('clients that ask for the newest thousand events of it', { timeout: 60000 * SCALE }, async t => {
    await asks(t, `${clients} clients with ?last=1000, a history of ${history / MB} MB`, '/channels/long?last=1000', (64 + 64) * 1024);
});

test('clients that ask for the newest events of a hundred channels', { timeout: 120000 * SCALE }, async t => {
    const channels = Array.from({ length: 100 }, (_, i) => `of${i}`);
    for (const channel of channels)
        await fill(channel, Math.ceil(4 * HARDENING_SCALE) * MB);
    await asks(t, `${clients} clients with ?last=1000 of 100 channels, ${100 * Math.ceil(4 * HARDENING_SCALE)} MB`,
        `/subscribe?last=1000&${channels.map(channel => `channel=${channel}`).join('&')}`, (64 + 64 + 64) * 1024);
    assert.ok(await stage.gw.metric('sse_ring_bytes') <= LIMITS.RING_MEMORY);
});

// 12 KB, were the paths of all but the first request of a connection one byte of HPACK. The events are small and in memory, so neither reads nor bytes bound it.
test('clients that resume a hundred channels from an id that no gateway gave', { timeout: 120000 * SCALE }, async t => {
    const query = Array.from({ length: 100 }, (_, i) => `channel=known${i}`).join('&'), streams = 90 * Math.ceil(5 * HARDENING_SCALE);
    for (let i = 0; i < 100; ++i)
        await Promise.all(Array.from({ length: 1000 }, () => redis.command(['FCALL', 'sse_publish', '1', `sse:known${i}`, 'x'])));
    const keep = await openStream(`${stage.gw.url}/subscribe?${query}&last=1000`);
    await keep.take(100000);
    const before = await stage.gw.metric('sse_resumes_total');
    await costs(t, stage, stage.gw, { what: `${streams} streams over HTTP/2 of 100 channels with 1,000 events each in memory, an id from the future`, bound: 'ids found by their hashes; 1 ms of a turn' }, async () => {
        const connections = await Promise.all(Array.from({ length: streams / 90 }, () => Frames.connect(stage.gw.port)));
        for (const connection of connections)
            for (let i = 0; i < 90; ++i)
                connection.request('GET', `/subscribe?last_event_id=7fffffff-ffff-4000-8001-cba23c6ef35f&${query}`);
        await stage.gw.waitMetric('sse_resumes_total', resumes => resumes >= before + streams, { ms: 20000 });
        connections.forEach(connection => connection.close());
        return streams * query.length;
    });
    keep.close();
});
