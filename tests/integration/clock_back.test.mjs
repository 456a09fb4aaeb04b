// Redis's clock goes back: no event is lost without a word, and none is repeated in a stream that is open.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, Stack, freePort, tempFolder, until } from './stack.mjs';
import { openStream } from './sse.mjs';
import { BusProxy } from '../fault/bus_proxy.mjs';

const DAYS = 2 * 24 * 3600;
const folder = tempFolder(), clock = join(folder, 'clock'), bin = join(folder, 'redis');

const set = seconds => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(seconds));
    writeFileSync(clock, bytes, { flag: 'r+' });
};
writeFileSync(clock, Buffer.alloc(8));
const shim = join(folder, 'clock_step.so');
execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', shim, join(ROOT, 'tests/integration/clock_step.c')]);
writeFileSync(bin, `#!/bin/sh\nLD_PRELOAD=${shim} CLOCK_STEP=${clock} exec redis-server "$@"\n`, { mode: 0o755 });

const s = await Stack.start({ redis: { bin }, env: { STREAM_RATE: 0 } });
after(() => set(0));

const command = (...words) => s.redis.command(words);
const publish = (channel, data, ...options) => command('FCALL', 'sse_publish', 1, `sse:${channel}`, data, ...options);
const told = stream => stream.events.map(event => event.type === 'gap' ? 'gap' : event.data);
const arrives = (stream, data) => until(`${data} arrives`, () => told(stream).includes(data));

async function open(path, id) {
    const stream = await openStream(s.gw[0].url + path, id === undefined ? {} : { headers: { 'last-event-id': id } });
    if (id === undefined)
        await stream.nextFrame();
    return stream;
}

async function answer(path, id, last) {
    const stream = await open(path, id);
    await arrives(stream, last);
    stream.close();
    return told(stream);
}

// Of the channel's newest entry: its position, and what it says of the one before.
async function newest(channel) {
    const [[at, [, message]]] = await command('XREVRANGE', `{sse:${channel}}:log`, '+', '-', 'COUNT', 1);
    return [at, /^\x1esse1 \S+ (\S+)\n/.exec(message)[1]];
}

test('a marker ahead of the clock counts, so that positions never go back; one that is more than a day ahead does not', async () => {
    const day = 24 * 3600000;
    for (const [ahead, kept] of [[20000, true], [day - 60000, true], [day + 60000, false], [9e13, false]])
        for (const entries of [0, 1]) {
            const name = `ahead-${ahead}-${entries}`, ms = Date.now() + ahead;
            const first = entries === 0 ? '0-0' : (await publish(name, 'x'))[1];
            await command('SET', `{sse:${name}}:last`, `${ms}-5`);
            const [, position] = await publish(name, 'y');
            assert.deepEqual(await newest(name), [position, kept ? `${ms}-5` : first]);
            assert.equal(position === `${ms}-6`, kept, position);
            const [, next] = await publish(name, 'z');
            assert.deepEqual(await newest(name), [next, position]);
        }
});

test('the newest event is deleted: the next one names it all the same', async () => {
    const marker = Date.now() + 3600000;
    await publish('named', 'x');
    await command('SET', '{sse:named}:last', `${marker}-5`);
    for (const [seq, options] of [[6, []], [7, ['count', 1]], [8, ['changed', 1]]]) {
        const [, position] = await publish('named', 'y', ...options);
        assert.deepEqual([position, await newest('named')], [`${marker}-${seq}`, [position, `${marker}-${seq - 1}`]]);
        await command('XDEL', '{sse:named}:log', position);
    }
    assert.equal((await publish('named', 'x', 'changed', 1))[2], 'unchanged');
});

test('a history that starts over below its marker reaches clients of which only the position before is known', async () => {
    await command('SET', '{sse:marked}:last', `${Date.now() + DAYS * 1000}-5`);
    const stream = await open('/channels/marked'), both = await open('/subscribe?channel=marked&channel=other');
    const data = ['a', 'b', 'c'];
    for (const text of data)
        await publish('marked', text);
    await arrives(stream, 'c');
    await arrives(both, 'c');
    assert.deepEqual([told(stream), told(both)], [data, data]);
    assert.deepEqual(await answer('/channels/marked?last=10', undefined, 'c'), data);
    stream.close();
    both.close();
});

test('a history that starts over with older positions reaches clients that got events of the one before', async () => {
    set(DAYS);
    const listener = await open('/channels/anew'), [id] = await publish('anew', 'old');
    await arrives(listener, 'old');
    await command('DEL', '{sse:anew}:log');
    const back = await open('/channels/anew', id); // now the gateway's memory of it is empty, too
    await publish('kept', 'old');
    const kept = await open('/channels/kept?last=1');
    await arrives(kept, 'old');
    await command('DEL', '{sse:kept}:log');
    set(0);
    for (const text of ['a', 'b'])
        for (const channel of ['anew', 'kept'])
            await publish(channel, text);
    for (const stream of [listener, back, kept])
        await arrives(stream, 'b');
    assert.deepEqual([listener, back, kept].map(told), [['old', 'a', 'b'], ['a', 'b'], ['old', 'a', 'b']]);
    for (const channel of ['anew', 'kept'])
        assert.deepEqual(await answer(`/channels/${channel}?last=10`, undefined, 'b'), ['a', 'b']);
    for (const stream of [listener, back, kept])
        stream.close();
});

