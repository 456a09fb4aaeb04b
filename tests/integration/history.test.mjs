// What is read of histories, and what a gateway keeps of them in memory: large events, retracted ones, limits of Redis's own.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack, until } from './stack.mjs';
import { openStream, request } from './sse.mjs';

const MB = 1 << 20;

// The second gateway keeps next to nothing in memory, so that whatever it replays comes from Redis; the third little of all channels together.
const s = await Stack.start({ gateways: 3, gatewayEnv: [{}, { RING_LEN: '5' }, { RING_MEMORY: String(8 * MB) }] });

const publish = async (channel, data, stack = s) => (await stack.redis.command(['FCALL', 'sse_publish', '1', `sse:${channel}`, data]))[0];

async function publishMany(channel, count, bytes = 0, stack = s) {
    const ids = [];
    for (let i = 0; i < count; ++i)
        ids.push(await publish(channel, `${i} ${'x'.repeat(bytes)}`, stack));
    return ids;
}

const resume = (gw, path, id) => openStream(gw.url + path, { headers: { 'last-event-id': id } });
const what = event => (event.type === 'gap' ? 'gap' : Number(event.data.split(' ')[0]));
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);

const RETRACTIONS = {
    deleted: [key => ['DEL', key], 'gap'],
    expired: [key => ['PEXPIRE', key, '1'], 'gap'],
    trimmed: [key => ['XTRIM', key, 'MAXLEN', '3'], 'gap', 7, 8, 9],
};

for (const [how, [command, ...due]] of Object.entries(RETRACTIONS))
    test(`a history that was ${how} is served by no gateway, whoever has a listener`, async () => {
        const listeners = await Promise.all(s.gw.map(gw => openStream(`${gw.url}/channels/${how}`)));
        const [first] = await publishMany(how, 10);
        for (const listener of listeners)
            await listener.take(10);
        await s.redis.command(command(`{sse:${how}}:log`));
        for (const gw of s.gw)
            await until(`${gw.name} tells the gap`, async () => {
                const stream = await resume(gw, `/channels/${how}`, first);
                const told = what(await stream.next());
                stream.close();
                return told === 'gap';
            });
        const again = await Promise.all(s.gw.map(gw => resume(gw, `/channels/${how}`, first)));
        await Promise.all(again.map(async stream => assert.deepEqual((await stream.take(due.length)).map(what), due)));
        await publish(how, '10 ');
        for (const stream of [...listeners, ...again])
            assert.equal(what(await stream.next()), 10);
        [...listeners, ...again].forEach(stream => stream.close());
    });

test('the events of a history that started over are served, those before it are not', async () => {
    const listener = await openStream(`${s.gw[0].url}/channels/anew`);
    await publishMany('anew', 5);
    await listener.take(5);
    await s.redis.command(['DEL', '{sse:anew}:log']);
    await publish('anew', '5 ');
    await until('only what is in Redis is served', async () => {
        const stream = await openStream(`${s.gw[0].url}/channels/anew?last=100`);
        const told = what(await stream.next());
        stream.close();
        return told === 5;
    });
    listener.close();
});

test('a storm of reconnects to one channel costs a read a second', async () => {
    const listener = await openStream(`${s.gw[0].url}/channels/storm`);
    const ids = await publishMany('storm', 20);
    await listener.take(20);
    const before = await s.gw[0].metric('sse_history_reads_total'), since = performance.now();
    while (performance.now() - since < 1500)
        await Promise.all(range(0, 20).map(async n => {
            const stream = await resume(s.gw[0], '/channels/storm', ids[n]);
            assert.deepEqual((await stream.take(19 - n)).map(what), range(n + 1, 20));
            stream.close();
        }));
    const reads = await s.gw[0].metric('sse_history_reads_total') - before, seconds = (performance.now() - since) / 1000;
    assert.ok(reads >= 1 && reads <= seconds + 2, `${reads} reads in ${seconds} s`);
    listener.close();
});

for (const [i, where] of ['from memory', 'from Redis', 'with little memory'].entries())
    test(`the newest events are found and sent in order however large they are, ${where}`, async () => {
        const channel = `large${i}`;
        await publishMany(channel, 40, 150000);
        const stream = await openStream(`${s.gw[i].url}/channels/${channel}?last=35`);
        assert.deepEqual((await stream.take(35, 20000)).map(what), range(5, 40));
        await publish(channel, '40 ');
        assert.equal(what(await stream.next()), 40);
        stream.close();
    });

