// Slots that move from shard to shard while events are published and read: nothing lost, nothing twice, in order; and nothing is published into half a history.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { SCALE, quiet, until } from './stack.mjs';
import { ClusterSet, slotOf } from './cluster_set.mjs';
import { author, inShard as channels, post, publish, texts } from './cluster_author.mjs';
import { openStream } from './sse.mjs';

const set = await ClusterSet.start({ replicas: 0 });
const s = await set.stack({ gateways: 2, publishers: 1 });

const all = [...s.gw, ...s.pub];
const inShard = (...args) => channels(set, ...args);
const lost = async () => (await Promise.all(s.gw.map(gateway => gateway.metric('sse_bus_lost_total')))).reduce((a, b) => a + b);

async function readers(names) {
    const streams = await Promise.all(names.flatMap(name => s.gw.map(async gateway => ({ name, stream: await openStream(`${gateway.url}/channels/${name}`) }))));
    for (const name of names)
        await set.subscribed(name, s.gw.length);
    return streams;
}

// Every stream has 1 … n of its channel, in order, once, and no gap.
async function complete(streams, names, counts) {
    for (const { name, stream } of streams) {
        const n = counts[names.indexOf(name)];
        await until(`${n} events of ${name}`, () => stream.events.length >= n, 15000, () => `: ${texts(stream.events).slice(-5)}`);
        assert.deepEqual(texts(stream.events), Array.from({ length: n }, (_, i) => String(i + 1)), name);
        stream.close();
    }
}

// Until no program asks for the map more than once a second: after the last sign of a change they do so for a while.
async function calm() {
    const node = await set.primary(0);
    let before = await node.calls('cluster|slots');
    await until('the map is seldom asked for', async () => {
        await quiet(1000);
        const since = await node.calls('cluster|slots') - before;
        before += since;
        return since <= all.length * SCALE;
    }, 20000);
}

test('slots move with their keys while their channels are published to: the streams notice nothing, nor do those of other channels', async () => {
    const names = [...inShard(0, 4, 'move'), ...inShard(1, 2, 'stay')];
    const before = await lost();
    const streams = await readers(names);
    const writing = author(s, names);
    const slots = names.slice(0, 4).map(slotOf);
    await set.moveSlots(slots, 1);
    await set.moveSlots(slots, 2);
    await set.moveSlots(slots, 0);
    await complete(streams, names, await writing.stop());
    assert.equal(await lost(), before, 'no connection was dropped for it');
    assert.ok(await s.gw[0].metric('sse_history_reads_total') > 0);
});

test('a channel that has moved is heard at its new shard at once, not when the map is asked for again', async () => {
    const [name] = inShard(1, 1, 'at-once');
    const streams = await readers([name]);
    await calm();
    for (let i = 1; i <= 8; ++i) {
        await set.moveSlot(slotOf(name), (i + 1) % 3);
        await publish(s, name, String(i));
        const began = performance.now();
        await Promise.all(streams.map(({ stream }) => stream.waitEvent(`event ${i}`, event => event.data === String(i))));
        assert.ok(performance.now() - began < 500 * SCALE, `move ${i}: ${performance.now() - began} ms`);
    }
    await set.moveSlot(slotOf(name), 1);
    await complete(streams, [name], [8]);
});

test('a stream of several channels, one of which moves: each channel in order, once', async () => {
    const names = [...inShard(0, 1, 'several'), ...inShard(1, 1, 'several'), ...inShard(2, 1, 'several')];
    const stream = await openStream(`${s.gw[0].url}/subscribe?${names.map(name => `channel=${name}`).join('&')}`);
    await set.subscribed(names[0]);
    const writing = names.map(name => author(s, [name]));
    await set.moveSlot(slotOf(names[0]), 1);
    await set.moveSlot(slotOf(names[1]), 2);
    const counts = (await Promise.all(writing.map(one => one.stop()))).flat();
    await until('all have come', () => stream.events.length >= counts.reduce((a, b) => a + b));
    const sorted = texts(stream.events).map(Number).sort((a, b) => a - b);
    assert.deepEqual(sorted, counts.flatMap(n => Array.from({ length: n }, (_, i) => i + 1)).sort((a, b) => a - b));
    stream.close();
});

test('an empty slot moves: listeners get the first event from the new shard', async () => {
    const [name] = inShard(2, 1, 'empty');
    const streams = await readers([name]);
    await set.moveSlot(slotOf(name), 0);
    await set.subscribed(name, 2);
    await publish(s, name, '1');
    await complete(streams, [name], [1]);
});

const HALF = /is moving this channel|on its way to another shard/;
const cli = (port, ...args) => new Promise(done => execFile('redis-cli', ['-c', '-p', String(port), ...args], (error, stdout, stderr) => done(`${stdout}${stderr}`.trim())));

