// What breaks in one shard of a cluster: the others go on, what is away is named, and what comes back has lost nothing that its history has.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { quiet, until } from './stack.mjs';
import { ClusterSet } from './cluster_set.mjs';
import { busOf, inShard, post, publish, spread, texts } from './cluster_author.mjs';
import { openStream, request } from './sse.mjs';

const set = await ClusterSet.start();
const s = await set.stack({ gateways: 2, publishers: 1, env: { REDIS_TIMEOUT_MS: 2000 } });

const all = [...s.gw, ...s.pub];
const allReady = () => Promise.all(all.map(program => program.waitReady()));
const ours = async node => new Set([...(await node.command(['CLIENT', 'LIST'])).matchAll(/ name=sse-gateway:(\S*) /g)].map(([, name]) => name).filter(name => name !== 'cluster'));
const OURS = ['commands', 'sse-gateway:commands', 'sse-gateway:subscriber'];
async function open(names, gateway = 0) {
    const streams = await Promise.all(names.map(name => openStream(`${s.gw[gateway].url}/channels/${name}`)));
    for (const name of names)
        await set.subscribed(name);
    return streams;
}

test('a planned failover of a shard: its connections follow, its streams go on, the others notice nothing', async () => {
    await allReady();
    const names = spread(set, 'planned'), streams = await open(names);
    const [old, other] = [await set.primary(0), await set.primary(1)];
    const others = await other.command(['CLIENT', 'LIST']);
    for (const name of names)
        await publish(s, name, 'one');
    const next = await set.failover(0);
    await until('all of its connections are at the new one', async () => String([...await ours(next)].sort()) === String(OURS) && (await ours(old)).size === 0);
    for (const name of names)
        await publish(s, name, 'two');
    for (const stream of streams) {
        assert.deepEqual(texts(await stream.take(2)), ['one', 'two']);
        stream.close();
    }
    const ids = text => [...text.matchAll(/^id=(\d+) .* name=sse-gateway:(?!cluster)/gm)].map(([, id]) => id).sort().join();
    assert.equal(ids(await other.command(['CLIENT', 'LIST'])), ids(others), 'the connections to another shard are the same ones');
    await allReady();
});

test('a primary is killed: its replica takes over with its data; the old one is not used when it comes back', async () => {
    const names = spread(set, 'killed'), streams = await open(names);
    const old = await set.primary(1), replica = await set.replica(1);
    for (const name of names)
        await publish(s, name, 'one');
    await until('the replica has it', async () => await replica.command(['DBSIZE']) === await old.command(['DBSIZE']));
    await old.kill('SIGKILL');
    assert.equal((await post(s, names[0], 'two')).status, 200, 'another shard goes on at once');
    for (const name of names)
        await publish(s, name, 'two');
    for (const stream of streams) {
        assert.deepEqual(texts(await stream.take(2)), ['one', 'two']);
        stream.close();
    }
    await set.moved(1, old);
    await old.start();
    await set.settled();
    await allReady();
    assert.equal((await ours(old)).size, 0);
});

test('a shard without a replica is away: 503 for its channels only, and /readyz of all names it; then all goes on', async () => {
    const names = spread(set, 'away'), streams = await open(names);
    const primary = await set.primary(2), replica = await set.replica(2);
    await replica.kill('SIGTERM');
    await publish(s, names[2], 'one');
    await primary.command(['SAVE']);
    await primary.kill('SIGKILL');
    const why = new RegExp(`^shard 127\\.0\\.0\\.1:${primary.port}: `);
    for (const program of all)
        await until('it is named', async () => why.test(await busOf(program)));
    const answer = await post(s, names[2], 'two');
    assert.equal(answer.status, 503);
    assert.match(JSON.parse(answer.body).error, why);
    assert.equal(answer.headers['retry-after'], '1');
    for (const i of [0, 1])
        assert.equal((await post(s, names[i], 'one')).status, 200);
    for (const i of [0, 1])
        assert.equal((await streams[i].next()).data, 'one');
    assert.equal(await s.gw[0].metric('sse_bus_up'), 0);
    const several = await openStream(`${s.gw[0].url}/subscribe?channel=${names[0]}&channel=${names[2]}`);
    await primary.start();
    await replica.start();
    await set.settled();
    await publish(s, names[2], 'two');
    assert.deepEqual(texts(await streams[2].take(2)), ['one', 'two']);
    await several.waitEvent('what came since', event => event.data === 'two');
    [...streams, several].forEach(stream => stream.close());
    await allReady();
});

