// The Redis function sse_publish_many (proto/bus/sse.lua) in a real redis-server, against proto/README.md.
import { before, after, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compare, entries, eventId, library, Listener, log, parse } from './function.mjs';
import { Redis, RespClient } from './redis.mjs';
import { freePort } from './stack.mjs';
import { until } from './wait.mjs';

const folder = mkdtempSync(join(tmpdir(), 'sse-many-'));
const redis = new Redis(join(folder, 'one'));
const servers = [redis];
let fresh = 0;

before(async () => {
    await redis.start();
    await redis.command(['FUNCTION', 'LOAD', library]);
});
after(async () => {
    const faults = await Promise.all(servers.map(server => server.end()));
    rmSync(folder, { recursive: true, force: true });
    assert.deepEqual(faults, servers.map(() => null));
});

const channel = () => `m${++fresh}`;

// events: a text, or {data, …fields}.
const argsOf = events => events.flatMap(event => (typeof event === 'object' ? Object.entries({ data: event.data, ...event }).flat() : ['data', event]));
const call = (name, args, client = redis) => client.command(['FCALL', 'sse_publish_many', 1, `sse:${name}`, ...args]);

// {outcome, last, ids}
const many = async (name, events, options = {}, client = redis) => {
    const [outcome, last, ...ids] = await call(name, [...Object.entries(options).flat(), ...argsOf(events)], client);
    return { outcome, last, ids };
};
const publish = (name, data, options = {}, client = redis) => client.command(['FCALL', 'sse_publish', 1, `sse:${name}`, data, ...Object.entries(options).flat()]);
const idAt = (name, position) => eventId(name, ...position.split('-'));
const positions = async name => (await entries(redis, name)).map(({ at }) => at);
const keysOf = async (name, client = redis) => (await client.command(['KEYS', `{sse:${name}}:*`])).sort();

// All that Redis has of a channel.
async function state(name) {
    const kept = {};
    for (const key of await keysOf(name))
        kept[key] = key === log(name) ? await redis.command(['XRANGE', key, '-', '+']) : await redis.command(['GET', key]);
    return kept;
}

test('each event is an entry as sse_publish would write it, in one chain, and the marker is the last', async () => {
    const name = channel();
    const [, start] = await publish(name, 'start');
    const { outcome, last, ids } = await many(name, ['a', { data: 'b\r\nc', event: 'greeting', retry: 7 }, { data: '', lease: 30 }, { data: 'd', id: 'mine', event: 'message' }]);
    const [, ...list] = await entries(redis, name);
    const at = list.map(entry => entry.at);
    assert.equal(outcome, 'published');
    assert.equal(last, at[3]);
    assert.deepEqual(ids, [idAt(name, at[0]), idAt(name, at[1]), idAt(name, at[2]), 'mine']);
    assert.deepEqual(list.map(({ payload }) => payload.toString()), [
        `\x1esse1 ${at[0]} ${start}\ndata: a\nid: ${ids[0]}\n\n`,
        `\x1esse1 ${at[1]} ${at[0]}\nevent: greeting\ndata: b\ndata: c\nid: ${ids[1]}\nretry: 7\n\n`,
        `\x1esse2 ${at[2]} ${at[1]} lease=30\ndata: \nid: ${ids[2]}\n\n`,
        `\x1esse1 ${at[3]} ${at[2]}\ndata: d\nid: mine\n\n`]);
    const [ms, seq] = at[0].split('-').map(Number);
    assert.deepEqual(at, [0, 1, 2, 3].map(i => `${ms}-${seq + i}`), 'one place behind the other');
    assert.equal(await redis.command(['GET', `{sse:${name}}:last`]), last);
    const [, next] = await publish(name, 'next');
    assert.equal(parse((await entries(redis, name)).at(-1).payload).prev, last);
    assert.equal(compare(next, last), 1);
});

