// The bus between the programs stops, breaks, hangs, lags or moves, in the middle of the load.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Redis, SCALE, freePort, until } from '../integration/stack.mjs';
import { AOF, FAULT_SCALE, Load } from './load.mjs';
import { since } from './rows.mjs';

const LIMIT = { timeout: 240000 };
const TIMEOUT_MS = 2000; // REDIS_TIMEOUT_MS in these tests
const NOTICED_MS = TIMEOUT_MS + 500 * SCALE; // … and the time to look
const FAST = { env: { REDIS_TIMEOUT_MS: TIMEOUT_MS } };

async function repeat(ms, period, action) {
    const end = performance.now() + ms;
    while (performance.now() < end) {
        await action();
        await new Promise(resolve => setTimeout(resolve, period));
    }
}

// Milliseconds until every gateway says on /readyz that it isn't ready, and says why.
async function noticed(load) {
    const start = performance.now();
    await Promise.all(load.stack.gw.map(gw => gw.wait(`${gw.name} notices`, async () => (await gw.ready()).status === 503)));
    const ms = performance.now() - start;
    for (const gw of load.stack.gw)
        assert.match((await gw.ready()).body, /"bus":"[^"]+"/);
    return ms;
}

const backToReady = load => Promise.all([...load.stack.gw, ...load.stack.pub].map(server => server.waitReady()));

function streamsStayedOpen(report) {
    assert.equal(report.reconnects, 0);
    assert.ok(report.silence_ms < 3000, `keep-alive went on: ${report.silence_ms} ms of silence`);
}

const stopMs = Math.max(4000, 10000 * Math.min(1, FAULT_SCALE));
test(`SIGSTOP of Redis for ${stopMs / 1000} s loses nothing`, LIMIT, async t => {
    const load = await Load.start(t, FAST);
    load.stack.redis.pause();
    const ms = await noticed(load);
    assert.ok(ms < NOTICED_MS, `noticed after ${ms} ms`);
    await load.last(stopMs - ms);
    load.stack.redis.resume();
    const seconds = await load.recovery();
    await backToReady(load);
    const report = await load.finish(t, `SIGSTOP Redis for ${stopMs / 1000} s`, { seconds });
    assert.ok(load.author.unavailable > 0, 'publishing answered 503');
    streamsStayedOpen(report);
});

test('CLIENT KILL TYPE pubsub every 200 ms loses nothing', LIMIT, async t => {
    const load = await Load.start(t, {});
    await repeat(3000, 200, () => load.stack.redis.command(['CLIENT', 'KILL', 'TYPE', 'pubsub']));
    const seconds = await load.recovery();
    const report = await load.finish(t, 'CLIENT KILL TYPE pubsub every 200 ms for 3 s', { seconds });
    streamsStayedOpen(report);
});

test('a bus whose connections are cut again and again loses nothing', LIMIT, async t => {
    const load = await Load.start(t, { ...FAST, proxy: true });
    await repeat(3000, 500, () => load.proxy.cut());
    const seconds = await load.recovery();
    await backToReady(load);
    const report = await load.finish(t, 'proxy cuts the bus every 500 ms for 3 s', { seconds });
    streamsStayedOpen(report);
});

test('a bus that refuses connections for a while loses nothing', LIMIT, async t => {
    const load = await Load.start(t, { ...FAST, proxy: true });
    load.proxy.refuse();
    load.proxy.cut();
    const ms = await noticed(load);
    assert.ok(ms < 1000, `noticed after ${ms} ms`);
    await load.last(1000);
    load.proxy.allow();
    const seconds = await load.recovery();
    await backToReady(load);
    streamsStayedOpen(await load.finish(t, 'proxy cuts and refuses the bus for 1 s', { seconds }));
});

test('a bus that answers 200 ms late each way is only slow', LIMIT, async t => {
    const load = await Load.start(t, { ...FAST, proxy: true });
    load.proxy.delay = 200;
    await load.last(3000);
    const seconds = await load.recovery();
    for (const gw of load.stack.gw)
        assert.equal(await gw.metric('sse_bus_lost_total'), 0);
    streamsStayedOpen(await load.finish(t, 'proxy delays the bus by 200 ms each way', { seconds }));
});

