// Redis Cluster under load: what the clients see when a shard fails over or its slots move, and how long it takes.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { SCALE, certificate, tempFolder, until } from '../integration/stack.mjs';
import { slotOf } from '../integration/cluster_set.mjs';
import { FAULT_SCALE, scaled } from '../fault/load.mjs';
import { ClusterStage, PATIENT_MS } from './cluster_stage.mjs';
import { Islands } from './stage.mjs';

const LIMIT = { timeout: 240000 };
const ROOT = process.getuid() === 0;
const NODE_TIMEOUT_MS = 1500; // ClusterSet's
const OUTAGE_MS = 5000; // the most that a failover takes: an id may be so much older while a shard is away
const MARGIN_MS = 2100; // the gateway's between channels of two shards (2,000 and what their clocks differ by; they have one)

// Of each: no stream is closed unless gateways die, and what the histories hold reaches every client once and in order (finish()).

// Publishes wait for a slot that moves, and the clients' channels are followed at once, not when the cluster is asked again (each has an event a second).
function unnoticed(stage, report) {
    assert.equal(stage.load.author.unavailable, 0, 'no publish was refused');
    assert.ok(report.silence_ms < 2500 * SCALE + stage.stalledMs, `a client heard nothing for ${report.silence_ms} ms`);
}

// A primary that dies may have sent, in its last turn, what its replica did not get any more: that few clients are told. Nothing acknowledged was lost so.
function asGoodAsNothing(report) {
    assert.ok(report.gaps <= 5 && report.retold <= 5, `${report.gaps} gaps`);
    assert.equal(report.gone, 0);
}

const lostConnections = stage => Promise.all(stage.programs.map(async program => await program.metric('sse_bus_lost_total') ?? 0));

test('without a fault each shard has a third of the SPUBLISHes, within 10 %', LIMIT, async t => {
    const stage = await ClusterStage.start(t, { set: { nodeTimeout: PATIENT_MS } });
    const figures = await stage.during(async () => {
        await stage.set.resetStats();
        await stage.load.last(5000);
    });
    const calls = await stage.set.spublishes();
    const sum = calls.reduce((a, b) => a + b, 0);
    assert.ok(sum > 3 * scaled(1000), `${sum} events went by SPUBLISH`);
    for (const [shard, n] of calls.entries())
        assert.ok(Math.abs(n / sum - 1 / 3) < 0.1 / 3 + (FAULT_SCALE < 1 ? 0.02 : 0), `shard ${shard} has ${n} of ${sum}`);
    for (const { nodes } of stage.set.shards)
        for (const node of nodes)
            assert.equal(await node.calls('publish'), 0, 'none goes to all nodes by PUBLISH');
    await stage.finish(t, `none; of all SPUBLISHes the shards ran ${calls.map(n => `${(100 * n / sum).toFixed(1)} %`).join(', ')}`, figures);
});

test('kill -9 of a primary loses nothing', LIMIT, async t => {
    const stage = await ClusterStage.start(t);
    const figures = await stage.failover(old => old.kill('SIGKILL'));
    asGoodAsNothing(await stage.finish(t, 'kill -9 a primary', figures, { gaps: true }));
});

test('kill -9 of a primary where a slot without a primary stops the whole cluster (Redis\'s default) loses nothing', LIMIT, async t => {
    const stage = await ClusterStage.start(t, { set: { fullCoverage: true } });
    const figures = await stage.failover(old => old.kill('SIGKILL'));
    asGoodAsNothing(await stage.finish(t, 'kill -9 a primary, cluster-require-full-coverage yes', figures, { gaps: true }));
});

test('a primary that hangs (SIGSTOP) is left behind, and when it goes on it is a replica', LIMIT, async t => {
    const stage = await ClusterStage.start(t);
    const figures = await stage.failover(old => old.pause());
    stage.old.resume();
    await stage.returned();
    await stage.load.recovery();
    asGoodAsNothing(await stage.finish(t, 'SIGSTOP a primary for longer than cluster-node-timeout', figures, { gaps: true }));
});

test('the old primary comes back as a replica: nobody notices', LIMIT, async t => {
    const stage = await ClusterStage.start(t);
    await stage.failover(old => old.kill('SIGKILL'));
    const lost = await lostConnections(stage);
    const figures = await stage.during(async () => {
        await stage.old.start();
        await stage.returned();
    });
    assert.deepEqual(await lostConnections(stage), lost);
    asGoodAsNothing(await stage.finish(t, 'the old primary comes back as a replica', figures, { gaps: true }));
});