test('a batch is one message on the bus: its count, and the messages of its entries', async () => {
    const name = channel(), listener = await Listener.open(redis, name);
    for (const events of [['a', 'b'], ['x'.repeat(300), { data: 'y', lease: 5 }, 'z'], Array.from({ length: 1000 }, (_, i) => `${i}`)]) {
        const before = await redis.command(['XLEN', log(name)]);
        await many(name, events, { maxlen: 10000 });
        const list = (await entries(redis, name)).slice(before);
        assert.equal(list.length, events.length);
        assert.deepEqual(await listener.next(), Buffer.concat([Buffer.from(`\x1esse3 ${events.length}\n`), ...list.map(({ payload }) => payload)]));
    }
    listener.close();
});

test('a batch of one is published as sse_publish does it', async () => {
    const name = channel(), listener = await Listener.open(redis, name);
    await many(name, [{ data: 'a', event: 'greeting' }]);
    await many(name, [{ data: '', end: 1 }]);
    const list = await entries(redis, name);
    assert.match(list[1].payload.toString(), /^\x1esse2 \S+ \S+ end\n/);
    assert.deepEqual([await listener.next(), await listener.next()], list.map(({ payload }) => payload));
    listener.close();
});

test('the bytes of a history are counted and cut as by single events', async () => {
    const events = Array.from({ length: 200 }, (_, i) => 'x'.repeat(i * 7 % 90));
    for (const options of [{}, { maxbytes: 3200 }, { maxbytes: 3200, maxlen: 20 }]) {
        const [one, other] = [channel(), channel()];
        for (const event of events)
            await publish(one, event, options);
        for (let i = 0; i < events.length; i += 50)
            await many(other, events.slice(i, i + 50), options);
        const sums = async name => (await redis.command(['XRANGE', log(name), '-', '+'])).map(([at, fields]) =>
            [fields[1].length, fields[2], Number(fields[3].split(' ')[0]), fields.length, Number(fields.at(-1).split(' ')[0])]);
        const [single, batched] = [await sums(one), await sums(other)];
        const average = list => list.reduce((sum, [bytes]) => sum + bytes, 0);
        if (options.maxbytes)
            assert.ok(average(batched) < 3200 && average(batched) > 2000 && batched.length < 60, `${average(batched)} bytes in ${batched.length} entries`);
        else
            assert.equal(batched.length, single.length);
        for (const [i, [bytes, b, sum]] of batched.entries())
            assert.ok(b === 'b' && (i === 0 || sum === batched[i - 1][2] + bytes), 'each sum is that of the entry before and its own bytes');
    }
});

test('on a channel that it wrote last the function does not read its newest entry again, and sets the times to live once a second', async () => {
    const name = channel(), usec = async () => (await redis.command(['TIME'])).map(Number);
    const calls = async () => Object.fromEntries((await redis.command(['INFO', 'commandstats'])).split('\r\n').flatMap(line => /^cmdstat_(\w+):calls=(\d+)/.exec(line)?.slice(1, 3) ?? []).reduce((pairs, word, i, all) => (i % 2 ? pairs : [...pairs, [word, Number(all[i + 1])]]), []));
    let ttl = 5000;
    await many(name, ['a', 'b']);
    await until('two batches within one second', async () => {
        ttl += 1;
        const [second] = await usec(), before = await calls();
        await many(name, ['c', 'd'], { ttl });
        const between = await calls();
        await many(name, ['e', 'f'], { ttl });
        const after = await calls();
        assert.equal(between.xrevrange, before.xrevrange, 'nothing is read');
        assert.equal(after.xrevrange, before.xrevrange);
        assert.equal(between.expire, before.expire + 1, 'another ttl counts at once');
        return (await usec())[0] === second && after.expire === between.expire;
    });
    for (const [key, most] of [[log(name), ttl + 1], [`{sse:${name}}:last`, ttl + 1 + 604800]]) {
        const left = await redis.command(['TTL', key]);
        assert.ok(left > most - 20 && left <= most, `${key}: ${left}`);
    }
});

