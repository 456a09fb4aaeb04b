// Sentinel under load: what the clients see when a primary goes, and how long it takes.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { until } from '../integration/stack.mjs';
import { since } from '../fault/rows.mjs';
import { scaled } from '../fault/load.mjs';
import { Islands, Stage } from './stage.mjs';

const LIMIT = { timeout: 240000 };
const ROOT = process.getuid() === 0;

// Since the clients' connections to the gateways have nothing to do with it, finish() asserts for all of them that no stream was closed.

// What the primary had sent to clients and to no replica yet, nobody acknowledged: that may come again, behind a gap. Without PUBLISH_REPLICAS it may have been acknowledged, too: on a
// loaded machine a replica is seconds late.
for (const channels of [scaled(100), scaled(1000)])
    test(`kill -9 of the primary of ${channels.toLocaleString('en')} channels loses nothing (PUBLISH_REPLICAS=1)`, LIMIT, async t => {
        const stage = await Stage.start(t, { channels, streams: scaled(1000), env: { PUBLISH_REPLICAS: 1 } });
        const figures = await stage.failover(old => old.kill('SIGKILL'));
        const { gone } = await stage.finish(t, `kill -9 the primary of ${channels.toLocaleString('en')} channels, 1,000 events a second, PUBLISH_REPLICAS=1`, figures, { gaps: true });
        assert.equal(gone, 0);
    });

test('a primary that hangs (SIGSTOP) is left behind, and when it goes on it is a replica', LIMIT, async t => {
    const stage = await Stage.start(t);
    const figures = await stage.failover(old => old.pause());
    stage.old.resume();
    await stage.returned();
    await stage.load.recovery();
    await stage.finish(t, 'SIGSTOP the primary for longer than down-after-milliseconds', figures);
});

test('the old primary comes back as a replica: nobody notices', LIMIT, async t => {
    const stage = await Stage.start(t);
    await stage.failover(old => old.kill('SIGKILL'));
    const lost = await Promise.all(stage.load.stack.gw.map(gw => gw.metric('sse_bus_lost_total')));
    const start = performance.now();
    await stage.old.start();
    await stage.returned();
    const seconds = since(start);
    await stage.load.recovery();
    assert.deepEqual(await Promise.all(stage.load.stack.gw.map(gw => gw.metric('sse_bus_lost_total'))), lost);
    // the kill may take an event with it that clients had and nobody acknowledged: it comes again, behind a gap
    const { gone } = await stage.finish(t, 'the old primary comes back as a replica (seconds: until it is in step)', { seconds }, { gaps: true });
    assert.equal(gone, 0);
});

test('kill -9 of a sentinel: nobody notices', LIMIT, async t => {
    const stage = await Stage.start(t);
    await stage.set.sentinels[0].kill('SIGKILL');
    const seconds = await stage.load.recovery();
    await stage.load.last(2000);
    for (const gw of stage.load.stack.gw)
        assert.equal(await gw.metric('sse_bus_lost_total'), 0);
    assert.equal(stage.load.author.unavailable, 0);
    await stage.finish(t, 'kill -9 a sentinel', { seconds });
});

test('a failover that is planned well (CLIENT PAUSE … WRITE first) loses nothing', LIMIT, async t => {
    const stage = await Stage.start(t);
    const figures = await stage.failover(async old => {
        await old.command(['CLIENT', 'PAUSE', '10000', 'WRITE']);
        const offset = async node => Number(/(?:slave_repl_offset|master_repl_offset):(\d+)/.exec(await node.command(['INFO', 'replication']))[1]);
        for (const replica of await stage.set.replicas())
            await until('the replica has all', async () => await offset(replica) === await offset(old));
        await stage.set.sentinels[0].command(['SENTINEL', 'FAILOVER', 'events']);
    });
    await stage.finish(t, 'CLIENT PAUSE WRITE, then SENTINEL FAILOVER', figures);
});

test('SENTINEL FAILOVER on its own: events that the old primary took meanwhile are gone, and reported as gaps', LIMIT, async t => {
    const stage = await Stage.start(t);
    const figures = await stage.failover(() => stage.set.sentinels[0].command(['SENTINEL', 'FAILOVER', 'events']));
    await stage.finish(t, 'SENTINEL FAILOVER', figures, { gaps: true });
});

test('SENTINEL FAILOVER, PUBLISH_REPLICAS=2: nothing acknowledged is gone', LIMIT, async t => {
    const stage = await Stage.start(t, { env: { PUBLISH_REPLICAS: 2 } });
    const figures = await stage.failover(() => stage.set.sentinels[0].command(['SENTINEL', 'FAILOVER', 'events']));
    await stage.returned();
    const report = await stage.finish(t, 'SENTINEL FAILOVER, PUBLISH_REPLICAS=2', figures, { gaps: true });
    assert.equal(report.gone, 0);
});

for (const replicas of [0, 1])
    test(`a primary that is cut off from replicas and sentinels, but not from us, is left behind (PUBLISH_REPLICAS=${replicas})`,
        { ...LIMIT, skip: ROOT ? false : 'needs root, for network namespaces' }, async t => {
            const islands = new Islands(t);
            const stage = await Stage.start(t, { set: { at: i => islands.at(i) }, env: { PUBLISH_REPLICAS: replicas } });
            const figures = await stage.failover(() => islands.cut());
            assert.equal((await stage.old.command(['ROLE']))[0], 'master', 'it still thinks it is the primary');
            await until('nobody uses it', async () => !/ name=sse-/.test(await stage.old.command(['CLIENT', 'LIST'])));
            islands.join();
            await stage.load.recovery();
            const report = await stage.finish(t, `partition: the primary sees only us, PUBLISH_REPLICAS=${replicas}`, figures, { gaps: true });
            assert.ok(replicas === 0 || report.gone === 0);
        });
