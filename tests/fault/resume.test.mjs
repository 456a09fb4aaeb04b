// What a client gets that comes back with the id of the last event it saw: every case once, byte by byte where it matters.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack, quiet } from '../integration/stack.mjs';
import { H2, openStream, request } from '../integration/sse.mjs';
import { publish } from './history.mjs';

// Gateway 0 listens where a test wants it to; gateway 1 is cold: it meets a channel only when a stream resumes there.
const s = await Stack.start({ gateways: 2, publishers: 2, tls: [1], env: { DRAIN_SECONDS: 0, HTTP2_CLEARTEXT: 'on' } });
const GAP = /^event: gap\ndata: (\{.*\})\nid: ([0-9a-f-]{36})\n(retry: \d+\n)?\n$/;
let fresh = 0;

const newChannel = () => `resume${++fresh}`;
const open = (gw, path, id, headers = {}) => openStream(`${s.gw[gw].url}${path}`, { headers: { ...(id === null ? {} : { 'last-event-id': id }), ...headers } });
const datas = events => events.map(event => event.data);

// A channel with events 1 … n and their ids.
async function history(n, channel = newChannel()) {
    const ids = [];
    for (let i = 1; i <= n; ++i)
        ids.push((await publish(s.redis, channel, String(i))).id);
    return { channel, ids, path: `/channels/${channel}` };
}

// The stream gets exactly these, and after them the next event that is published.
async function getsThenLive(stream, channel, want) {
    await s.redis.subscribed(channel, 1);
    if (want.length !== 0)
        assert.deepEqual(datas(await stream.take(want.length)), want);
    await publish(s.redis, channel, 'live');
    assert.equal((await stream.next()).data, 'live');
    stream.close();
}

for (const [name, go] of Object.entries({
    'the Last-Event-ID header': (path, id) => open(1, path, id),
    'last_event_id in the query': (path, id) => open(1, `${path}?last_event_id=${id}`, null),
    'the header, which wins over the query': (path, id) => open(1, `${path}?last_event_id=nonsense`, id),
    'HTTP/2': async (path, id) => (await H2.connect(s.gw[1].url)).open(path, { headers: { 'last-event-id': id } }),
    'TLS': (path, id) => openStream(`${s.gw[1].httpsUrl}${path}`, { headers: { 'last-event-id': id } }),
}))
    test(`a stream resumes by ${name}: everything after that event, oldest first, then live, and no position frame`, async () => {
        const { channel, ids, path } = await history(10);
        const stream = await go(path, ids[3]);
        assert.match(await stream.nextFrame(), /^data: 5\n/);
        await getsThenLive(stream, channel, ['5', '6', '7', '8', '9', '10']);
    });

test('every id of a history resumes exactly behind itself, from memory and from Redis', async () => {
    const { channel, ids, path } = await history(20);
    const listener = await open(0, path, null);
    for (let i = 0; i < ids.length; ++i)
        for (const gw of [0, 1]) {
            const stream = await open(gw, path, ids[i]);
            assert.deepEqual(datas(await stream.take(19 - i)), Array.from({ length: 19 - i }, (_, k) => String(i + 2 + k)));
            stream.close();
        }
    listener.close();
    assert.equal(channel, path.slice(10));
    assert.equal(await s.gw[0].metric('sse_gaps_total'), 0);
});

test('the id of the newest event resumes with new events only', async () => {
    const { channel, ids, path } = await history(3);
    await getsThenLive(await open(1, path, ids[2]), channel, []);
});

test('a stream that had only a position frame resumes from it', async () => {
    const channel = newChannel();
    for (const before of [0, 2]) {
        for (let i = 0; i < before; ++i)
            await publish(s.redis, channel, 'old');
        const first = await open(0, `/channels/${channel}`, null);
        const position = /^id: (\S+)$/m.exec(await first.nextFrame())[1];
        first.close();
        await publish(s.redis, channel, 'a');
        await publish(s.redis, channel, 'b');
        await getsThenLive(await open(1, `/channels/${channel}`, position), channel, ['a', 'b']);
    }
});

for (const [path, channel] of [['/post', 'post'], ['/sse', 'letters'], ['/events', 'counter'], ['/exchange_rates/usd_eur', 'usd_eur'],
    ['/subscribe?channel=resumed', 'resumed']])
    test(`${path.split('?')[0]} resumes, with nothing of its own before`, async () => {
        const { ids } = await history(4, channel);
        for (const gw of [0, 1])
            await getsThenLive(await open(gw, path, ids[1]), channel, gw === 0 ? ['3', '4'] : ['3', '4', 'live']);
    });