const long = 'x'.repeat(201);
const faults = [
    ['no events', [], 'wants the data of 1 to 1000 events'],
    ['options alone', ['maxlen', 5], 'wants the data of 1 to 1000 events'],
    ['too many', argsOf(Array(1001).fill('x')), 'holds more than 1000 events'],
    ['an unknown option', ['size', 5, 'data', 'x'], 'unknown option; the options of a batch are key, author, maxlen, maxbytes, maxdata and ttl'],
    ['changed', ['changed', 1, 'data', 'x'], 'changed is not for batches'],
    ['count', ['count', 1, 'data', 'x'], 'count is not for batches'],
    ['changed of an event', ['data', 'x', 'data', 'y', 'changed', 1], 'event 2: changed is not for batches'],
    ['count of an event', ['data', 'x', 'count', 1], 'event 1: count is not for batches'],
    ['an event\'s field too early', ['event', 'a', 'data', 'x'], 'event is an event\'s and stands behind its data'],
    ['an option too late', ['data', 'x', 'data', 'y', 'ttl', 5], 'event 2: ttl is the batch\'s and stands before the first data'],
    ['an unknown field', ['data', 'x', 'size', 5], 'event 1: unknown field; the fields of an event are event, id, retry, lease and end'],
    ['an option without value', ['maxlen'], 'maxlen has no value'],
    ['a field without value', ['data', 'x', 'data', 'y', 'id'], 'event 2: id has no value'],
    ['data without value', ['data', 'x', 'data'], 'event 1: data has no value'],
    ['a bad option', ['ttl', 0, 'data', 'x'], 'ttl is not an integer from 1 to 2147483647'],
    ['a long key', ['key', long, 'data', 'x'], 'key is longer than 200 bytes'],
    ['a bad type', ['data', 'x', 'data', 'y', 'event', 'a\nb'], 'event 2: event holds CR, LF or NUL'],
    ['a reserved type', ['data', 'x', 'event', 'gap'], 'event 1: event is reserved: gap, error, open and end are events of the gateway and the browser'],
    ['a bad id', ['data', 'x', 'data', 'y', 'data', 'z', 'id', 'a\tb'], 'event 3: id holds a control character, which HTTP does not carry'],
    ['an id of a time', ['data', 'x', 'id', eventId('', 5, 0)], 'event 1: id has the form of a place in all channels, which only gateways give'],
    ['a bad retry', ['data', 'x', 'retry', 3600001], 'event 1: retry is not \'none\' or an integer from 0 to 3600000'],
    ['a bad lease', ['data', 'x', 'lease', 0], 'event 1: lease is not an integer from 1 to 86400'],
    ['a bad end', ['data', 'x', 'end', 2], 'event 1: end is not 0 or 1'],
    ['an early end', ['data', 'x', 'end', 1, 'data', 'y'], 'event 1: end is for the last event'],
    ['an end with a lease', ['data', 'x', 'data', 'y', 'end', 1, 'lease', 5], 'event 2: end excludes changed, count and lease'],
    ['an end alone with an id', ['data', 'x', 'data', '', 'end', 1, 'id', 'a'], 'event 2: an end without data has no event or id of its own'],
    ['an end alone with a type', ['data', 'x', 'data', '', 'end', 1, 'event', 'a'], 'event 2: an end without data has no event or id of its own'],
];

test('every fault is named in one sentence, with its event, and nothing was done', async () => {
    const listener = await Listener.open(redis, 'f');
    const keys = await redis.command(['DBSIZE']);
    for (const [what, args, sentence] of faults)
        await assert.rejects(call('f', args), { message: `ERR sse_publish_many: ${sentence}` }, what);
    await assert.rejects(call('f', ['data', 'x', 'data', 'y', 'id', idAt('f', '281474976710655-0')]),
        { message: 'ERR sse_publish_many: event 2: id has the form of the bus\'s own and stands for a place that is still to come' });
    for (const [count, ...rest] of [[0, 'data', 'x'], [2, 'sse:f', 'sse:g', 'data', 'x']])
        await assert.rejects(redis.command(['FCALL', 'sse_publish_many', count, ...rest]), { message: 'ERR sse_publish_many: wants one key, PREFIX:NAME, as in sse:news' });
    await assert.rejects(call('/f', ['data', 'x']), { message: 'ERR sse_publish_many: the channel name begins with \'/\'' });
    assert.equal(await redis.command(['DBSIZE']), keys);
    listener.close();
});