for (const where of ['source', 'target'])
    test(`a slot is held half-way, its history at the ${where}: nothing is published, by nobody; afterwards all goes on`, async () => {
        const [name] = inShard(0, 1, `half-${where}`);
        const streams = await readers([name]);
        await publish(s, name, '1');
        const move = await set.beginMove(slotOf(name), 1);
        if (where === 'target')
            await set.moveKeys(move);
        const log = `{sse:${name}}:log`, holder = where === 'target' ? move.target : move.from;
        const began = performance.now();
        const answer = await post(s, name, '2');
        assert.equal(answer.status, 503);
        assert.match(JSON.parse(answer.body).error, HALF);
        assert.equal(answer.headers['retry-after'], '1');
        assert.ok(performance.now() - began > 1000, 'it was tried for a while');
        assert.match(await cli(move.from.port, 'FCALL', 'sse_publish', '1', `sse:${name}`, 'forked'), /TRYAGAIN/);
        await move.target.command(['ASKING']);
        await assert.rejects(move.target.command(['FCALL', 'sse_publish', 1, `sse:${name}`, 'forked']), /TRYAGAIN sse_publish: /);
        const batch = ['FCALL', 'sse_publish_many', '1', `sse:${name}`, 'data', 'forked', 'data', 'too'];
        assert.match(await cli(move.from.port, ...batch), /TRYAGAIN/);
        await move.target.command(['ASKING']);
        await assert.rejects(move.target.command(batch), /TRYAGAIN sse_publish_many: /);
        assert.equal((await post(s, inShard(0, 1, 'other')[0], 'others go on')).status, 200);
        const late = openStream(`${s.gw[0].url}/channels/${name}`, { headers: { 'last-event-id': '00000000-0000-4000-8000-000000000000' } });
        await set.moveKeys(move);
        const pending = post(s, name, '2', 'in time'); // the publisher tries for 2 s
        await set.endMove(move);
        assert.equal((await pending).status, 200, 'one that is tried while the move ends is taken');
        (await late).close();
        await complete(streams, [name], [2]);
        assert.equal(await move.target.command(['XLEN', log]), 2);
        assert.equal((await move.from.command(['CLUSTER', 'COUNTKEYSINSLOT', slotOf(name)])), 0, `${holder.name} keeps nothing`);
    });

test('a client that comes while its channel is half-way gets its events when it is through', async () => {
    const [name] = inShard(1, 1, 'reader');
    const id = await publish(s, name, '1');
    await publish(s, name, '2');
    const move = await set.beginMove(slotOf(name), 2);
    await set.moveKeys(move);
    const stream = await openStream(`${s.gw[1].url}/channels/${name}`, { headers: { 'last-event-id': id } });
    await quiet(600);
    assert.equal(stream.events.length, 0);
    await set.endMove(move);
    assert.equal((await stream.next()).data, '2');
    await publish(s, name, '3');
    assert.equal((await stream.next()).data, '3');
    stream.close();
});

test('a move that is called off leaves all as it was', async () => {
    const [name] = inShard(0, 1, 'stable');
    const streams = await readers([name]);
    await publish(s, name, '1');
    const move = await set.beginMove(slotOf(name), 1);
    assert.equal((await post(s, name, '2')).status, 503);
    await set.cancelMove(move);
    await publish(s, name, '2');
    await complete(streams, [name], [2]);
});

test('slots of the canaries move: both gateways stay ready, and wait for others\' ids where they are', async () => {
    const canaries = await Promise.all([0, 1, 2].map(async shard => (await (await set.primary(shard)).command(['PUBSUB', 'SHARDCHANNELS', 'sse:!canary.*']))));
    assert.deepEqual(canaries.map(names => names.length), [2, 2, 2], 'one of each gateway in each shard');
    const slots = canaries[0].map(name => slotOf(name.replace('sse:', '')));
    await set.moveSlots(slots, 1);
    await until('each has a new one', async () => {
        const now = await (await set.primary(0)).command(['PUBSUB', 'SHARDCHANNELS', 'sse:!canary.*']);
        return now.length === 2 && now.every(name => !slots.includes(slotOf(name.replace('sse:', ''))));
    });
    await quiet(4000);
    for (const gateway of s.gw)
        assert.equal((await gateway.ready()).status, 200);
    const [name] = inShard(0, 1, 'after-canary');
    const id = await publish(s, name, '1');
    const stream = await openStream(`${s.gw[0].url}/channels/${name}`, { headers: { 'last-event-id': id } });
    await publish(s, name, '2');
    assert.equal((await stream.next()).data, '2');
    stream.close();
});

test('a shard joins, gets slots, and leaves again, under load: connections come and go with it', async () => {
    const names = [...inShard(0, 2, 'join'), ...inShard(1, 2, 'join'), ...inShard(2, 2, 'join')];
    const streams = await readers(names);
    const writing = author(s, names);
    const shard = await set.addShard(), slots = names.map(slotOf);
    await set.moveSlots(slots, shard);
    const node = await set.primary(shard);
    await until('both programs are there', async () => new Set([...(await node.command(['CLIENT', 'LIST'])).matchAll(/ name=sse-gateway:(\S*) /g)].map(([, name]) => name)).size === 4);
    for (const [i, slot] of slots.entries())
        await set.moveSlot(slot, i % 3);
    await until('all but the watchers have left', async () => ![...(await node.command(['CLIENT', 'LIST'])).matchAll(/ name=sse-gateway:(\S*) /g)].some(([, name]) => name !== 'cluster'));
    const counts = await writing.stop();
    await complete(streams, names, counts);
    for (const program of all)
        await program.waitReady();
});
