// redis-cluster://: three shards are one bus. Settings and sentences, order and resume across shards, what a person does by hand, and where the load goes.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { ROOT, Stack, binary, freePort, quiet, tempFolder, until } from './stack.mjs';
import { Authority } from './authority.mjs';
import { ClusterSet, slotOf } from './cluster_set.mjs';
import { busOf, inShard, spread, texts } from './cluster_author.mjs';
import { openStream, request } from './sse.mjs';

const set = await ClusterSet.start();
const s = await set.stack({ gateways: 2, publishers: 2, env: { STATUS_MS: 100 }, gatewayEnv: [{ NODE_NAME: 'one' }, { NODE_NAME: 'two' }], publisherEnv: [{ NODE_NAME: 'pub' }, { NODE_NAME: 'other' }] });

const all = stack => [...stack.gw, ...stack.pub];
const unique = list => [...new Set(list)];

function runs(program, env) {
    return new Promise(done => execFile(binary(program), [], { env: { PORT: '0', ADMIN_PORT: '0', ...env }, timeout: 5000 }, (error, _, stderr) => done({ error, stderr })));
}

test('events of channels in all shards reach both gateways, in order, from either publisher', async () => {
    const names = spread(set, 'order').flatMap(name => [name, `${name}-b`, `${name}-c`]);
    const streams = await Promise.all(s.gw.flatMap(gateway => names.map(async name => ({ name, stream: await openStream(`${gateway.url}/channels/${name}`) }))));
    for (const name of names)
        await set.subscribed(name, 2);
    for (let i = 0; i < 20; ++i)
        await Promise.all(names.map(name => s.post(name, `${name} ${i}`, { pub: i % 2 })));
    for (const { name, stream } of streams) {
        assert.deepEqual(texts(await stream.take(20)), Array.from({ length: 20 }, (_, i) => `${name} ${i}`));
        stream.close();
    }
});

test('a client resumes at either gateway, in each shard', async () => {
    for (const name of spread(set, 'resume')) {
        const ids = [];
        for (let i = 0; i < 5; ++i)
            ids.push((await s.post(name, `${i}`)).id);
        for (const gateway of s.gw) {
            const stream = await openStream(`${gateway.url}/channels/${name}`, { headers: { 'last-event-id': ids[1] } });
            assert.deepEqual(texts(await stream.take(3)), ['2', '3', '4']);
            stream.close();
        }
    }
});

test('an id that a gateway has not seen yet is waited for at its shard: no gap', async () => {
    const [gateway] = s.gw, bulk = 'x'.repeat(900000);
    for (const shard of [0, 1, 2]) {
        const [name, other] = inShard(set, shard, 2, 'barrier'), node = await set.nodeOf(name);
        const streams = await Promise.all([name, other].map(channel => openStream(`${gateway.url}/channels/${channel}`)));
        await set.subscribed(name);
        await set.subscribed(other);
        gateway.pause();
        for (let i = 0; i < 20; ++i) // so much that the id is asked for before it is read
            await node.command(['FCALL', 'sse_publish', 1, `sse:${other}`, bulk, 'maxlen', 1]);
        const [id] = await node.command(['FCALL', 'sse_publish', 1, `sse:${name}`, 'seen elsewhere']);
        const opening = openStream(`${gateway.url}/channels/${name}`, { headers: { 'last-event-id': id } });
        await quiet(100);
        gateway.resume();
        const stream = await opening;
        await s.post(name, 'after');
        assert.equal((await stream.next()).data, 'after');
        [stream, ...streams].forEach(one => one.close());
    }
});