test('an id that stands for nothing gets a gap with an id to resume from, then the stream is live', async () => {
    const { channel, path } = await history(3);
    for (const id of ['nonsense', '3f0e2c6e-1111-4222-8333-444455556666', 'ä ö', '0', '1700000000000-0']) {
        const before = await s.gw[1].metric('sse_gaps_total');
        const stream = await open(1, `${path}?last_event_id=${encodeURIComponent(id)}`, null);
        const [, data, next] = GAP.exec(await stream.nextFrame());
        assert.deepEqual(JSON.parse(data), { channel, last_event_id: id });
        assert.equal(await s.gw[1].metric('sse_gaps_total'), before + 1);
        assert.equal((await stream.next()).type, 'gap');
        await s.redis.subscribed(channel, 1);
        await publish(s.redis, channel, `live after ${id}`);
        assert.equal((await stream.next()).data, `live after ${id}`);
        stream.close();
        const again = await open(1, path, next);
        assert.deepEqual(datas(await again.take(1)), [`live after ${id}`]);
        again.close();
    }
});

test('the id of another channel stands for nothing here', async () => {
    const one = await history(2), other = await history(2);
    const stream = await open(1, one.path, other.ids[0]);
    assert.deepEqual(JSON.parse((await stream.next()).data), { channel: one.channel, last_event_id: other.ids[0] });
    stream.close();
});

test('an empty last id is none: the stream is fresh', async () => {
    const { path } = await history(2);
    for (const address of [path, `${path}?last_event_id=`]) {
        const stream = await open(1, address, '');
        assert.match(await stream.nextFrame(), /^id: \S+\nretry: \d+\n\n$/);
        stream.close();
    }
});

test('a history trimmed under a client gives a gap, then the rest', async () => {
    const { channel, ids, path } = await history(30);
    await s.redis.command(['XTRIM', `{sse:${channel}}:log`, 'MAXLEN', '10']);
    const stream = await open(1, path, ids[4]);
    const [, data, next] = GAP.exec(await stream.nextFrame());
    assert.deepEqual(JSON.parse(data), { channel, last_event_id: ids[4] });
    assert.equal((await stream.next()).type, 'gap');
    await getsThenLive(stream, channel, Array.from({ length: 10 }, (_, i) => String(21 + i)));
    const again = await open(1, path, next); // whoever was cut off right behind the gap misses nothing
    assert.deepEqual(datas(await again.take(11)), [...Array.from({ length: 10 }, (_, i) => String(21 + i)), 'live']);
    again.close();
});

test('no gap when the trimming ends exactly at the client', async () => {
    const { channel, ids, path } = await history(30);
    await s.redis.command(['XTRIM', `{sse:${channel}}:log`, 'MAXLEN', '10']);
    await getsThenLive(await open(1, path, ids[19]), channel, Array.from({ length: 10 }, (_, i) => String(21 + i)));
});

test('a history that is gone altogether gives a gap', async () => {
    const { channel, ids, path } = await history(5);
    await s.redis.command(['DEL', `{sse:${channel}}:log`]);
    const stream = await open(1, path, ids[1]);
    assert.deepEqual(JSON.parse((await stream.next()).data), { channel, last_event_id: ids[1] });
    await getsThenLive(stream, channel, []);
});

test('a history trimmed while the bus was away gives the open streams a gap', async () => {
    const { channel, path } = await history(5);
    const stream = await open(1, path, null);
    await stream.nextFrame();
    await s.redis.subscribed(channel, 1);
    const lost = await s.gw[1].metric('sse_bus_lost_total');
    await s.redis.command(['MULTI']);
    await s.redis.command(['CLIENT', 'KILL', 'TYPE', 'pubsub']);
    for (let i = 6; i <= 30; ++i)
        await publish(s.redis, channel, String(i));
    await s.redis.command(['XTRIM', `{sse:${channel}}:log`, 'MAXLEN', '10']);
    await s.redis.command(['EXEC']);
    await s.gw[1].waitMetric('sse_bus_lost_total', lost + 1);
    assert.equal((await stream.next()).type, 'gap');
    await getsThenLive(stream, channel, Array.from({ length: 10 }, (_, i) => String(21 + i)));
});

test("an author's own ids resume, from memory and from Redis", async () => {
    const channel = newChannel();
    for (let i = 1; i <= 9; ++i)
        await publish(s.redis, channel, String(i), 'id', `order ${i}`);
    const warm = await open(0, `/channels/${channel}?last=1`, null);
    assert.equal((await warm.next()).lastEventId, 'order 9');
    for (const gw of [0, 1]) {
        const stream = await open(gw, `/channels/${channel}`, 'order 4');
        assert.deepEqual(datas(await stream.take(5)), ['5', '6', '7', '8', '9']);
        stream.close();
    }
    warm.close();
});

