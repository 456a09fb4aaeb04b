// Thousands of clients that resume at once, and histories that are long: what it costs Redis and the gateway.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { SANITIZED, SCALE, Stack, until } from '../integration/stack.mjs';
import { fill, reads } from './history.mjs';
import { Follow } from './follow.mjs';
import { scaled } from './load.mjs';
import { figures, row, since } from './rows.mjs';

const LIMIT = { timeout: 240000 };
const CHANNELS = 5;
const READS = 25; // of answers of moderate size, for a thousand events

const residentKb = proc => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${proc.pid}/status`, 'utf8'))[1]);

const clean = report => ({ lost: report.lost, duplicated: report.duplicated, 'out of order': report.out_of_order, gaps: report.gaps, malformed: report.malformed });
const CLEAN = { lost: 0, duplicated: 0, 'out of order': 0, gaps: 0, malformed: 0 };

async function resumeAll(t, s, follow, fault, upTo) {
    await s.redis.command(['CONFIG', 'RESETSTAT']);
    const start = performance.now();
    await follow.go();
    const report = await follow.expect(upTo);
    const seconds = since(start);
    const count = await reads(s.redis);
    row(t, `${fault}: ${count} reads of ${CHANNELS} channels`, figures(report, { seconds }));
    assert.deepEqual(clean(report), CLEAN);
    assert.ok(count <= CHANNELS * s.gw.length * READS, `${count} reads for ${CHANNELS} channels on ${s.gw.length} gateways`);
}

async function hold(s, follow) {
    await follow.hold();
    await Promise.all(s.gw.map(gw => gw.waitMetric('sse_streams', 0)));
    await Promise.all(s.gw.map(gw => gw.waitMetric('sse_channels', 0))); // nothing is left in memory
}

test('thousands of clients that resume at once share the reads of each channel and gateway', LIMIT, async t => {
    const streams = scaled(5000);
    const s = await Stack.start({ gateways: 2, env: { DRAIN_SECONDS: 0, REDIS_TIMEOUT_MS: 5000 * SCALE } }); // a read that is repeated would count
    await fill(s.redis, { channels: CHANNELS, to: 500 });
    const follow = await Follow.start(t, s.gw.map(gw => gw.port), { streams, channels: CHANNELS, start: 500, delay: 0 });
    await hold(s, follow);
    await fill(s.redis, { channels: CHANNELS, from: 500, to: 990 });
    await resumeAll(t, s, follow, `${streams} resume at once in the middle of 990 events`, 990);
    await hold(s, follow);
    await fill(s.redis, { channels: CHANNELS, from: 990, to: 1000 });
    await resumeAll(t, s, follow, `${streams} resume at once near the end of 1,000 events`, 1000);
    assert.equal(await s.gw[0].metric('sse_resumes_total', { source: 'unknown' }), 0);
    await follow.stop();
});

test('thousands of clients that resume while the channels are warm cost Redis a read a second of each channel and gateway', LIMIT, async t => {
    const streams = scaled(5000);
    const s = await Stack.start({ gateways: 2, env: { DRAIN_SECONDS: 0 } });
    const ports = s.gw.map(gw => gw.port);
    const listeners = await Promise.all(ports.map(port => Follow.start(t, [port], { streams: CHANNELS, channels: CHANNELS })));
    const follow = await Follow.start(t, ports, { streams, channels: CHANNELS, delay: 0 });
    await follow.hold();
    await Promise.all(s.gw.map(gw => gw.waitMetric('sse_streams', CHANNELS)));
    await fill(s.redis, { channels: CHANNELS, to: 100 });
    await s.redis.command(['CONFIG', 'RESETSTAT']);
    const start = performance.now();
    await follow.go();
    const report = await follow.expect(100);
    const seconds = since(start), count = await reads(s.redis);
    row(t, `${streams} resume at once from memory: ${count} reads`, figures(report, { seconds }));
    assert.deepEqual(clean(report), CLEAN);
    assert.ok(count <= CHANNELS * s.gw.length * (seconds + 1), `${count} reads in ${seconds} s`); // where the history begins
    await Promise.all([follow, ...listeners].map(f => f.stop()));
});

// Waits until what is queued is more than `least` bytes and does not change any more.
async function settled(gw, least) {
    let before = -1, same = 0;
    await until('queues are full and stay so', async () => {
        const now = await gw.metric('sse_queued_bytes');
        same = now > least && now === before ? same + 1 : 0;
        before = now;
        return same >= 30;
    }, 20000);
}

// A history of many reads, and clients that do not read: what waits for them must stay in Redis.
test('a history longer than memory and one read comes whole, paced by the client', LIMIT, async t => {
    const HISTORY = 20000, STREAMS = 20, PAD = 1000;
    const s = await Stack.start({ gateways: 1, env: { HISTORY_LEN: HISTORY, RING_LEN: 1000, WRITE_TIMEOUT: 120, DRAIN_SECONDS: 0 } });
    const [gw] = s.gw;
    const follow = await Follow.start(t, [gw.port], { streams: STREAMS, delay: 0 });
    await hold(s, follow);
    const options = ['maxlen', HISTORY * 2];
    await fill(s.redis, { to: HISTORY, pad: PAD, options });
    const before = residentKb(gw);
    await follow.stall(STREAMS);
    await follow.go();
    await gw.waitMetric('sse_streams', STREAMS);
    await s.redis.subscribed('fault-0');
    await fill(s.redis, { from: HISTORY, to: HISTORY + 500, pad: PAD, options }); // live events meanwhile
    await settled(gw, STREAMS * 40000);
    const grown = (residentKb(gw) - before) / 1024;
    assert.ok(await gw.metric('sse_queued_bytes') < STREAMS * 400000, 'one page waits for each stream');
    assert.ok(SANITIZED || grown < 80, `${grown.toFixed(0)} MB more for ${STREAMS} clients behind ${HISTORY * PAD / 1e6} MB each`);
    const start = performance.now();
    await follow.unstall(STREAMS);
    const report = await follow.expect(HISTORY + 500, 120000);
    const seconds = since(start);
    const most = (residentKb(gw) - before) / 1024;
    row(t, `a history of ${HISTORY.toLocaleString('en')} KB read late: ${grown.toFixed(0)} MB of memory, ${most.toFixed(0)} MB at the end`, figures(report, { seconds }));
    assert.deepEqual(clean(report), CLEAN);
    assert.equal(report.events, STREAMS * (HISTORY + 500));
    assert.ok(SANITIZED || most < 120, `${most.toFixed(0)} MB more at the end`);
    await follow.stop();
});