test('one stream of channels in several shards: each channel in order, once; a client that resumes misses nothing, and at most the last two seconds repeat', async () => {
    const names = spread(set, 'multi');
    const url = i => `${s.gw[i].url}/subscribe?${names.map(name => `channel=${name}`).join('&')}`;
    const stream = await openStream(url(0));
    for (const name of names)
        await set.subscribed(name);
    for (let i = 0; i < 30; ++i)
        for (const name of names)
            await s.post(name, `${name} ${i}`);
    const first = await stream.take(90);
    for (const name of names)
        assert.deepEqual(texts(first).filter(text => text.startsWith(`${name} `)), Array.from({ length: 30 }, (_, i) => `${name} ${i}`));
    stream.close();
    const sent = performance.now();
    for (const at of [10, 50, 89]) {
        const last = first.slice(0, at + 1).findLast(event => event.lastEventId !== '');
        const again = await openStream(url(1), { headers: { 'last-event-id': last.lastEventId } });
        const missed = texts(first.slice(first.indexOf(last) + 1));
        await until('all that was missed', () => missed.every(text => texts(again.events).includes(text)));
        for (const name of names) {
            const got = texts(again.events).filter(text => text.startsWith(`${name} `));
            assert.deepEqual(got, unique(got), 'nothing twice in one stream');
            assert.deepEqual(got, texts(first).filter(text => got.includes(text)), 'in order');
        }
        assert.ok(!again.events.some(event => event.type === 'gap'));
        again.close();
    }
    // what is older than the margin does not come again
    await until('the margin has passed', () => performance.now() - sent > 3000);
    await s.post(names[0], 'late');
    const late = await openStream(url(0), { headers: { 'last-event-id': first[89].lastEventId } });
    await late.waitEvent('the late one', event => event.data === 'late');
    const [{ lastEventId }] = late.events.slice(-1);
    late.close();
    const once = await openStream(url(0), { headers: { 'last-event-id': lastEventId } });
    await s.post(names[1], 'end');
    await once.waitEvent('the end', event => event.data === 'end');
    assert.deepEqual(texts(once.events), ['end']);
    once.close();
});

test('a fresh stream of several shards gives a place from which nothing old comes and nothing new is missed', async () => {
    const names = spread(set, 'place');
    const url = `${s.gw[0].url}/subscribe?${names.map(name => `channel=${name}`).join('&')}`;
    for (const name of names)
        await s.post(name, `old ${name}`);
    await until('the events are long past', async () => {
        const [[seconds]] = [await (await set.nodeOf(names[0])).command(['TIME'])];
        const [[position]] = await (await set.nodeOf(names[2])).command(['XREVRANGE', `{sse:${names[2]}}:log`, '+', '-', 'COUNT', 1]);
        return Number(seconds) * 1000 - Number(position.split('-')[0]) > 14000;
    }, 20000);
    const fresh = await openStream(url);
    const [, place] = await fresh.waitText(/^id: (\S+)$/m);
    fresh.close();
    await s.post(names[1], 'missed');
    const again = await openStream(url, { headers: { 'last-event-id': place } });
    await s.post(names[2], 'live');
    await again.waitEvent('the live one', event => event.data === 'live');
    assert.deepEqual(texts(again.events), ['missed', 'live']);
    again.close();
});

test('the clock of one shard is 20 s behind: a client that resumes a stream of several shards still misses nothing', async () => {
    const shift = join(tempFolder(), 'clock_shift.so');
    execFileSync('cc', ['-shared', '-fPIC', '-o', shift, join(ROOT, 'tests/integration/clock_shift.c')]);
    const wrap = ['env', `LD_PRELOAD=${shift}`, 'CLOCK_SHIFT=-20'];
    const skewed = await ClusterSet.start({ replicas: 0, at: i => ({ host: '127.0.0.1', wrap: i === 1 ? wrap : [] }) });
    const t = await skewed.stack({ gateways: 2 });
    const names = spread(set, 'clock'), url = i => `${t.gw[i].url}/subscribe?${names.map(name => `channel=${name}`).join('&')}`;
    const stream = await openStream(url(0));
    for (const name of names)
        await skewed.subscribed(name);
    await until('the gateways know', () => t.gw.every(gateway => gateway.logContains(/clocks of the shards differ.* ms=(19|20)\d{3}/)));
    for (const name of [...names, ...names])
        await t.post(name, `seen ${name}`);
    const seen = await stream.take(6);
    stream.close();
    for (const name of names)
        await t.post(name, `missed ${name}`);
    for (const last of seen.slice(-3)) {
        const again = await openStream(url(1), { headers: { 'last-event-id': last.lastEventId } });
        for (const name of names)
            await again.waitEvent(`what was missed of ${name}`, event => event.data === `missed ${name}`);
        assert.ok(!again.events.some(event => event.type === 'gap'));
        again.close();
    }
    await t.stop();
    await skewed.stop();
});

