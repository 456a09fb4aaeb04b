// Floods of channels that nobody ever asked for: what they cost the bus thread and Redis is bounded, and nobody else's events wait for them.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { binary, until } from '../integration/stack.mjs';
import { openStream } from '../integration/sse.mjs';
import { HARDENING_SCALE, Stage, costs } from './stage.mjs';

const SECONDS = 5 * HARDENING_SCALE;
const CHANNEL_KB = 1.5; // of a gateway's memory for a channel, with the streams' part of it

async function storm(server, kind, { seconds = SECONDS, connections, streams = 90, rate = 4500000, forwarded = false }) {
    const child = spawn(binary('storm'), [server.port, kind, seconds, connections, streams, rate, ...(forwarded ? ['forwarded'] : [])], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', chunk => (text += chunk));
    await new Promise(resolve => child.on('close', resolve));
    return JSON.parse(text);
}

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

const CASES = [
    ['165 HTTP/2 connections of 90 streams of 100 new channels, one address', 'CHANNEL_RATE', 'h2', { connections: 165 }, {}, 'channel rate'],
    ['the same over HTTP/1.1, closed as soon as answered', 'CHANNEL_RATE', 'h1', { connections: 64 }, {}, 'channel rate'],
    ['the same over HTTP/2, each stream of another address', 'the gate, MAX_CHANNELS', 'h2', { connections: 165, forwarded: true }, { MAX_CHANNELS: 50000 }, 'channels'],
    ['the same over HTTP/1.1, each of another address and closed as soon as asked', 'the gate', 'gone', { connections: 64, forwarded: true }, { MAX_CHANNELS: 50000 }, null],
];
for (const [what, bound, kind, options, settings, reason] of CASES)
    test(what, async t => {
        const stage = await Stage.start({ gateway: { TRUSTED_PROXIES: '127.0.0.1', ...settings } });
        const lost = (await stage.gw.metric('sse_bus_lost_total')) ?? 0;
        let over = false;
        const waits = newcomers(stage.gw, () => over);
        const noticed = await costs(t, stage, stage.gw, { what, bound, memory: 65536 + (settings.MAX_CHANNELS ?? 0) * CHANNEL_KB }, async () => {
            const report = await storm(stage.gw, kind, options);
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
        const { used_memory: memory } = Object.fromEntries((await stage.stack.redis.command(['INFO', 'memory'])).split('\r\n').map(line => line.split(':')));
        t.diagnostic(`Redis: ${(memory / 1048576).toFixed(1)} MB`);
    });