test('CLUSTER FAILOVER loses nothing', LIMIT, async t => {
    const stage = await ClusterStage.start(t);
    const figures = await stage.failover(async () => (await stage.set.replica(0)).command(['CLUSTER', 'FAILOVER']));
    await stage.finish(t, 'CLUSTER FAILOVER', figures);
});

test('CLUSTER FAILOVER of all three shards, one after the other, over TLS, loses nothing', LIMIT, async t => {
    const { cert, key } = certificate(tempFolder());
    const stage = await ClusterStage.start(t, { set: { tls: { cert, key, ca: cert } } });
    const figures = await stage.during(async () => {
        for (const shard of stage.set.shards.keys())
            await stage.set.failover(shard);
    });
    await stage.finish(t, 'CLUSTER FAILOVER of each shard, over TLS', figures);
});

test('kill -9 of a replica: nobody notices', LIMIT, async t => {
    const stage = await ClusterStage.start(t);
    const lost = await lostConnections(stage);
    const figures = await stage.during(async () => {
        await (await stage.set.replica(0)).kill('SIGKILL');
        await stage.load.last(2 * NODE_TIMEOUT_MS);
    });
    assert.deepEqual(await lostConnections(stage), lost);
    assert.equal(stage.load.author.unavailable, 0);
    await stage.finish(t, 'kill -9 a replica', figures);
});

for (const [what, victim] of [['a replica that gateways listen at', set => set.replica(0)], ['a primary whose replica gateways listen at', set => set.primary(0)]])
    test(`kill -9 of ${what} loses nothing`, LIMIT, async t => {
        const listen = { SUBSCRIBE_WEIGHTS: 'primary=0,replica=1' };
        const stage = await ClusterStage.start(t, { gatewayEnv: [listen, listen] });
        const channels = (await stage.shardChannels(0)).map(channel => `sse:${stage.names[channel]}`);
        const heard = await (await stage.set.replica(0)).command(['PUBSUB', 'SHARDNUMSUB', ...channels]);
        assert.equal(heard.filter(count => count === 1).length, channels.length, 'all are heard at the replica');
        const figures = await stage.during(async () => {
            const node = await victim(stage.set);
            const primary = await stage.set.primary(0);
            await node.kill('SIGKILL');
            await (node === primary ? stage.set.moved(0, node) : stage.load.last(2 * NODE_TIMEOUT_MS));
        });
        asGoodAsNothing(await stage.finish(t, `kill -9 ${what}`, figures, { gaps: true }));
    });

const hangMs = Math.max(4000, 5000 * Math.min(1, FAULT_SCALE));
test('a shard that hangs as a whole holds up its own channels only', LIMIT, async t => {
    const stage = await ClusterStage.start(t);
    const [hung, others] = [stage.set.shards[0].nodes, [...await stage.shardChannels(1), ...await stage.shardChannels(2)]];
    const figures = await stage.during(async () => {
        hung.forEach(node => node.pause());
        const before = stage.counts(others);
        await stage.load.last(hangMs);
        const after = stage.counts(others);
        hung.forEach(node => node.resume());
        assert.ok(after.every((count, i) => count >= before[i] + 2), 'the others went on'); // one may have been on its way
    });
    assert.ok(stage.load.author.unavailable > 0, 'its own answered 503');
    await stage.set.settled();
    await stage.finish(t, `SIGSTOP the primary and the replica of a shard for ${hangMs / 1000} s`, figures);
});

test('slots move with their keys, there and back, while events come', LIMIT, async t => {
    const stage = await ClusterStage.start(t, { set: { nodeTimeout: PATIENT_MS } });
    const slots = (await stage.busySlots(0)).slice(0, scaled(100));
    assert.equal(slots.length, scaled(100));
    const figures = await stage.during(async () => {
        for (const to of [1, 0])
            assert.ok(await stage.moveSlowly(slots, to) > slots.length, 'there were keys to move');
    });
    unnoticed(stage, await stage.finish(t, `${slots.length} slots move with their keys, and back, each 0.3 s under way`, figures));
});

const heldMs = Math.max(4500, 5000 * Math.min(1, FAULT_SCALE));
test('a slot that stays half-way holds up its own channels only', LIMIT, async t => {
    const stage = await ClusterStage.start(t, { set: { nodeTimeout: PATIENT_MS } });
    const [slot] = await stage.busySlots(0);
    const [own, others] = [stage.channels(one => one === slot), stage.channels(one => one !== slot)];
    const figures = await stage.during(async () => {
        const move = await stage.set.beginMove(slot, 1);
        for (const moved of [1, Infinity, 0]) {
            await stage.load.last(200); // what was on its way is acknowledged
            const [held, before] = [stage.counts(own), stage.counts(others)];
            await stage.load.last(heldMs / 3);
            assert.deepEqual(stage.counts(own), held, 'nothing is acknowledged at either end');
            assert.ok(stage.counts(others).every((count, i) => count >= before[i] + 1), 'the others go on');
            await stage.set.moveKeys(move, moved);
        }
        await stage.set.endMove(move);
    });
    assert.ok(stage.load.author.unavailable > 0, 'its own answered 503');
    await stage.finish(t, `a slot half-way for ${heldMs / 1000} s, its history at the source, at both ends, at the target`, figures);
});