test('an id of an earlier place, or of the event\'s own, may be given again, the next one may not', async () => {
    const name = channel();
    const { last } = await many(name, ['a', 'b']);
    await redis.command(['XADD', log(name), `${Date.now() + 600000}-0`, 'by', 'hand']);
    const [ms] = (await positions(name)).at(-1).split('-');
    const own = [1, 2, 3].map(seq => idAt(name, `${ms}-${seq}`));
    await assert.rejects(many(name, [{ data: 'x', id: own[0] }, { data: 'y', id: own[2] }]), /event 2: id has the form of the bus's own/);
    assert.deepEqual((await many(name, [{ data: 'x', id: own[0] }, { data: 'y', id: own[1] }])).ids, own.slice(0, 2));
    assert.equal((await many(name, [{ data: 'x', id: idAt(name, last) }])).outcome, 'published');
});

test('maxdata bounds the data of all events together, exactly', async () => {
    const name = channel();
    for (const events of [['', ''], ['x'.repeat(20), 'a\nb'], ['\r\n', 'a\r\n\n\rb', '\r'], ['', 'x\n'.repeat(50), 'y']]) {
        const size = events.flatMap(data => data.split(/\r\n|\r|\n/)).reduce((sum, line) => sum + 'data: \n'.length + line.length, 0);
        await assert.rejects(many(name, events, { maxdata: size - 1 }), { message: `ERR sse_publish_many: the data of all events take more bytes on the stream, with 'data: ' in front of each line, than maxdata: ${size - 1}` });
        assert.equal((await many(name, events, { maxdata: size })).outcome, 'published', JSON.stringify(events));
    }
    await assert.rejects(many(name, Array(11).fill('x'.repeat(131072))), /than maxdata: 1314816$/);
    assert.equal((await many(name, Array(10).fill('x'.repeat(131072)))).ids.length, 10);
});

test('the same key again has the first answer, ids of all events included, and publishes nothing', async () => {
    const name = channel(), events = ['a', { data: 'b', id: 'my own', event: 'greeting' }, 'c'];
    const first = await many(name, events, { key: 'k' });
    await publish(name, 'between');
    const before = await state(name), listener = await Listener.open(redis, name);
    assert.deepEqual(await many(name, events, { key: 'k' }), { ...first, outcome: 'duplicate' });
    assert.deepEqual(await many(name, [events[0], { ...events[1], retry: 9 }, events[2]], { key: 'k', maxlen: 9 }), { ...first, outcome: 'duplicate' }, 'what a server may set is no part of it');
    assert.deepEqual(await state(name), before);
    const ttl = await redis.command(['TTL', `{sse:${name}}:key:k`]);
    assert.ok(ttl > 290 && ttl <= 300);
    listener.close();
    const own = await many(channel(), [{ data: 'a', id: 'x y' }, 'b'], { key: 'k' });
    assert.deepEqual(await many(`m${fresh}`, [{ data: 'a', id: 'x y' }, 'b'], { key: 'k' }), { ...own, outcome: 'duplicate' });
});

test('a key that was used for anything else is a conflict, and changes nothing', async () => {
    const name = channel(), events = ['a', { data: 'b', event: 'greeting' }, { data: 'c', id: 'i' }];
    await many(name, events, { key: 'k' });
    await publish(name, 'a', { key: 'single' });
    const before = await state(name);
    const others = [['a', 'b', 'c'], events.slice(0, 2), [...events, 'd'], [...events].reverse(), ['ab', { data: '', event: 'greeting' }, events[2]], [...events.slice(0, 2), { data: 'c', id: 'j' }],
        [...events.slice(0, 2), { ...events[2], end: 1 }], ['a'], ['a\n1 0 1 data\nb']];
    for (const other of others)
        await assert.rejects(many(name, other, { key: 'k' }), { message: 'CONFLICT sse_publish_many: this key was used for another batch or event within 300 s' }, JSON.stringify(other));
    await assert.rejects(many(name, ['a'], { key: 'single' }), /^Error: CONFLICT sse_publish_many: this key/);
    await assert.rejects(publish(name, 'a', { key: 'k' }), { message: 'CONFLICT sse_publish: this key was used for another event within 300 s' });
    assert.deepEqual(await state(name), before);
    const one = channel();
    await many(one, ['a'], { key: 'k' });
    await assert.rejects(publish(one, 'a', { key: 'k' }), /^Error: CONFLICT /, 'a batch of one is a batch');
    assert.equal((await many(one, ['a'], { key: 'k', author: 'b' })).outcome, 'published', 'another author\'s key');
    assert.equal((await many(one, ['a'], { key: 'k', author: 'b' })).outcome, 'duplicate');
});

test('an event\'s own id that was used, or stands twice in the batch, refuses the batch and names the event', async () => {
    const name = channel();
    await publish(name, 'a', { id: 'one' });
    await many(name, ['x', { data: 'b', id: 'two' }]);
    const before = await state(name);
    for (const id of ['one', 'two'])
        await assert.rejects(many(name, ['x', 'y', { data: 'b', id }]), { message: 'CONFLICT sse_publish_many: event 3: this id was used within 300 s' });
    await assert.rejects(many(name, [{ data: 'a', id: 'new' }, 'x', { data: 'a', id: 'new' }]), { message: 'CONFLICT sse_publish_many: event 3: it has the id of event 1' });
    assert.deepEqual(await state(name), before);
    const [, position] = await publish(name, 'b', { id: 'two' });
    assert.deepEqual(await publish(name, 'b', { id: 'two' }), ['two', position, 'duplicate'], 'a batch\'s id is remembered as that of an event alone');
    assert.equal(position, (await positions(name))[2]);
    await assert.rejects(publish(name, 'c', { id: 'two' }), /^Error: CONFLICT sse_publish: this id/);
});

test('end 1 of the last event: the end follows it, or stands alone; then nothing is written', async () => {
    const end = (name, position) => `event: end\ndata: {"channel":"${name}","reason":"done"}\nid: ${idAt(name, position)}\n\n`;
    const name = channel(), listener = await Listener.open(redis, name);
    const events = ['a', { data: 'b', end: 1, id: 'last' }];
    const first = await many(name, events, { key: 'k' });
    const list = await entries(redis, name);
    assert.deepEqual([first.last, first.ids], [list[1].at, [idAt(name, list[0].at), 'last']]);
    assert.equal(list[2].payload.toString(), `\x1esse2 ${list[2].at} ${list[1].at} end\n${end(name, list[2].at)}`);
    assert.deepEqual(await listener.next(), Buffer.concat([Buffer.from('\x1esse3 3\n'), ...list.map(({ payload }) => payload)]));
    const before = await state(name);
    assert.equal(before[`{sse:${name}}:last`], list[2].at);
    for (const again of [['x'], events, [{ data: '', end: 1 }]])
        await assert.rejects(many(name, again.map(event => (event.id ? { ...event, id: 'other' } : event))), { message: 'ENDED sse_publish_many: the channel has ended; it is new again when its history is gone' });
    await assert.rejects(publish(name, 'x'), /^Error: ENDED /);
    assert.deepEqual(await many(name, events, { key: 'k' }), { ...first, outcome: 'duplicate' });
    assert.deepEqual(await state(name), before);
    listener.close();
    const alone = channel();
    const only = await many(alone, ['a', { data: '', end: 1 }], { key: 'k' });
    const [, last] = await entries(redis, alone);
    assert.equal(last.payload.toString(), `\x1esse2 ${last.at} ${(await positions(alone))[0]} end\n${end(alone, last.at)}`);
    assert.deepEqual([only.last, only.ids[1]], [last.at, idAt(alone, last.at)]);
    assert.deepEqual(await many(alone, ['a', { data: '', end: 1 }], { key: 'k' }), { ...only, outcome: 'duplicate' });
    assert.equal((await many(channel(), [{ data: 'x', end: 0 }, 'y'])).outcome, 'published');
});

test('an end and a thousand events are a message of 1001', async () => {
    const name = channel(), listener = await Listener.open(redis, name);
    await many(name, [...Array(999).fill('x'), { data: 'y', end: 1 }], { maxlen: 2000 });
    assert.match((await listener.next()).toString('latin1'), /^\x1esse3 1001\n/);
    assert.equal(await redis.command(['XLEN', log(name)]), 1001);
    listener.close();
});

for (const [command, rules] of [['PUBLISH', ['resetchannels']], ['PUBLISH', ['-publish']], ['XADD', ['-xadd']], ['EXPIRE', ['-expire']], ['SET', ['-set']]])
    for (const known of [false, true])
        test(`a user who may not ${command} (${rules}) is refused before the first write, on a ${known ? 'known' : 'new'} channel`, async () => {
            const name = channel();
            for (let i = 0; known && i < 2; ++i)
                await publish(name, 'x');
            const before = await state(name);
            await redis.command(['ACL', 'SETUSER', 'half', 'reset', 'on', '>secret', '+@all', '~*', '&*', ...rules]);
            const client = new RespClient(redis.socket);
            await client.command(['AUTH', 'half', 'secret']);
            for (const [events, options] of [[['a', 'b'], { key: 'k' }], [['a', { data: 'b', id: 'i' }], {}], [['a', 'b'], {}]])
                await assert.rejects(many(name, events, options, client), { message: `NOPERM sse_publish_many: the Redis user is not allowed to ${command} here` });
            assert.deepEqual(await state(name), before);
            client.close();
        });

test('a user who may write only some ids is refused before the first write', async () => {
    const name = channel();
    await redis.command(['ACL', 'SETUSER', 'some', 'reset', 'on', '>secret', '+@all', `~sse:*`, `~{sse:*:log`, `~{sse:*:last`, `~{sse:*:id:a*`, '&*']);
    const client = new RespClient(redis.socket);
    await client.command(['AUTH', 'some', 'secret']);
    await assert.rejects(many(name, [{ data: 'x', id: 'a1' }, { data: 'y', id: 'b1' }], {}, client), /NOPERM/);
    assert.deepEqual(await keysOf(name), []);
    assert.equal((await many(name, [{ data: 'x', id: 'a1' }, { data: 'y', id: 'a2' }], {}, client)).outcome, 'published');
    client.close();
});

test('the users of the contract may publish batches', async () => {
    for (const user of ['author', 'publisher']) {
        const client = new RespClient(redis.socket);
        await client.command(['AUTH', user, redis.userPassword]);
        assert.equal((await many(channel(), ['a', { data: 'b', id: 'i' }, { data: 'c', end: 1 }], { key: 'k', author: user }, client)).outcome, 'published');
        client.close();
    }
});

test('a key of another kind in the way, or no memory: refused before anything is done', async () => {
    const name = channel();
    await redis.command(['SET', log(name), 'x']);
    await assert.rejects(many(name, ['a', 'b'], { key: 'k' }), /^Error: WRONGTYPE/);
    assert.deepEqual(await keysOf(name), [log(name)]);
    await redis.command(['CONFIG', 'SET', 'maxmemory', '1mb']);
    try {
        await assert.rejects(many(channel(), ['a', 'b']), /^Error: OOM/);
    } finally {
        await redis.command(['CONFIG', 'SET', 'maxmemory', '0']);
    }
    assert.deepEqual(await keysOf(`m${fresh}`), []);
});

test('what somebody did to the history or the marker: the batch goes on from what is there', async () => {
    const far = `${Date.now() + 3600000}-5`;
    const changes = [
        [name => redis.command(['DEL', log(name)]), last => last],
        [name => redis.command(['DEL', `{sse:${name}}:last`]), last => last],
        [name => redis.command(['DEL', log(name), `{sse:${name}}:last`]), () => '0-0'],
        [(name, last) => redis.command(['XDEL', log(name), last]), last => last],
        [name => redis.command(['XTRIM', log(name), 'MAXLEN', '0']), last => last],
        [name => redis.command(['SET', `{sse:${name}}:last`, far, 'EX', 1000]), () => far],
        [name => redis.command(['XADD', log(name), far, 'by', 'hand']), last => last],
        [name => redis.command(['XADD', log(name), '*', 'by', 'hand']), last => last],
    ];
    for (const [change, want] of changes) {
        const name = channel();
        await many(name, ['1', '2']);
        const { last } = await many(name, ['3', '4']);
        await change(name, last);
        const again = await many(name, ['5', '6']);
        const [five, six] = (await entries(redis, name)).slice(-2).map(({ at, payload }) => ({ at, ...parse(payload) }));
        assert.deepEqual([five.prev, six.prev, six.at], [want(last), five.at, again.last], String(change));
        assert.ok(five.prev === '0-0' || compare(five.at, last) === 1);
        assert.equal(await redis.command(['GET', `{sse:${name}}:last`]), again.last);
        for (const key of [log(name), `{sse:${name}}:last`])
            assert.ok(await redis.command(['TTL', key]) > 0, `${key} has an end`);
    }
});

test('a batch at the last sequence number of a millisecond goes on in the next, and a repeat computes the same ids', async () => {
    const name = channel(), ms = Date.now() + 600000;
    await redis.command(['XADD', log(name), `${ms}-16777213`, 'by', 'hand']);
    const first = await many(name, ['a', 'b', 'c', 'd'], { key: 'k' });
    assert.deepEqual((await positions(name)).slice(1), [`${ms}-16777214`, `${ms}-16777215`, `${ms + 1}-0`, `${ms + 1}-1`]);
    assert.deepEqual(first.ids, (await positions(name)).slice(1).map(at => idAt(name, at)));
    assert.deepEqual(await many(name, ['a', 'b', 'c', 'd'], { key: 'k' }), { ...first, outcome: 'duplicate' });
    const crossing = channel();
    await redis.command(['XADD', log(crossing), `${ms}-16777211`, 'by', 'hand']);
    for (const events of [['a', 'b'], ['c', 'd', 'e', 'f'], ['g', 'h']])
        assert.deepEqual((await many(crossing, events)).ids, (await positions(crossing)).slice(-events.length).map(at => idAt(crossing, at)));
    assert.deepEqual((await positions(crossing)).slice(3), [`${ms}-16777214`, `${ms}-16777215`, `${ms + 1}-0`, `${ms + 1}-1`, `${ms + 1}-2`, `${ms + 1}-3`]);
    const end = channel(), top = 281474976710655n;
    await redis.command(['XADD', log(end), `${top}-16777214`, 'by', 'hand']);
    const before = await state(end);
    await assert.rejects(many(end, ['a', 'b']), { message: `HISTORY sse_publish_many: the stream ${log(end)} has an entry too far in the future, added by hand: delete the stream` });
    assert.deepEqual(await state(end), before);
    assert.equal((await many(end, ['a'])).last, `${top}-16777215`);
});

test('batches and events of several connections at once: one chain, each batch in one piece, each key once', async () => {
    const name = channel(), clients = Array.from({ length: 4 }, () => new RespClient(redis.socket));
    const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => {
        const client = clients[i % 4], key = `k${Math.floor(i / 2)}`, n = Math.floor(i / 2);
        return n % 5 === 0 ? publish(name, `${n}.0`, { key }, client).then(([id]) => [id]) : many(name, Array.from({ length: 1 + n % 7 }, (_, k) => `${n}.${k}`), { key, maxlen: 5000 }, client).then(({ ids }) => ids);
    }));
    for (let i = 0; i < 200; i += 2)
        assert.deepEqual(answers[i], answers[i + 1], 'both got the first answer');
    const list = (await entries(redis, name)).map(({ payload }) => parse(payload));
    let seen = [];
    list.forEach((entry, i) => assert.equal(entry.prev, i === 0 ? '0-0' : list[i - 1].at));
    for (const { sse } of list)
        seen.push(/data: (\d+\.\d+)/.exec(sse.toString())[1]);
    assert.equal(new Set(seen).size, seen.length);
    for (let n = 0; n < 100; ++n) {
        const count = n % 5 === 0 ? 1 : 1 + n % 7, at = seen.indexOf(`${n}.0`);
        assert.deepEqual(seen.slice(at, at + count), Array.from({ length: count }, (_, k) => `${n}.${k}`), 'in one piece');
    }
    clients.forEach(client => client.close());
});

