// kill -9 at 1,000 random moments around the end of a channel: every client is told all events and then the end, once, and none stays open behind it.
// ENDS_SEED repeats what a run drew.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { SentinelSet } from '../integration/sentinel.mjs';
import { Stack } from '../integration/stack.mjs';
import { Run, chance } from './ending.mjs';
import { AOF, scaled } from './load.mjs';

const LIMIT = { timeout: 240000 };
const SEED = Number(process.env.ENDS_SEED || Date.now() % 2 ** 31);
const ENV = { KEEPALIVE_MS: 1000, RETRY_MS: 100 };
const CHANNELS = 10; // whose end one kill is in the middle of

const urls = programs => programs.map(program => program.url);
const ports = stack => stack.gw.map(gw => gw.port);

async function rounds(run, count, channels, strike) {
    for (let i = 0; i < count; ++i)
        await run.round(channels, () => strike(i));
}

// No stream is left behind on the side of the gateways either.
async function finish(run, stack, fault, options) {
    await Promise.all(stack.gw.map(gw => gw.waitMetric('sse_streams', 0)));
    run.finish(fault, options);
}

test('kill -9 of a gateway: its clients get the rest and the end at the other one, and authors who post through it lose nothing', LIMIT, async t => {
    const stack = await Stack.start({ gateways: 2, publishers: 1, env: ENV });
    t.after(() => stack.stop());
    const run = new Run(t, { authorUrls: [...urls(stack.gw), ...urls(stack.pub)], ports: ports(stack), seed: SEED });
    await rounds(run, scaled(30), CHANNELS, async i => {
        const victim = stack.gw[i % 2];
        await victim.kill('SIGKILL');
        await victim.start();
    });
    assert.ok(run.counts.reconnects > run.clients, 'streams were cut');
    await finish(run, stack, 'kill -9 a gateway');
});

test('kill -9 of a publisher: an end that was acknowledged is told, and one that was not is told when it is sent again', LIMIT, async t => {
    const stack = await Stack.start({ gateways: 2, publishers: 2, env: ENV });
    t.after(() => stack.stop());
    const run = new Run(t, { authorUrls: urls(stack.pub), ports: ports(stack), seed: SEED + 1 });
    await rounds(run, scaled(30), CHANNELS, async i => {
        const victim = stack.pub[i % 2];
        await victim.kill('SIGKILL');
        await victim.start();
    });
    assert.ok(run.repeated > 0, 'requests were on their way');
    await finish(run, stack, 'kill -9 a publisher');
});

test('kill -9 of Redis, which comes back with its append-only file: the end is told once', LIMIT, async t => {
    const stack = await Stack.start({ gateways: 2, publishers: 2, env: ENV, redis: AOF });
    t.after(() => stack.stop());
    const run = new Run(t, { authorUrls: urls(stack.pub), ports: ports(stack), seed: SEED + 2 });
    const random = chance(SEED + 3);
    await rounds(run, scaled(20), CHANNELS, async () => {
        await stack.redis.kill('SIGKILL');
        await sleep(random() * 500); // how long it is away is part of what is drawn
        await stack.redis.start();
        await Promise.all([...stack.gw, ...stack.pub].map(program => program.waitReady()));
    });
    assert.ok(run.repeated > 0, 'publishing answered 503');
    await finish(run, stack, 'kill -9 Redis (AOF, fsync always), up to 0.5 s down');
});

// With PUBLISH_REPLICAS=1 what was acknowledged is at the replica that the sentinels choose. What was not may have been told by the old primary and be lost: then a gap says so.
test('kill -9 of a primary whose sentinels name another: an end that was acknowledged is told by the new one', LIMIT, async t => {
    const set = await SentinelSet.start();
    t.after(() => set.stop());
    const stack = await set.stack({ gateways: 2, publishers: 2, env: { ...ENV, PUBLISH_REPLICAS: 1, REDIS_TIMEOUT_MS: 2000 } });
    t.after(() => stack.stop());
    const run = new Run(t, { authorUrls: urls(stack.pub), ports: ports(stack), seed: SEED + 4 });
    await rounds(run, scaled(10), 2 * CHANNELS, async () => {
        const old = await set.primary();
        await old.kill('SIGKILL');
        const next = await set.moved(old);
        await old.start();
        await old.command(['REPLICAOF', next.host, String(next.port)]); // else the sentinels take ten seconds to do that
        await set.settled();
    });
    assert.ok(run.repeated > 0, 'publishing answered 503');
    await finish(run, stack, 'kill -9 the primary, its sentinels name another (PUBLISH_REPLICAS=1)', { gaps: true });
});