test('a fourth shard comes and takes its part of the slots (redis-cli --cluster rebalance)', LIMIT, async t => {
    const stage = await ClusterStage.start(t, { set: { nodeTimeout: PATIENT_MS } });
    const figures = await stage.during(async () => {
        const shard = await stage.set.addShard();
        await stage.set.cli('rebalance', '--cluster-use-empty-masters');
        await stage.set.settled();
        assert.ok((await stage.shardChannels(shard)).length > scaled(1000) / 6);
    });
    await stage.set.resetStats();
    await stage.load.last(1500);
    assert.ok((await stage.set.spublishes())[3] > scaled(1000) / 6, 'the new one runs its part of the SPUBLISHes');
    unnoticed(stage, await stage.finish(t, 'a fourth shard comes, redis-cli --cluster rebalance', figures));
});

test('a shard is emptied and taken away', LIMIT, async t => {
    const stage = await ClusterStage.start(t, { set: { shards: 4, nodeTimeout: PATIENT_MS } });
    const [primary, replica] = stage.set.shards[3].nodes;
    const figures = await stage.during(async () => {
        await stage.set.cli('rebalance', '--cluster-weight', `${primary.id}=0`);
        await stage.set.removeShard(3);
    });
    assert.ok(!primary.running && !replica.running);
    unnoticed(stage, await stage.finish(t, 'a fourth shard is emptied and taken away', figures));
});

for (const replicas of [0, 1])
    test(`a primary that is cut off from all other nodes, but not from us, is left behind (PUBLISH_REPLICAS=${replicas})`,
        { ...LIMIT, skip: ROOT ? false : 'needs root, for network namespaces' }, async t => {
            const islands = new Islands(t);
            const stage = await ClusterStage.start(t, { set: { at: i => islands.at(i), replicas: 2 }, env: { PUBLISH_REPLICAS: replicas } });
            const figures = await stage.failover(() => islands.cut());
            assert.equal((await stage.old.command(['ROLE']))[0], 'master', 'it still thinks it is the primary');
            await until('nobody uses it, though all may ask it who has which slots', async () =>
                !/ name=sse-gateway:(?!cluster )/.test(await stage.old.command(['CLIENT', 'LIST'])));
            islands.join();
            await stage.returned();
            await stage.load.recovery();
            const report = await stage.finish(t, `partition: a primary sees only us, PUBLISH_REPLICAS=${replicas}`, figures, { gaps: true });
            assert.ok(replicas === 0 || report.gone === 0);
        });

test('kill -9 of a gateway while slots move: its clients, with 5 channels of several shards each, go on at the other', LIMIT, async t => {
    const streams = scaled(1000) / 5;
    const stage = await ClusterStage.start(t, { set: { nodeTimeout: PATIENT_MS }, streams, follow: { each: 5, window: MARGIN_MS } });
    const slots = (await stage.busySlots(0)).slice(0, scaled(100));
    const [gateway] = stage.load.stack.gw;
    const figures = await stage.during(async () => {
        const moving = stage.moveSlowly(slots, 1);
        await stage.load.last(500);
        await gateway.kill('SIGKILL');
        await until('the clients are at the other', async () => (await stage.load.follow.report()).open === streams);
        await moving;
        await gateway.start();
    });
    await stage.finish(t, `kill -9 a gateway while ${slots.length} slots move, 5 channels in each stream`, figures, { reconnects: streams / 2 });
});

test('kill -9 of a primary and of a gateway at once: clients with 5 channels of several shards each go on at the other', LIMIT, async t => {
    const streams = scaled(1000) / 5;
    const stage = await ClusterStage.start(t, { streams, follow: { each: 5, window: MARGIN_MS + OUTAGE_MS } });
    const [gateway] = stage.load.stack.gw;
    const figures = await stage.failover(old => Promise.all([old.kill('SIGKILL'), gateway.kill('SIGKILL')]));
    await gateway.start();
    asGoodAsNothing(await stage.finish(t, 'kill -9 a primary and a gateway, 5 channels in each stream', figures, { gaps: true, reconnects: streams / 2 }));
});