test('in Redis Cluster a batch is one message of its slot\'s channel', async () => {
    const cluster = new Redis(join(folder, 'cluster'), { bind: '127.0.0.1', port: await freePort(), 'cluster-port': await freePort(), 'cluster-enabled': 'yes' });
    servers.push(cluster);
    await cluster.start();
    await cluster.command(['CLUSTER', 'ADDSLOTSRANGE', 0, 16383]);
    await until('cluster is up', async () => /cluster_state:ok/.test(await cluster.command(['CLUSTER', 'INFO'])));
    await cluster.command(['FUNCTION', 'LOAD', library]);
    const listener = await Listener.open(cluster, 'post', 'SSUBSCRIBE');
    const first = await many('post', ['a', { data: 'b', id: 'a}{b' }], { key: '{k}' }, cluster);
    assert.deepEqual(await many('post', ['a', { data: 'b', id: 'a}{b' }], { key: '{k}' }, cluster), { ...first, outcome: 'duplicate' });
    const list = await entries(cluster, 'post');
    assert.deepEqual(await listener.next(), Buffer.concat([Buffer.from('\x1esse3 2\n'), ...list.map(({ payload }) => payload)]));
    const slots = await Promise.all([...await keysOf('post', cluster), 'sse:post'].map(key => cluster.command(['CLUSTER', 'KEYSLOT', key])));
    assert.equal(slots.length, 5);
    assert.equal(new Set(slots).size, 1);
    listener.close();
});

