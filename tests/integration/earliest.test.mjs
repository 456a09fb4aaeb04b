// The whole history: `earliest` in place of an id; and the names that other clients have for the id in the query.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack } from './stack.mjs';
import { H2, openStream, request } from './sse.mjs';

// The second gateway keeps next to nothing in memory, so that whatever it replays comes from Redis.
const s = await Stack.start({ gateways: 2, tls: true, gatewayEnv: [{}, { RING_LEN: '5' }] });

const publish = async (channel, data, ...options) =>
    (await s.redis.command(['FCALL', 'sse_publish', '1', `sse:${channel}`, String(data), 'maxlen', '100000', ...options]))[0];

async function publishMany(channel, count, from = 0) {
    const ids = [];
    for (let i = from; i < from + count; ++i)
        ids.push(await publish(channel, i));
    return ids;
}

const data = events => events.map(event => event.data);
const range = (from, to) => Array.from({ length: to - from }, (_, i) => String(from + i));

for (const [name, open] of Object.entries({
    'in the header': (gw, path) => openStream(gw.url + path, { headers: { 'last-event-id': 'earliest' } }),
    'in the query': (gw, path) => openStream(`${gw.url}${path}${path.includes('?') ? '&' : '?'}last_event_id=earliest`),
    'over HTTP/2': async (gw, path) => (await H2.connect(gw.httpsUrl)).open(path, { headers: { 'last-event-id': 'earliest' } }),
}))
    test(`earliest ${name}: all that is kept, oldest first, without a gap or a place, then live, at each gateway`, async () => {
        for (const gw of s.gw) {
            const channel = `all${name.replaceAll(' ', '-').replace('/', '')}${gw.port}`;
            const ids = await publishMany(channel, 30);
            const stream = await open(gw, `/channels/${channel}`);
            const events = await stream.take(30);
            assert.deepEqual(data(events), range(0, 30));
            assert.deepEqual(events.map(event => event.lastEventId), ids);
            await publish(channel, 'live');
            assert.equal((await stream.next()).data, 'live');
            assert.equal(stream.frames.length, 31);
            stream.close();
        }
    });

test('what was trimmed is no gap, nor an empty channel, nor one whose history was deleted', async () => {
    await publishMany('trimmed', 10);
    await s.redis.command(['XTRIM', '{sse:trimmed}:log', 'MAXLEN', '4']);
    await publishMany('deleted', 3);
    await s.redis.command(['DEL', '{sse:deleted}:log']);
    for (const gw of s.gw) {
        for (const [channel, want] of [['trimmed', range(6, 10)], ['deleted', []], ['empty', []]]) {
            const stream = await openStream(`${gw.url}/channels/${channel}?last_event_id=earliest&place=0`);
            await s.redis.subscribed(channel, 1);
            await s.redis.publish(channel, 'live');
            assert.deepEqual(data(await stream.take(want.length + 1)), [...want, 'live'], channel);
            stream.close();
            await s.redis.subscribed(channel, 0);
        }
    }
});

test('a history of many pages comes whole, while more is published', async () => {
    for (const gw of s.gw) {
        const channel = `long${gw.port}`;
        await publishMany(channel, 3000);
        const stream = await openStream(`${gw.url}/channels/${channel}?last_event_id=earliest`);
        await publishMany(channel, 50, 3000);
        assert.deepEqual(data(await stream.take(3050, 20000)), range(0, 3050));
        stream.close();
    }
});

test('several channels come in order of time', async () => {
    for (let i = 0; i < 20; ++i) {
        await publish(i % 2 === 0 ? 'even' : 'odd', i);
        await new Promise(resolve => setTimeout(resolve, 2));
    }
    for (const gw of s.gw) {
        const stream = await openStream(`${gw.url}/subscribe?channel=even&channel=odd&last_event_id=earliest`);
        assert.deepEqual(data(await stream.take(20)), range(0, 20));
        stream.close();
    }
});

test('the id in the query goes by the names of other clients, too', async () => {
    const ids = await publishMany('names', 5);
    for (const name of ['last_event_id', 'lastEventId', 'lastEventID', 'Last-Event-ID', 'evs_last_event_id'])
        for (const path of ['/channels/names?', '/subscribe?channel=names&']) {
            const stream = await openStream(`${s.gw[0].url}${path}${name}=${ids[2]}`);
            assert.deepEqual(data(await stream.take(2)), ['3', '4'], path + name);
            stream.close();
        }
});