test('a shard stands still: a stream of several shards sends no ids meanwhile, so that a client that leaves then resumes from before it', async () => {
    const [here, there] = [inShard(set, 0, 1, 'still')[0], inShard(set, 2, 1, 'still')[0]];
    const url = i => `${s.gw[i].url}/subscribe?channel=${here}&channel=${there}`;
    const stream = await openStream(url(0));
    await set.subscribed(here);
    await publish(s, here, 'before');
    assert.notEqual((await stream.next()).lastEventId, '');
    const primary = await set.primary(2);
    await primary.command(['CLIENT', 'PAUSE', 8000, 'ALL']).catch(() => {});
    const last = () => stream.events.at(-1);
    let n = 0;
    const sent = performance.now();
    while (performance.now() - sent < 1900) {
        await publish(s, here, `meanwhile ${++n}`);
        await stream.waitEvent('it', event => event.data === `meanwhile ${n}`);
    }
    const { lastEventId: frozen } = last();
    await publish(s, here, 'later');
    await stream.waitEvent('it', event => event.data === 'later');
    assert.equal(last().lastEventId, frozen, 'no new id while a shard is silent');
    const resumed = await openStream(url(1), { headers: { 'last-event-id': frozen } });
    await quiet(500);
    assert.equal(resumed.events.length, 0, 'nor to one that comes meanwhile');
    await primary.command(['CLIENT', 'UNPAUSE']);
    await resumed.waitEvent('the latest', event => event.data === 'later');
    await publish(s, there, 'of the silent shard');
    await resumed.waitEvent('it', event => event.data === 'of the silent shard');
    await stream.waitEvent('it', event => event.data === 'of the silent shard');
    await until('ids are given again', async () => {
        await publish(s, here, `again ${++n}`);
        await stream.waitEvent('it', event => event.data === `again ${n}`);
        return last().lastEventId !== frozen;
    });
    assert.ok(!resumed.events.some(event => event.type === 'gap'));
    stream.close();
    resumed.close();
    await allReady();
});

test('a publish that is lost with its primary is 503, and with PUBLISH_REPLICAS=1 none is acknowledged that the replica has not', async () => {
    const sure = await set.stack({ gateways: 0, env: { PUBLISH_REPLICAS: 1, REDIS_TIMEOUT_MS: 2000 } });
    const names = spread(set, 'replicated');
    for (const name of names)
        await sure.post(name, 'one');
    const replica = await set.replica(0);
    await replica.kill('SIGKILL');
    const answer = await request(`${sure.pub[0].url}/channels/${names[0]}`, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'two' });
    assert.equal(answer.status, 503);
    assert.match(JSON.parse(answer.body).error, /on 0 of PUBLISH_REPLICAS=1 replicas/);
    await sure.post(names[1], 'two');
    await replica.start();
    await set.settled();
    await until('it is acknowledged again', () => sure.post(names[0], 'three', { headers: { 'idempotency-key': 'three' } }).catch(() => null));
    await sure.stop();
});

test('all nodes go and come back: the programs find them again', async () => {
    const names = spread(set, 'dark'), streams = await open(names);
    for (const name of names)
        await publish(s, name, 'one');
    for (const node of set.nodes)
        await node.command(['SAVE']).catch(() => {});
    for (const node of set.nodes)
        await node.kill('SIGKILL');
    for (const program of all)
        await until('it is told', async () => /^shard 127\.0\.0\.1:\d+: /.test(await busOf(program)));
    await quiet(500);
    for (const node of set.nodes)
        await node.start();
    await set.settled();
    for (const name of names)
        await publish(s, name, 'two');
    for (const stream of streams) {
        assert.deepEqual(texts(await stream.take(2)), ['one', 'two']);
        stream.close();
    }
    await allReady();
});