test('a slow bus that is cut again and again delivers in order and loses nothing', LIMIT, async t => {
    const load = await Load.start(t, { ...FAST, proxy: true });
    load.proxy.delay = 100;
    await repeat(5000, 1500, () => load.proxy.cut());
    load.proxy.delay = 0;
    const seconds = await load.recovery();
    await backToReady(load);
    streamsStayedOpen(await load.finish(t, 'proxy delays by 100 ms each way and cuts every 1.5 s', { seconds }));
});

for (const [name, row] of [['hang', 'proxy lets the bus hang, nothing closed'], ['blackhole', 'proxy swallows the bus, nothing closed']])
    test(`a bus that stops answering without closing (${name}) is noticed within REDIS_TIMEOUT_MS and loses nothing`, LIMIT, async t => {
        const load = await Load.start(t, { ...FAST, proxy: true });
        load.proxy[name]();
        const ms = await noticed(load);
        assert.ok(ms < NOTICED_MS, `noticed after ${ms} ms`);
        await until('publishing answers 503', () => load.author.unavailable > 0, 2 * TIMEOUT_MS);
        load.proxy.go();
        const seconds = await load.recovery();
        await backToReady(load);
        const report = await load.finish(t, `${row}; noticed after ${(ms / 1000).toFixed(1)} s`, { seconds });
        streamsStayedOpen(report);
    });

test('a subscriber connection that goes deaf while the other one works is noticed and loses nothing', LIMIT, async t => {
    const load = await Load.start(t, { ...FAST, proxy: true });
    const start = performance.now();
    load.proxy.deafen();
    await Promise.all(load.stack.gw.map(gw => gw.waitMetric('sse_bus_lost_total', n => n >= 1)));
    const ms = performance.now() - start;
    assert.ok(ms < NOTICED_MS, `noticed after ${ms} ms`);
    const seconds = await load.recovery();
    await backToReady(load);
    const report = await load.finish(t, `only the subscriber connections hang; noticed after ${(ms / 1000).toFixed(1)} s`, { seconds });
    assert.equal(load.author.unavailable, 0);
    streamsStayedOpen(report);
});

async function replica(t, load) {
    const port = await freePort();
    const second = new Redis(join(load.stack.folder, 'replica'), { ...AOF, port });
    t.after(() => second.end());
    await second.start();
    await second.command(['REPLICAOF', '127.0.0.1', String(load.redisPort)]);
    await until('the replica follows', async () => /master_link_status:up/.test(await second.command(['INFO', 'replication'])));
    return { second, port };
}

const offset = async redis => Number(/(?:slave_repl_offset|master_repl_offset):(\d+)/.exec(await redis.command(['INFO', 'replication']))[1]);

test('failover to a replica by hand loses nothing', LIMIT, async t => {
    const load = await Load.start(t, { ...FAST, proxy: true, redis: AOF });
    const { redis } = load.stack;
    const { second, port } = await replica(t, load);
    const start = performance.now();
    await redis.command(['CLIENT', 'PAUSE', '30000', 'WRITE']);
    await until('the replica has all', async () => await offset(second) === await offset(redis));
    await second.command(['REPLICAOF', 'NO', 'ONE']);
    load.proxy.target = { port, host: '127.0.0.1' };
    load.proxy.cut();
    await redis.kill('SIGKILL');
    await load.recovery();
    const seconds = since(start);
    await backToReady(load);
    streamsStayedOpen(await load.finish(t, 'failover to a replica by hand', { seconds }));
});

test('a subscriber that Redis drops for its full output buffer loses nothing', LIMIT, async t => {
    const load = await Load.start(t, { pad: 2000 });
    const { redis, gw } = load.stack;
    const subscribers = async () => (await redis.command(['CLIENT', 'LIST', 'TYPE', 'pubsub'])).trim().split('\n').length;
    const before = await subscribers();
    await redis.command(['CONFIG', 'SET', 'client-output-buffer-limit', 'pubsub 65536 0 0']);
    gw[0].pause();
    await until('Redis drops the stopped gateway', async () => await subscribers() < before, 30000);
    gw[0].resume();
    await redis.command(['CONFIG', 'SET', 'client-output-buffer-limit', 'pubsub 33554432 8388608 60']);
    await gw[0].waitMetric('sse_bus_lost_total', n => n >= 1);
    const seconds = await load.recovery();
    const report = await load.finish(t, 'output-buffer kill of a gateway that was stopped', { seconds });
    assert.equal(report.reconnects, 0);
});