for (const [which, position] of [['newer than', (first, last) => `${last + 1}-0`], ['older than', first => `${first}-7`]])
    test(`an event of a history that is no more, ${which} the newest one, is dropped: no gap, nothing twice`, async () => {
        const [name] = spread(set, `stray-${which.slice(0, 5)}`), node = await set.nodeOf(name);
        const stream = await openStream(`${s.gw[0].url}/channels/${name}`);
        await set.subscribed(name);
        for (const text of ['1', '2', '3']) {
            await s.post(name, text);
            await quiet(3); // each in another millisecond
        }
        const [[first], , [last]] = await node.command(['XRANGE', `{sse:${name}}:log`, '-', '+']);
        const malformed = await s.gw[0].metric('sse_bus_malformed_total');
        const at = position(...[first, last].map(text => Number(text.split('-')[0])));
        await node.command(['SPUBLISH', `sse:${name}`, `\x1esse1 ${at} ${first}\nevent: message\ndata: stray\nid: x\nretry: 6000\n\n`]);
        await s.gw[0].waitMetric('sse_bus_malformed_total', malformed + 1);
        await s.post(name, '4');
        assert.deepEqual(texts(await stream.take(4)), ['1', '2', '3', '4']);
        stream.close();
    });

test('a seed that is dead, or a single replica: any node that answers names all others', async () => {
    for (const url of [set.url([{ host: '127.0.0.1', port: 1 }, set.nodes[1]]), set.url([set.nodes[5]])]) {
        const other = await set.stack({ env: { REDIS_URL: url } });
        const names = spread(set, 'seed');
        const streams = await Promise.all(names.map(name => openStream(`${other.gw[0].url}/channels/${name}`)));
        for (const name of names)
            await other.post(name, name);
        for (const [i, stream] of streams.entries()) {
            assert.equal((await stream.next()).data, names[i]);
            stream.close();
        }
        await other.stop();
    }
});

test('functions that were flushed on one shard are loaded again', async () => {
    for (const name of spread(set, 'flush')) {
        await (await set.nodeOf(name)).command(['FUNCTION', 'FLUSH']);
        await s.post(name, 'x');
    }
});

test('by hand, with redis-cli -c: FCALL has a history, SPUBLISH has none; both reach all gateways', async () => {
    const cli = (...args) => new Promise((done, fail) => execFile('redis-cli', ['-c', '-p', String(set.nodes[0].port), ...args],
        (error, stdout, stderr) => (error ? fail(new Error(stderr)) : done(stdout.trim().split('\n')))));
    for (const name of spread(set, 'hand')) {
        const streams = await Promise.all(s.gw.map(gateway => openStream(`${gateway.url}/channels/${name}`)));
        await set.subscribed(name, 2);
        const [id, , outcome] = await cli('FCALL', 'sse_publish', '1', `sse:${name}`, 'durable');
        assert.equal(outcome, 'published');
        assert.deepEqual(await cli('SPUBLISH', `sse:${name}`, 'plain'), ['2']);
        for (const stream of streams) {
            const [durable, plain] = await stream.take(2);
            assert.deepEqual([durable.data, durable.lastEventId, plain.data], ['durable', id, 'plain']);
            stream.close();
        }
        assert.equal(await (await set.nodeOf(name)).command(['XLEN', `{sse:${name}}:log`]), 1);
    }
});

test('ticks of two publishers make one event each, in whichever shard', async () => {
    const ticking = await set.stack({ publishers: 2, env: { TICKERS: 'letters:100,counter:100' } });
    const streams = await Promise.all(['letters', 'counter'].map(name => openStream(`${ticking.gw[0].url}/channels/${name}`)));
    assert.notEqual(await set.shardOf('letters'), await set.shardOf('counter'));
    const [, numbers] = await Promise.all(streams.map(stream => stream.take(20)));
    const values = numbers.map(event => Number(event.data));
    assert.deepEqual(values, values.map((_, i) => values[0] + i));
    streams.forEach(stream => stream.close());
    await ticking.stop();
});

test('nodes hear of each other whatever shard the channel of their announcements is in', async () => {
    const watcher = await openStream(`${s.gw[1].adminUrl}/status/events`);
    await until('all four are heard', () => unique(watcher.events.map(event => JSON.parse(event.data).node)).sort().join() === 'one,other,pub,two');
    watcher.close();
});

test('each of three shards gets a third of the SPUBLISHes of 1,000 channels, give or take 10 %', async () => {
    const names = Array.from({ length: 1000 }, (_, i) => `load/${i}`);
    const quietly = await set.stack({ gateways: 0, env: { STATUS_MS: 0 } });
    await set.resetStats();
    for (let i = 0; i < names.length; i += 50)
        await Promise.all(names.slice(i, i + 50).map(name => quietly.post(name, 'x')));
    const due = [0, 1, 2].map(shard => names.filter(name => slotOf(name) >= set.range(shard)[0] && slotOf(name) <= set.range(shard)[1]).length);
    const ran = await set.spublishes(); // and those of the programs beside it, which tell of themselves
    for (const [shard, count] of due.entries()) {
        assert.ok(ran[shard] >= count, `shard ${shard} ran ${ran} of ${due}`);
        assert.ok(Math.abs(count / names.length - 1 / 3) < 1 / 30, `${due}`);
    }
    await quietly.stop();
});