test('of several ids the one that is furthest on counts, and any is further than earliest; the header wins over all', async () => {
    const ids = await publishMany('several', 6);
    for (const [query, header, want] of [
        [`last_event_id=${ids[1]}&lastEventId=${ids[3]}`, undefined, ['4', '5']],
        [`lastEventId=${ids[3]}&last_event_id=${ids[1]}`, undefined, ['4', '5']],
        [`last_event_id=earliest&evs_last_event_id=${ids[4]}`, undefined, ['5']],
        [`lastEventId=${ids[4]}&last_event_id=earliest`, undefined, ['5']],
        [`lastEventId=&last_event_id=earliest`, undefined, range(0, 6)],
        [`last_event_id=${ids[3]}&lastEventId=no-such-id`, undefined, ['4', '5']],
        [`last_event_id=earliest&lastEventID=${ids[4]}`, ids[2], ['3', '4', '5']],
        [`last_event_id=${ids[4]}`, 'earliest', range(0, 6)],
        [`last=2&last_event_id=earliest`, undefined, range(0, 6)],
    ]) {
        const stream = await openStream(`${s.gw[0].url}/channels/several?${query}`, { headers: { 'last-event-id': header } });
        assert.deepEqual(data(await stream.take(want.length)), want, query);
        stream.close();
    }
    const first = await openStream(`${s.gw[0].url}/channels/several?last_event_id=no-such-id&lastEventId=${ids[3]}`);
    assert.equal((await first.next()).type, 'gap', 'where the form of one does not tell, the first counts');
    first.close();
});

test('an id that none can be is 400 by each of its names, in a stream and as JSON; only "earliest" itself is the earliest', async () => {
    for (const name of ['last_event_id', 'lastEventId', 'lastEventID', 'Last-Event-ID', 'evs_last_event_id'])
        for (const [value, sentence] of [['x'.repeat(201), /longer than 200 bytes/], ['%C3%A9'.repeat(101), /longer than 200 bytes/], ['a%00', /NUL/], ['%zz', /broken percent escape/],
            [`earliest&${name}=${'x'.repeat(201)}`, /longer than 200 bytes/]])
            for (const accept of ['text/event-stream', 'application/json']) {
                const { status, body } = await request(`${s.gw[0].url}/channels/several?${name}=${value}`, { headers: { accept } });
                assert.equal(status, 400, `${name}=${value}`);
                assert.match(JSON.parse(body).error, sentence);
            }
    await publishMany('not-earliest', 2);
    for (const id of ['Earliest', 'EARLIEST', 'earliest.', '+earliest']) {
        const stream = await openStream(`${s.gw[0].url}/channels/not-earliest?last_event_id=${id}`);
        const [gap] = await stream.take(1);
        assert.deepEqual([gap.type, JSON.parse(gap.data).last_event_id], ['gap', id.replace('+', ' ')]);
        stream.close();
    }
});

test('last=N: the newest N of a long history, exactly, also from another moment of it, paced by the client', async () => {
    await publishMany('lasts', 6000);
    for (const gw of s.gw) {
        for (const n of [5999, 1, 5000, 1001, 2500, 6000, 100000]) {
            const stream = await openStream(`${gw.url}/channels/lasts?last=${n}`);
            const want = range(Math.max(0, 6000 - n), 6000);
            assert.deepEqual(data(await stream.take(want.length, 20000)), want, `last=${n}`);
            stream.close();
        }
        const streams = await Promise.all([4000, 5000, 3000, 5500].map(async n => [n, await openStream(`${gw.url}/channels/lasts?last=${n}`)]));
        for (const [n, stream] of streams) {
            assert.deepEqual(data(await stream.take(n, 20000)), range(6000 - n, 6000), `last=${n}, at once with others`);
            stream.close();
        }
    }
    for (const last of ['100001', '0', '1e3', '-1', '', '0000001'])
        assert.equal((await request(`${s.gw[0].url}/channels/lasts?last=${last}`)).status, 400, last);
});