test('a message of an old event that comes again changes nothing', async () => {
    for (const text of ['a', 'b', 'c', 'd'])
        await publish('twice', text);
    const entries = await command('XRANGE', '{sse:twice}:log', '-', '+');
    const stream = await open('/channels/twice'); // a gateway that knows the newest event only
    for (const [, [, message]] of entries)
        await command('PUBLISH', 'sse:twice', message);
    await publish('twice', 'e');
    await arrives(stream, 'e');
    assert.deepEqual(told(stream), ['e']);
    assert.deepEqual(await answer('/channels/twice?last=10', undefined, 'e'), ['a', 'b', 'c', 'd', 'e']);
    await command('XDEL', '{sse:twice}:log', (await command('XREVRANGE', '{sse:twice}:log', '+', '-', 'COUNT', 1))[0][0]);
    for (const [, [, message]] of entries)
        await command('PUBLISH', 'sse:twice', message);
    await publish('twice', 'f');
    await arrives(stream, 'f');
    assert.deepEqual(told(stream), ['e', 'f']);
    stream.close();
});

test('the newest event is deleted: no gap for clients that had it', async () => {
    await publish('cut', 'a');
    const streams = [await open('/channels/cut'), await open('/subscribe?channel=cut&channel=other')];
    const [id, position] = await publish('cut', 'b');
    await arrives(streams[0], 'b');
    await command('XDEL', '{sse:cut}:log', position);
    await publish('cut', 'c');
    for (const stream of streams) {
        await arrives(stream, 'c');
        assert.deepEqual(told(stream), ['b', 'c']);
        stream.close();
    }
    for (const path of ['/channels/cut', '/subscribe?channel=cut&channel=other'])
        assert.deepEqual(await answer(path, id, 'c'), ['c']);
});

// Its first canary is back before it knows Redis's clock, so at first it can prove nothing, and the newest event tells no time.
test('a gateway that has just started gives no place that stands for the whole past', async t => {
    const port = await freePort();
    const proxy = await BusProxy.start(t, { port, host: '127.0.0.1' });
    proxy.holdAnswersTo = '!born';
    const own = await Stack.start({ redis: { port }, gatewayEnv: [{ REDIS_URL: proxy.url }], ready: false });
    await own.redis.command(['SET', '{sse:young}:last', `${Date.now() + 60000}-5`]);
    for (const channel of ['young', 'other'])
        await own.redis.command(['FCALL', 'sse_publish', 1, `sse:${channel}`, 'x']);
    await until('a canary is back', () => proxy.told(/message\r\n\S+\r\n\S*!canary\./));
    proxy.go();
    const fresh = await openStream(`${own.gw[0].url}/subscribe?channel=young&channel=other`);
    await fresh.nextFrame();
    assert.ok(parseInt(fresh.parser.lastEventId, 36) > 0, fresh.parser.lastEventId);
    fresh.close();
});

// The gateway knows no clock but this one.
async function restart(seconds) {
    await s.gw[0].kill('SIGTERM');
    set(seconds);
    await s.gw[0].start();
}

const SET_BACK = 'the clock of Redis was set back; clients that resume several channels may receive more duplicates';
const two = '/subscribe?channel=first&channel=second';

// `stream` listens to both channels; its client leaves with the newest id, and the others of its kind come back with that.
async function step(back) {
    await publish('first', `before ${back}`);
    const stream = await open(two);
    const [id] = await publish('first', `ahead ${back}`);
    await arrives(stream, `ahead ${back}`);
    const noticed = s.gw[0].logged({ msg: SET_BACK }).length;
    set(0);
    const [next] = await publish('first', `seq ${back}`);
    await arrives(stream, `seq ${back}`);
    await publish('second', `now ${back}`);
    await arrives(stream, `now ${back}`); // … out of order, so that the gateway reads the clock
    await until('it was read', () => s.gw[0].logged({ msg: SET_BACK }).length > noticed);
    const fresh = await open(two), place = fresh.parser.lastEventId;
    fresh.close();
    stream.close();
    return [id, next, place];
}

for (const back of [1, 30])
    test(`an id from before Redis's clock went back by ${back} s resumes the other channels from where it was set to`, async () => {
        await restart(back);
        const ids = await step(back);
        for (const id of ids.slice(0, 2))
            assert.ok((await answer(two, id, `now ${back}`)).includes(`now ${back}`), id);
        await publish('second', `last ${back}`);
        for (const id of ids) {
            const data = await answer(two, id, `last ${back}`);
            assert.ok(!data.includes('gap'), `${id}: ${data}`);
        }
    });

test('a gateway that started since tells a gap where an id is ahead of the clock', async () => {
    await restart(30);
    const stream = await open(two);
    const [id] = await publish('first', 'ahead');
    await arrives(stream, 'ahead');
    set(0);
    await publish('second', 'hidden'); // below the id
    stream.close();
    await restart(0);
    const back = await open(two, id);
    await arrives(back, 'gap');
    assert.equal(JSON.parse(back.events[0].data).channel, 'second');
    const after = back.parser.lastEventId;
    await publish('second', 'last');
    await arrives(back, 'last');
    assert.deepEqual(told(back).filter(text => text !== 'ahead'), ['gap', 'last']);
    back.close();
    assert.ok(!(await answer(two, after, 'last')).includes('gap'));
});