test('kill -9 of a Redis with an append-only file: each batch is whole or absent, and those that were answered are there', async () => {
    const server = new Redis(join(folder, 'aof'), { appendonly: 'yes', appendfsync: 'always' });
    servers.push(server);
    await server.start();
    await server.command(['FUNCTION', 'LOAD', library]);
    const size = 20, answered = new Set();
    for (let round = 0, n = 0; round < 3; ++round) {
        const clients = Array.from({ length: 4 }, () => new RespClient(server.socket));
        let stop = false;
        const authors = clients.map(async client => {
            while (!stop) {
                const batch = n++;
                try {
                    await many('k', Array.from({ length: size }, (_, i) => `${batch}.${i}`), { maxlen: 1000000, key: `b${batch}` }, client);
                    answered.add(batch);
                } catch {
                    return;
                }
            }
        });
        const enough = answered.size + 40;
        await until('some batches are there', () => answered.size >= enough);
        await server.kill();
        stop = true;
        await Promise.all(authors);
        await server.start();
        const seen = (await entries(server, 'k')).map(({ payload }) => /data: (\d+)\.(\d+)/.exec(payload).slice(1).map(Number));
        assert.equal(seen.length % size, 0);
        for (let i = 0; i < seen.length; i += size)
            assert.deepEqual(seen.slice(i, i + size), Array.from({ length: size }, (_, k) => [seen[i][0], k]));
        const whole = new Set(seen.map(([batch]) => batch));
        assert.deepEqual([...answered].filter(batch => !whole.has(batch)), []);
        for (const batch of whole)
            answered.add(batch);
        const [some] = whole;
        assert.equal((await many('k', Array.from({ length: size }, (_, i) => `${some}.${i}`), { maxlen: 1000000, key: `b${some}` }, server)).outcome, 'duplicate');
    }
});
