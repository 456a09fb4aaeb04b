// SUBSCRIBE_WEIGHTS: messages are heard at replicas, and what their primary's connection to them lost comes from the histories.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { binary, until } from './stack.mjs';
import { ClusterSet } from './cluster_set.mjs';
import { author, inShard, publish, spread, texts } from './cluster_author.mjs';
import { openStream } from './sse.mjs';

const set = await ClusterSet.start({ nodeTimeout: 3000 });
const s = await set.stack({ gateways: 2, env: { SUBSCRIBE_WEIGHTS: 'primary=0,replica=1' } });

const listeners = async (node, name) => (await node.command(['PUBSUB', 'SHARDNUMSUB', `sse:${name}`]))[1];
const holds = node => node.command(['CLIENT', 'LIST']).then(text => [...text.matchAll(/ name=sse-gateway:sse-gateway:subscriber /g)].length);

// Until `count` gateways hear the channel at a node.
const heardAt = (node, name, count = 1) => until(`${name} is heard at ${node.name}`, async () => await listeners(node, name) === count, 20000);

test('no subscriber is at a primary; events come, in order, and clients resume', async () => {
    for (const [shard, name] of spread(set, 'at-replica').entries()) {
        const streams = await Promise.all(s.gw.map(gateway => openStream(`${gateway.url}/channels/${name}`)));
        await heardAt(await set.replica(shard), name, 2);
        assert.deepEqual([await listeners(await set.primary(shard), name), await holds(await set.primary(shard))], [0, 0]);
        const ids = [];
        for (let i = 0; i < 10; ++i)
            ids.push(await publish(s, name, String(i)));
        for (const stream of streams)
            assert.deepEqual(texts(await stream.take(10)), ids.map((_, i) => String(i)));
        const again = await openStream(`${s.gw[1].url}/channels/${name}`, { headers: { 'last-event-id': ids[6] } });
        assert.deepEqual(texts(await again.take(3)), ['7', '8', '9']);
        [...streams, again].forEach(stream => stream.close());
    }
});

test('the connection from primary to replica breaks with an event in it, the last one of its channel: the gateway reads it from the history, and opens streams that came meanwhile', async () => {
    const [name, bulk] = inShard(set, 0, 2, 'link'), [other] = inShard(set, 1, 1, 'link'), [primary, replica] = [await set.primary(0), await set.replica(0)];
    const stream = await openStream(`${s.gw[0].url}/channels/${name}`);
    await heardAt(replica, name);
    await publish(s, name, 'before');
    assert.equal((await stream.next()).data, 'before');
    const broken = async () => Number((await primary.info('cluster')).total_cluster_links_buffer_limit_exceeded);
    const already = await broken();
    const more = () => primary.command(['FCALL', 'sse_publish', 1, `sse:${bulk}`, 'x'.repeat(900000), 'maxlen', 1]);
    replica.pause();
    for (let i = 0; i < 14; ++i)
        await more();
    await primary.command(['FCALL', 'sse_publish', 1, `sse:${name}`, 'in between']); // behind more than a socket holds
    const meanwhile = await openStream(`${s.gw[0].url}/subscribe?channel=${name}&channel=${other}`); // waits for a message of its gateway's own, which is lost as well
    await primary.command(['CONFIG', 'SET', 'cluster-link-sendbuf-limit', '1mb']);
    await until('the connection is given up', async () => {
        if (await broken() > already)
            return true;
        await more(); // the primary may have made a new one meanwhile, as the replica does not answer
        return false;
    });
    replica.resume();
    await primary.command(['CONFIG', 'SET', 'cluster-link-sendbuf-limit', '0']);
    assert.equal((await stream.next(10000)).data, 'in between');
    await publish(s, name, 'after');
    assert.equal((await stream.next()).data, 'after');
    await meanwhile.waitText(/^id: /m);
    [stream, meanwhile].forEach(open => open.close());
});

test('the replica is killed: it is heard at the primary, until there is a replica again', async () => {
    const [name] = inShard(set, 1, 1, 'killed'), [primary, replica] = [await set.primary(1), await set.replica(1)];
    const stream = await openStream(`${s.gw[0].url}/channels/${name}`);
    await heardAt(replica, name);
    const writing = author(s, [name]);
    await replica.kill('SIGKILL');
    await heardAt(primary, name);
    await replica.start();
    await heardAt(replica, name);
    const [count] = await writing.stop();
    assert.deepEqual(texts(await stream.take(count)), Array.from({ length: count }, (_, i) => String(i + 1)));
    stream.close();
});

test('a failover: the replica becomes the primary, the old one the replica; nothing is lost or twice', async () => {
    const [name] = inShard(set, 2, 1, 'failover');
    const stream = await openStream(`${s.gw[0].url}/channels/${name}`);
    await heardAt(await set.replica(2), name);
    const writing = author(s, [name]);
    const next = await set.failover(2);
    await heardAt(await set.replica(2), name);
    assert.notEqual(await set.replica(2), next);
    const [count] = await writing.stop();
    assert.deepEqual(texts(await stream.take(count)), Array.from({ length: count }, (_, i) => String(i + 1)));
    stream.close();
});

test('a client comes with an id that this gateway has not heard of, since one of its shards lags: it gets what follows, and no gap', async () => {
    const channels = [0, 2].map(shard => inShard(set, shard, 1, 'lags')[0]), [here, there] = channels;
    const path = `/subscribe?channel=${here}&channel=${there}`;
    const ahead = await set.stack({ gateways: 1, publishers: 0 }); // at the primaries
    const [first, behind] = await Promise.all([ahead.gw[0], s.gw[0]].map(gateway => openStream(gateway.url + path)));
    const replica = await set.replica(2);
    await heardAt(replica, there);
    await Promise.all(channels.map(name => publish(s, name, `before ${name}`)));
    await Promise.all([first, behind].map(stream => stream.take(2)));
    replica.pause();
    const id = await publish(s, there, 'not heard');
    assert.equal((await first.next()).data, 'not heard');
    const resumed = await openStream(s.gw[0].url + path, { headers: { 'last-event-id': id } });
    await publish(s, here, 'of the other shard');
    await first.waitEvent('it', event => event.data === 'of the other shard');
    assert.deepEqual(texts(resumed.events), [], 'it waits for that shard');
    replica.resume();
    await publish(s, there, 'last');
    for (const text of ['of the other shard', 'last']) // nothing orders the events of two shards
        await resumed.waitEvent(text, event => event.data === text);
    assert.deepEqual(texts(resumed.events).filter(text => text !== `before ${here}`).sort(), ['last', 'of the other shard']);
    [first, behind, resumed].forEach(stream => stream.close());
});

test('weights that can\'t be right end the start in a sentence that names the setting', async () => {
    for (const [env, why] of [[{ SUBSCRIBE_WEIGHTS: 'replica=101' }, /why="SUBSCRIBE_WEIGHTS: a weight must be a number from 0 to 100/], [{ SUBSCRIBE_WEIGHTS: 'primary=0' }, /why="SUBSCRIBE_WEIGHTS: not all weights/],
        [{ SUBSCRIBE_WEIGHTS: 'replica=1', REDIS_URL: 'redis://h' }, /SUBSCRIBE_WEIGHTS: replicas are for redis-cluster:\/\//]]) {
        const { error, stderr } = await new Promise(done => execFile(binary('sse-gateway'), [], { env: { PORT: '0', ADMIN_PORT: '0', ...env }, timeout: 5000 }, (failed, _, text) => done({ error: failed, stderr: text })));
        assert.equal(error?.code, 1);
        assert.match(stderr, why);
    }
});