test("an author's own id deep in a history longer than the ring and than one read resumes", async () => {
    const channel = newChannel();
    for (let i = 1; i <= 2500; ++i)
        await publish(s.redis, channel, String(i), 'id', `deep ${i}`, 'maxlen', 10000);
    const stream = await open(1, `/channels/${channel}`, 'deep 700');
    assert.deepEqual(datas(await stream.take(1800, 20000)), Array.from({ length: 1800 }, (_, i) => String(701 + i)));
    stream.close();
});

test('several channels in one stream: what follows the id, in the order it was published', async () => {
    const names = ['x', 'y', 'z'].map(name => `${name}-${newChannel()}`);
    const published = [];
    for (let i = 0; i < 60; ++i) {
        const data = `${i}`;
        published.push({ data, ...await publish(s.redis, names[i * 7 % 3], data) });
        await quiet(2); // ids of different milliseconds: then one id says where all channels stand
    }
    const path = `/subscribe?${names.map(name => `channel=${name}`).join('&')}`;
    const listener = await open(0, path, null);
    await listener.nextFrame();
    for (const gw of [0, 1])
        for (const at of [0, 1, 17, 40, 58]) {
            const stream = await open(gw, path, published[at].id);
            assert.deepEqual(datas(await stream.take(59 - at)), published.slice(at + 1).map(event => event.data), `gateway ${gw}, behind ${at}`);
            await quiet(20);
            assert.equal(stream.events.length, 59 - at);
            stream.close();
        }
    listener.close();
});

test('several channels, one of them trimmed: a gap for that one alone', async () => {
    const one = await history(20), other = await history(20);
    await s.redis.command(['XTRIM', `{sse:${one.channel}}:log`, 'MAXLEN', '5']);
    const stream = await open(1, `/subscribe?channel=${one.channel}&channel=${other.channel}`, one.ids[9]);
    const events = await stream.take(26);
    const gaps = events.filter(event => event.type === 'gap');
    assert.deepEqual(gaps.map(gap => JSON.parse(gap.data)), [{ channel: one.channel, last_event_id: one.ids[9] }]);
    stream.close();
});

test('a position of several channels resumes them all; events of the same millisecond may come again', async () => {
    const names = [newChannel(), newChannel()];
    const path = `/subscribe?${names.map(name => `channel=${name}`).join('&')}`;
    await publish(s.redis, names[0], 'old');
    await quiet(2);
    const first = await open(0, path, null);
    const position = /^id: (\S+)$/m.exec(await first.nextFrame())[1];
    first.close();
    await quiet(2);
    for (const name of [...names, ...names]) {
        await publish(s.redis, name, `to ${name}`);
        await quiet(2); // between channels, events of one millisecond have no order
    }
    const stream = await open(1, path, position);
    let got = datas(await stream.take(4));
    if (got[0] === 'old') // it may be of the very millisecond that the position names, which can't decide then
        got = [...got.slice(1), ...datas(await stream.take(1))];
    assert.deepEqual(got, [...names.map(name => `to ${name}`), ...names.map(name => `to ${name}`)]);
    stream.close();
});

test('two publishers with one idempotency key at the same time publish one event', async () => {
    const channel = newChannel();
    const stream = await open(0, `/channels/${channel}`, null);
    await stream.nextFrame();
    const post = (pub, n) => request(`${s.pub[pub].url}/channels/${channel}`,
        { method: 'POST', headers: { 'content-type': 'text/plain', 'idempotency-key': `order-${n}` }, body: `order ${n}` });
    for (let n = 0; n < 50; ++n) {
        const answers = await Promise.all([post(0, n), post(1, n), post(0, n), post(1, n)]);
        assert.deepEqual(answers.map(answer => answer.status), [200, 200, 200, 200]);
        assert.equal(new Set(answers.map(answer => JSON.parse(answer.body).id)).size, 1);
        assert.equal((await stream.next()).data, `order ${n}`);
    }
    await publish(s.redis, channel, 'end');
    assert.equal((await stream.next()).data, 'end');
    assert.equal(await s.redis.command(['XLEN', `{sse:${channel}}:log`]), 51);
    stream.close();
});

test('HEAD and a broken query are answered as on a fresh stream', async () => {
    const { path, ids } = await history(1);
    const head = await request(`${s.gw[0].url}${path}`, { method: 'HEAD', headers: { 'last-event-id': ids[0] } });
    assert.equal(head.status, 200);
    assert.equal((await request(`${s.gw[0].url}${path}?last_event_id=%zz`)).status, 400);
});
