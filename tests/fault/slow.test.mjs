// Clients that do not read, or hardly: closed with a counted reason, bounded in memory, and nobody else notices.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { SANITIZED, Stack, until } from '../integration/stack.mjs';
import { H2, openStream } from '../integration/sse.mjs';
import { BusProxy } from './bus_proxy.mjs';
import { fill, publish } from './history.mjs';
import { Load, scaled } from './load.mjs';
import { row, since } from './rows.mjs';

const LIMIT = { timeout: 240000 };
const SLOW = ['queue full', 'memory limit', 'write timeout'];

async function closes(gateways, reasons = SLOW) {
    let sum = 0;
    for (const gw of gateways)
        for (const reason of reasons)
            sum += await gw.metric('sse_stream_closes_total', { reason });
    return sum;
}

const residentKb = proc => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${proc.pid}/status`, 'utf8'))[1]);

for (const [what, env, reason, more] of [
    ['their queue is full', { QUEUE_BYTES: 65536, WRITE_TIMEOUT: 60 }, 'queue full'],
    ['they read nothing for WRITE_TIMEOUT', { WRITE_TIMEOUT: 2 }, 'write timeout'],
    // few channels, of many events each, and a limit below QUEUE_BYTES: else the last streams stay below both for long. Each event goes to a fifth of all streams, so the rate
    // does not grow with their number: above what two cores deliver everybody would wait
    ['all queues together hold MEMORY_LIMIT', { MEMORY_LIMIT: 1 << 20, QUEUE_BYTES: 4 << 20, WRITE_TIMEOUT: 60, HISTORY_LEN: 10000 }, 'memory limit', { channels: 5, rate: 100 }],
]) {
    const stuck = scaled(500);
    test(`${stuck} clients that stop reading are closed when ${what}; the others miss nothing, and they themselves nothing once they are back`, LIMIT, async t => {
        const load = await Load.start(t, { env, pad: 1500, streams: scaled(1500), follow: { buffer: 4096 }, ...more });
        await load.follow.stall(stuck);
        const start = performance.now();
        await until(`${stuck} streams are closed`, async () => await closes(load.stack.gw) >= stuck, 120000,
            () => JSON.stringify(load.stack.gw.map(gw => gw.tail(5))));
        const seconds = since(start);
        assert.equal(await closes(load.stack.gw, [reason]), stuck);
        await load.recovery();
        assert.equal((await load.follow.report()).reconnects, 0, 'nobody else was closed');
        await load.follow.unstall(stuck);
        await load.recovery();
        const report = await load.finish(t, `${stuck} clients stop reading: closed, ${reason}`, { seconds });
        assert.ok(report.reconnects >= stuck, `${report.reconnects} came back`); // more when what they missed is above MEMORY_LIMIT again
    });
}

test('a client that reads one byte a second is closed; the others miss nothing', LIMIT, async t => {
    const load = await Load.start(t, { env: { QUEUE_BYTES: 262144, WRITE_TIMEOUT: 3 }, pad: 1500, streams: scaled(1000), follow: { buffer: 4096 } });
    await load.follow.drip(1);
    const start = performance.now();
    await until('it is closed', async () => await closes(load.stack.gw) === 1, 30000);
    const seconds = since(start);
    await load.recovery();
    await load.follow.unstall(1);
    const report = await load.finish(t, 'a client reads one byte a second: closed', { seconds });
    assert.equal(report.reconnects, 1, 'nobody else was closed');
});

test('a client that reads slowly but steadily keeps its stream', async () => {
    const s = await Stack.start({ env: { WRITE_TIMEOUT: 1, DRAIN_SECONDS: 0 } });
    const stream = await openStream(`${s.gw[0].url}/channels/steady`);
    await s.redis.subscribed('steady');
    for (let i = 0; i < 20; ++i)
        await publish(s.redis, 'steady', 'x'.repeat(30000));
    for (let i = 0; i < 30; ++i) { // it reads for a moment every 100 ms, three seconds long
        stream.readable.pause();
        await new Promise(resolve => setTimeout(resolve, 100));
        stream.readable.resume();
        await new Promise(resolve => setTimeout(resolve, 5));
    }
    assert.equal((await stream.take(20)).length, 20);
    assert.equal(stream.ended, null);
    stream.close();
});

// A client that takes `rate` bytes a second.
function slowly(stream, rate) {
    stream.readable.pause();
    const timer = setInterval(() => stream.readable.read(Math.min(rate / 10, stream.readable.readableLength)), 100);
    stream.closed.then(() => clearInterval(timer));
}

test('300 clients that read 100 KB a second all get an event of 1 MiB and those behind it, and keep their streams', LIMIT, async t => {
    const s = await Stack.start({ env: { MEMORY_LIMIT: 64 << 20, DRAIN_SECONDS: 0 } });
    const streams = await Promise.all(Array.from({ length: scaled(300) }, () => openStream(`${s.gw[0].url}/channels/slow`)));
    await Promise.all(streams.map(stream => stream.nextFrame()));
    streams.forEach(stream => slowly(stream, 100000));
    const start = performance.now();
    await s.post('slow', 'x'.repeat((1 << 20) - 1));
    for (let i = 0; i < 50; ++i)
        await s.post('slow', `small ${i}`);
    for (const stream of streams)
        await until('all arrived', () => stream.events.length === 51 || stream.ended, 60000);
    assert.deepEqual(streams.map(stream => stream.ended).filter(Boolean), []);
    assert.equal(await closes(s.gw), 0);
    row(t, `${streams.length} clients read 100 KB a second, an event of 1 MiB`, { clients: streams.length, seconds: since(start) });
    streams.forEach(stream => stream.close());
});

// Streams of one HTTP/2 connection, each fifth of which stops reading: its own flow-control window closes.
for (const tls of [false, true])
    test(`single streams of an HTTP/2 connection${tls ? ' over TLS' : ''} that stop reading are reset, their siblings go on`, LIMIT, async () => {
        const s = await Stack.start({ tls, env: { QUEUE_BYTES: 65536, WRITE_TIMEOUT: 3, HTTP2_CLEARTEXT: 'on', DRAIN_SECONDS: 0 } });
        const [gw] = s.gw;
        const h2 = await H2.connect(tls ? gw.httpsUrl : gw.url);
        const streams = await Promise.all(Array.from({ length: 20 }, () => h2.open('/channels/fault-0')));
        await Promise.all(streams.map(stream => stream.nextFrame()));
        const stuck = streams.filter((_, i) => i % 5 === 0), others = streams.filter((_, i) => i % 5 !== 0);
        stuck.forEach(stream => stream.readable.pause());
        const events = 300, pad = 1000;
        for (let to = 10; to <= events; to += 10) {
            await fill(s.redis, { from: to - 10, to, pad });
            await until('the siblings follow', () => others.every(stream => stream.events.length >= to));
        }
        await until('the stuck ones are closed', async () => await closes(s.gw) === stuck.length, 20000);
        await fill(s.redis, { from: events, to: events + 1 });
        for (const stream of others) {
            await until('the siblings go on', () => stream.events.length === events + 1);
            assert.deepEqual(stream.events.map(event => Number(event.data.split('\n')[1])), Array.from({ length: events + 1 }, (_, i) => i + 1));
            assert.equal(stream.ended, null);
        }
        stuck.forEach(stream => stream.readable.resume());
        await until('the stuck ones know', () => stuck.every(stream => stream.ended !== null));
        assert.equal(await gw.metric('sse_streams'), others.length);
        // What they have is a beginning without holes, so that they can resume.
        for (const stream of stuck) {
            const numbers = stream.events.map(event => Number(event.data.split('\n')[1]));
            assert.deepEqual(numbers, numbers.map((_, i) => i + 1));
            const again = await h2.open('/channels/fault-0', { headers: { 'last-event-id': stream.parser.lastEventId } });
            await until('the rest', () => again.events.length === events + 1 - numbers.length, 8000, () => `${again.events.length} of ${events + 1 - numbers.length}`);
            again.close();
        }
        h2.close();
    });

test('a connection of HTTP/2 that is stuck altogether is closed with all its streams', LIMIT, async t => {
    const s = await Stack.start({ env: { WRITE_TIMEOUT: 2, HTTP2_CLEARTEXT: 'on', DRAIN_SECONDS: 0 } });
    const [gw] = s.gw;
    const proxy = await BusProxy.start(t, { port: gw.port, host: '127.0.0.1' });
    const h2 = await H2.connect(proxy.url.replace('redis:', 'http:'));
    const streams = await Promise.all(Array.from({ length: 10 }, () => h2.open('/channels/fault-0')));
    await Promise.all(streams.map(stream => stream.nextFrame()));
    const healthy = await openStream(`${gw.url}/channels/fault-0`);
    await healthy.nextFrame();
    proxy.hang();
    await fill(s.redis, { to: 400, pad: 2000 });
    await gw.waitMetric('sse_streams', 1, { ms: 20000 });
    assert.equal(await closes(s.gw), 10);
    await until('the healthy one has all', () => healthy.events.length === 400);
    healthy.close();
    h2.close();
});

test('memory that stuck clients took is given back', LIMIT, async () => {
    const s = await Stack.start({ env: { WRITE_TIMEOUT: 2, DRAIN_SECONDS: 0 } });
    const [gw] = s.gw;
    const measure = [];
    for (let round = 0; round < 4; ++round) {
        const stuck = await Promise.all(Array.from({ length: 50 }, () => openStream(`${gw.url}/channels/fault-0`)));
        stuck.forEach(stream => stream.readable.pause());
        await gw.waitMetric('sse_streams', 50);
        await s.redis.subscribed('fault-0');
        const before = await closes(s.gw);
        await fill(s.redis, { from: round * 500, to: round * 500 + 500, pad: 1500 });
        await until('they are closed', async () => await closes(s.gw) === before + 50, 20000);
        await gw.waitMetric('sse_queued_bytes', 0);
        stuck.forEach(stream => stream.close());
        measure.push(residentKb(gw));
    }
    assert.ok(SANITIZED || measure[3] < measure[1] * 1.15 + 2000, `resident KB after each round: ${measure}`);
});