test('where the newest events begin is counted once for all that ask, and exactly', async () => {
    const gw = s.gw[1], newest = async (last, from, to) => {
        const stream = await openStream(`${gw.url}/channels/counted?last=${last}`);
        assert.deepEqual((await stream.take(to - from, 20000)).map(what), range(from, to));
        return stream;
    };
    await publishMany('counted', 200, 20000);
    const before = await gw.metric('sse_history_reads_total');
    const streams = await Promise.all(range(0, 10).map(() => newest(150, 50, 200)));
    const reads = (await gw.metric('sse_history_reads_total') - before) / 10;
    assert.ok(reads < 20, `${reads} reads a stream: there are 12 pages of 13 events, and as many to count them`);
    streams.forEach(stream => stream.close());
    const listener = await openStream(`${gw.url}/channels/counted`);
    for (let i = 200; i < 210; ++i) {
        await publish('counted', `${i} `);
        assert.equal(what(await listener.next()), i);
        const some = [await newest(6, i - 5, i + 1), await newest(30, i - 29, i + 1), await newest(i - 149, 150, i + 1)];
        some.forEach(stream => stream.close());
    }
    listener.close();
});

test('the events in memory of all channels together have a bound, and none is lost for it', async () => {
    const gw = s.gw[2], channels = range(0, 10).map(i => `many${i}`);
    await Promise.all(channels.map(channel => publishMany(channel, 50, 60000)));
    const stream = await openStream(`${gw.url}/subscribe?last=1000&${channels.map(channel => `channel=${channel}`).join('&')}`);
    const got = (await stream.take(500, 30000)).map(what);
    assert.deepEqual(got.toSorted((a, b) => a - b), range(0, 500).map(i => Math.floor(i / 10)));
    await gw.waitMetric('sse_ring_bytes', bytes => bytes > 6 * MB && bytes <= 8 * MB);
    assert.equal(await gw.metric('sse_ring_limit_bytes'), 8 * MB);
    for (const channel of channels)
        await publish(channel, '50 ');
    assert.deepEqual((await stream.take(10)).map(what), Array(10).fill(50));
    stream.close();
    await gw.waitMetric('sse_channels', 0);
    await gw.waitMetric('sse_ring_bytes', 0);
});

test('reads that Redis does not stand are made smaller, and end', async () => {
    const small = await Stack.start({ gatewayEnv: [{ RING_LEN: '5' }] });
    const [first] = await publishMany('heavy', 40, 700000, small);
    for (const limit of [['maxmemory-clients', '16mb'], ['client-output-buffer-limit', 'normal 1000000 0 0']]) {
        await small.redis.command(['CONFIG', 'SET', ...limit]);
        const stream = await resume(small.gw[0], '/channels/heavy', first);
        assert.deepEqual((await stream.take(39, 60000)).map(what), range(1, 40), limit.join(' '));
        stream.close();
        await small.gw[0].waitMetric('sse_bus_up', 1);
    }
    const [light, heavy] = await Promise.all(['light', 'heavy'].map(channel => openStream(`${small.gw[0].url}/channels/${channel}`)));
    await small.redis.command(['CONFIG', 'SET', 'client-output-buffer-limit', 'normal 400000 0 0']); // not one event of 700,000 bytes
    await until('who resumes there is told why it can\'t be', async () => {
        const answer = await request(`${small.gw[0].url}/channels/heavy`, { headers: { 'last-event-id': first } });
        return answer.status === 503 && answer.body.toString().includes('Redis closes its connection');
    }, 20000);
    await small.gw[0].waitMetric('sse_bus_up', 1);
    for (const query of ['last=30', 'last_event_id=nobody%27s']) // the same for what counts and what searches
        await until(`${query} is told`, async () => (await request(`${small.gw[0].url}/channels/heavy?${query}`)).status === 503, 20000);
    const before = await small.gw[0].metric('sse_bus_lost_total');
    await publish('light', '0 ', small);
    assert.equal(what(await light.next()), 0);
    await publish('heavy', '40 ', small);
    assert.equal(what(await heavy.next()), 40);
    assert.equal(await small.gw[0].metric('sse_bus_lost_total'), before, 'and nobody else has lost anything');
    [light, heavy].forEach(stream => stream.close());
});
