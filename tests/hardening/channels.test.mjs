// Floods of channels that nobody ever asked for: what they cost the bus thread and Redis is bounded, and nobody else's events wait for them.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { until } from '../integration/stack.mjs';
import { openStream } from '../integration/sse.mjs';
import { HARDENING_SCALE, Stage, costs, storm } from './stage.mjs';

const SECONDS = 5 * HARDENING_SCALE, MB = 1024;
const CHANNEL_KB = 1.5; // of a gateway's memory for a channel, with the streams' part of it
const MEMORY_LIMIT = 64 << 20;

// Beside the flood a new client asks for a new channel again and again: how long it waits for its place, at most.
async function newcomers(server, done) {
    let worst = 0;
    for (let i = 0; !done(); ++i) {
        const start = performance.now();
        const stream = await openStream(`${server.url}/channels/newcomer/${i}`, { headers: { 'x-forwarded-for': '192.0.2.1' } });
        await stream.nextFrame();
        worst = Math.max(worst, performance.now() - start);
        stream.close();
        await new Promise(resolve => setTimeout(resolve, 50));
    }
    return worst;
}

// The storm that hurt version 1.0 was 4.5 MB/s of 165 connections. `memory`: KB that the gateway may take beside its channels. The buffers of connections whose requests wait for their turn, up to 48 KB each over
// HTTP/2, are what is left of it; what clients asked for that are gone is nothing.
const ONCE = 4500000, TENFOLD = 10 * ONCE;
const FULL = { MAX_CHANNELS: 50000 };
const CASES = [
    ['165 HTTP/2 connections of 90 streams of 100 new channels, one address', 'CHANNEL_RATE', 'h2', { connections: 165, rate: ONCE }, { memory: 64 * MB }, {}, 'channel rate'],
    ['the same over HTTP/1.1, closed as soon as answered', 'CHANNEL_RATE', 'h1', { connections: 64, rate: ONCE }, { memory: 16 * MB }, {}, 'channel rate'],
    ['the same over HTTP/2, each stream of another address', 'the gate, MAX_CHANNELS', 'h2', { connections: 165, rate: ONCE, forwarded: true }, { memory: 64 * MB }, FULL, 'channels'],
    ['the same over HTTP/1.1, each of another address and closed as soon as asked', 'the gate', 'gone', { connections: 64, rate: ONCE, forwarded: true }, { memory: 32 * MB }, FULL, null],
    ['ten times that: 1,650 HTTP/2 connections, one address', 'CHANNEL_RATE, 2 ms of a turn', 'h2', { connections: 1650, rate: TENFOLD }, { memory: 128 * MB }, {}, 'channel rate'],
    ['ten times that over HTTP/1.1, closed as soon as answered', 'CHANNEL_RATE, 2 ms of a turn', 'h1', { connections: 640, rate: TENFOLD }, { memory: 64 * MB }, {}, 'channel rate'],
    ['ten times that: 1,650 HTTP/2 connections, each stream of another address', 'the gate, MAX_CHANNELS, 2 ms of a turn', 'h2', { connections: 1650, rate: TENFOLD, forwarded: true }, { memory: 128 * MB }, FULL, 'channels'],
    ['ten times that over HTTP/1.1, each of another address and closed as soon as asked', 'the gate, 2 ms of a turn', 'gone', { connections: 640, rate: TENFOLD, forwarded: true }, { memory: 64 * MB }, FULL, null],
];
for (const [what, bound, kind, options, { memory }, settings, reason] of CASES)
    test(what, async t => {
        const stage = await Stage.start({ last: false, gateway: { TRUSTED_PROXIES: '127.0.0.1', MEMORY_LIMIT, ...settings } });
        const lost = (await stage.gw.metric('sse_bus_lost_total')) ?? 0;
        let over = false;
        const waits = newcomers(stage.gw, () => over);
        const noticed = await costs(t, stage, stage.gw, { what, bound, memory: memory + (reason === 'channels' ? settings.MAX_CHANNELS * CHANNEL_KB : 0) }, async () => {
            const report = await storm(stage.gw, kind, { seconds: SECONDS, ...options });
            t.diagnostic(JSON.stringify(report));
            return report.bytes;
        });
        over = true;
        t.diagnostic(`a newcomer waits ${(await waits).toFixed(0)} ms at most; events ${noticed.events}`);
        await stage.losesNothing();
        assert.ok(reason === null || await stage.gw.metric('sse_limited_total', { reason }) > 0, `limited for: ${reason}`);
        assert.equal(await stage.gw.metric('sse_bus_lost_total'), lost, 'no connection to Redis was lost');
        assert.equal((await stage.gw.ready()).status, 200);
        await until('the channels go with their streams', async () => await stage.gw.metric('sse_channels') <= 2, 20000);
        const { used_memory: used } = Object.fromEntries((await stage.stack.redis.command(['INFO', 'memory'])).split('\r\n').map(line => line.split(':')));
        t.diagnostic(`Redis: ${(used / 1048576).toFixed(1)} MB`);
    });