test('a URL that can\'t be right ends the start in a sentence that names the setting', async () => {
    const rows = [['redis-cluster://a:7000,b/1', /why="REDIS_URL: a cluster has only database 0/], ['rediss-cluster://a/x', /why="REDIS_URL: the database must be a number/],
        ['redis-cluster://1,2,3,4,5,6,7,8,9', /why="REDIS_URL: there are more than 8 nodes/], ['redis-cluster://', /why="REDIS_URL: the host is missing/]];
    for (const [url, why] of rows)
        for (const program of ['sse-gateway', 'sse-publisher']) {
            const { error, stderr } = await runs(program, { REDIS_URL: url });
            assert.equal(error?.code, 1);
            assert.match(stderr, why);
        }
});

test('a Redis that is not a cluster, a cluster behind redis://, no server at all: /readyz says what to do', async () => {
    const port = await freePort();
    const single = await Stack.start({ gateways: 0, publishers: 0, redis: { port, bind: '127.0.0.1' } });
    const rows = [[`redis-cluster://127.0.0.1:${port}`, /^no node of the cluster answers with the slot map: this Redis is not a cluster node: REDIS_URL must begin with redis:\/\/ or/],
        [`redis://127.0.0.1:${set.nodes[0].port}`, /^this Redis is a cluster node: REDIS_URL must begin with redis-cluster:\/\/ or/],
        ['redis-cluster://127.0.0.1:1,127.0.0.1:2', /^no node of the cluster answers with the slot map: connection refused$/]];
    for (const [url, why] of rows) {
        const wrong = await Stack.start({ ready: false, redis: { start: false }, env: { REDIS_URL: url } });
        for (const program of all(wrong))
            await until(`it is told: ${why}`, async () => why.test(await busOf(program)), 15000);
        const answer = await request(`${wrong.pub[0].url}/channels/x`, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'x' });
        assert.equal(answer.status, 503);
        assert.match(JSON.parse(answer.body).error, why);
        await wrong.stop();
    }
    await single.stop();
});

test('for a user who may not read the slot map, the error names the missing right', async () => {
    for (const node of set.nodes)
        await node.command(['ACL', 'SETUSER', 'narrow', 'on', '>secret', '~sse:*', '~{sse:*', '&sse:*', '+@all', '-cluster']);
    const wrong = await set.stack({ ready: false, env: { REDIS_URL: set.url().replace('://', '://narrow:secret@') } });
    for (const program of all(wrong))
        await until('it is told', async () => /needs \+cluster\|slots and \+cluster\|nodes/.test(await busOf(program)), 15000);
    await wrong.stop();
});

test('rediss-cluster://: TLS to every node, whose certificate is for its own address; a wrong password is reported', async () => {
    const folder = tempFolder();
    const ca = new Authority(folder), other = new Authority(folder, 'other');
    const { cert, key } = ca.issue('redis', { names: ['IP:127.0.0.1'] });
    const secure = await ClusterSet.start({ tls: { cert, key, ca: ca.file } });
    const t = await secure.stack();
    const names = spread(set, 'tls');
    const streams = await Promise.all(names.map(name => openStream(`${t.gw[0].url}/channels/${name}`)));
    for (const name of names)
        await t.post(name, name);
    assert.deepEqual(await Promise.all(streams.map(async stream => (await stream.next()).data)), names);
    await secure.moveSlot(slotOf(names[0]), 1);
    await secure.failover(2);
    await until('both are published', async () => (await Promise.all([names[0], names[2]].map(name =>
        t.post(name, `again ${name}`, { headers: { 'idempotency-key': name } }).then(() => true, () => false)))).every(Boolean), 20000);
    assert.deepEqual([(await streams[0].next()).data, (await streams[2].next()).data], [`again ${names[0]}`, `again ${names[2]}`]);
    streams.forEach(stream => stream.close());
    await t.stop();
    for (const [env, why] of [[{ REDIS_CA: other.file }, /certificate verify failed/], [{ REDIS_URL: secure.url().replace('://', '://gateway:wrong@') }, /user or password was refused/]]) {
        const wrong = await secure.stack({ ready: false, env });
        for (const program of all(wrong))
            await until(`it is told: ${why}`, async () => why.test(await busOf(program)), 15000);
        await wrong.stop();
    }
    await secure.stop();
});
