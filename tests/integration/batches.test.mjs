// Batches of sse_publish_many at the gateways: events like any others, in order, at every stream, in one write.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Raw } from './raw.mjs';
import { H2, openStream, request } from './sse.mjs';
import { Stack } from './stack.mjs';

// The second gateway keeps next to nothing in memory, so that whatever it replays comes from Redis.
const s = await Stack.start({ gateways: 2, tls: true, gatewayEnv: [{}, { RING_LEN: '5' }] });

const range = (from, to) => Array.from({ length: to - from }, (_, i) => String(from + i));
const texts = events => events.map(event => event.data);

// The ids of the events, in order. fields: of the last event.
async function many(channel, events, ...fields) {
    const [outcome, , ...ids] = await s.redis.command(['FCALL', 'sse_publish_many', '1', `sse:${channel}`, 'maxlen', '100000', ...events.flatMap(data => ['data', data]), ...fields]);
    assert.equal(outcome, 'published');
    return ids;
}
const publish = async (channel, data) => (await s.redis.command(['FCALL', 'sse_publish', '1', `sse:${channel}`, data, 'maxlen', '100000']))[0];
const resume = (gw, path, id) => openStream(gw.url + path, { headers: { 'last-event-id': id } });

// A stream of each gateway that has its place, with Redis knowing of both.
async function listeners(channel) {
    const streams = await Promise.all(s.gw.map(gw => openStream(`${gw.url}/channels/${channel}`)));
    await s.redis.subscribed(channel, 2);
    await Promise.all(streams.map(stream => stream.nextFrame()));
    return streams;
}

test('its events come to the streams of both gateways in order, each with its id, between others', async () => {
    const streams = await listeners('both');
    const ids = [await publish('both', 'before'), ...await many('both', range(0, 1000)), await publish('both', 'after')];
    for (const stream of streams) {
        const events = await stream.take(1002, 20000);
        assert.deepEqual(texts(events), ['before', ...range(0, 1000), 'after']);
        assert.deepEqual(events.map(event => event.lastEventId), ids);
        stream.close();
    }
});

test('type, reconnect time and an id of its own are those of the event they stand behind', async () => {
    const [stream, other] = await listeners('fields');
    const [, position, ...ids] = await s.redis.command(['FCALL', 'sse_publish_many', '1', 'sse:fields', 'data', 'a\nb', 'event', 'greeting', 'data', 'c', 'id', 'mine', 'retry', '70', 'data', '']);
    assert.match(position, /^\d+-2$/);
    for (const each of [stream, other]) {
        await each.waitText(new RegExp(`id: ${ids[2]}\n\n$`));
        assert.equal(each.text.slice(each.text.indexOf('\n\n') + 2), `event: greeting\ndata: a\ndata: b\nid: ${ids[0]}\n\ndata: c\nid: mine\nretry: 70\n\ndata: \nid: ${ids[2]}\n\n`);
        each.close();
    }
});

test('a client gets a batch in one write', async () => {
    for (const gw of s.gw) {
        const name = `one${gw.port}`, raw = await Raw.connect(gw.port);
        await raw.send(`GET /channels/${name} HTTP/1.1\r\nhost: x\r\n\r\n`).head();
        await s.redis.subscribed(name, 1);
        await raw.waitText(/retry: \d+\n\n\r\n/);
        const at = raw.text.length, ids = await many(name, range(0, 200));
        await raw.waitText(/data: 199\nid: .*\n\n\r\n/);
        const body = ids.map((id, i) => `data: ${i}\nid: ${id}\n\n`).join('');
        assert.equal(raw.text.slice(at), `${body.length.toString(16)}\r\n${body}\r\n`, 'all of it is one chunk');
        raw.close();
    }
});

test('over TLS, HTTP/2, in envelopes, on the routes of version 1 and in streams of several channels it is the same events', async () => {
    const [gw] = s.gw, h2 = await H2.connect(gw.httpsUrl);
    const streams = await Promise.all([openStream(`${gw.httpsUrl}/channels/post`), h2.open('/channels/post'), openStream(`${gw.url}/post`), openStream(`${gw.url}/subscribe?channel=post&channel=forms`)]);
    const wrapped = await openStream(`${gw.url}/channels/post?envelope=1`);
    await gw.waitMetric('sse_streams', 5);
    const ids = await many('post', range(0, 300));
    await many('forms', ['x', 'y']);
    for (const stream of streams) {
        const events = (await stream.take(300, 20000));
        assert.deepEqual(texts(events), range(0, 300));
        assert.deepEqual(events.map(event => event.lastEventId), ids);
    }
    assert.deepEqual(texts(await streams[3].take(2)), ['x', 'y']);
    assert.deepEqual((await wrapped.take(300)).map(event => JSON.parse(event.data).data), range(0, 300));
    [...streams, wrapped].forEach(stream => stream.close());
    h2.close();
});

for (const [i, gw] of s.gw.entries()) {
    const where = i === 0 ? 'from memory' : 'from Redis';

    test(`a stream resumes from the middle of a batch, ${where}`, async () => {
        for (const k of [0, 198, 399]) {
            const name = `middle${i}.${k}`, ids = await many(name, range(0, 400));
            const stream = await resume(gw, `/channels/${name}`, ids[k]);
            assert.deepEqual(texts(await stream.take(399 - k, 20000)), range(k + 1, 400));
            const next = await many(name, ['live', 'too']);
            assert.deepEqual((await stream.take(2)).map(event => event.lastEventId), next);
            stream.close();
        }
    });

    test(`?last=N begins in the middle of a batch, ${where}`, async () => {
        const name = `last${i}`;
        await many(name, range(0, 50));
        await many(name, range(50, 100));
        const stream = await openStream(`${gw.url}/channels/${name}?last=60`);
        assert.deepEqual(texts(await stream.take(60)), range(40, 100));
        stream.close();
    });

    test(`polling takes a batch in parts of its limit, ${where}`, async () => {
        const name = `poll${i}`;
        await publish(name, 'first');
        const poll = async (path, status = 200) => {
            const answer = await request(`${gw.url}/channels/${name}?${path}`, { headers: { accept: 'application/json' } });
            assert.equal(answer.status, status, answer.body);
            return JSON.parse(answer.body);
        };
        let at = (await poll('')).last_event_id;
        const ids = await many(name, range(0, 25)), seen = [];
        for (let more = true; more;) {
            const answer = await poll(`limit=10&last_event_id=${at}`);
            assert.ok(answer.events.length <= 10);
            seen.push(...answer.events);
            [at, more] = [answer.last_event_id, answer.more];
        }
        assert.deepEqual([texts(seen), seen.map(event => event.id)], [range(0, 25), ids]);
        const opened = await gw.metric('sse_streams_opened_total'), waiting = poll(`wait=20&limit=3&last_event_id=${at}`);
        await gw.waitMetric('sse_streams_opened_total', opened + 1);
        await many(name, range(25, 32));
        const first = await waiting, rest = [];
        for (at = first.last_event_id; first.events.length + rest.length < 7;) {
            const answer = await poll(`wait=20&last_event_id=${at}`);
            rest.push(...answer.events);
            at = answer.last_event_id;
        }
        assert.deepEqual(texts([...first.events, ...rest]), range(25, 32), 'each once, however many the first answer had');
    });

    test(`a history that begins in the middle of a batch: a gap, but not where the last id is right before it, ${where}`, async () => {
        const name = `cut${i}`, ids = await many(name, range(0, 40));
        await s.redis.command(['XTRIM', `{sse:${name}}:log`, 'MAXLEN', '30']);
        const lost = await resume(gw, `/channels/${name}`, ids[4]);
        const gap = await lost.next();
        assert.deepEqual([gap.type, JSON.parse(gap.data)], ['gap', { channel: name, last_event_id: ids[4] }]);
        assert.deepEqual(texts(await lost.take(30)), range(10, 40));
        const whole = await resume(gw, `/channels/${name}`, ids[9]);
        assert.deepEqual(texts(await whole.take(30)), range(10, 40));
        [lost, whole].forEach(stream => stream.close());
    });
}

test('a batch may end the channel: its streams get all of it, the end, and are over', async () => {
    const streams = await listeners('ends');
    const ids = await many('ends', range(0, 20), 'end', '1');
    for (const stream of streams) {
        const events = await stream.take(21);
        assert.deepEqual(texts(events.slice(0, 20)), range(0, 20));
        assert.deepEqual([events[20].type, JSON.parse(events[20].data)], ['end', { channel: 'ends', reason: 'done' }]);
        assert.equal(await stream.closed, 'end');
    }
    const back = await resume(s.gw[1], '/channels/ends', ids[18]);
    assert.deepEqual((await back.take(2)).map(event => event.type), ['message', 'end']);
    assert.equal((await resume(s.gw[0], '/channels/ends', streams[0].events[20].lastEventId)).status, 204);
});

test('a batch that a gateway did not hear is read at the next event, in order and once', async () => {
    const streams = await listeners('unheard');
    await many('unheard', range(0, 3));
    const holes = await Promise.all(s.gw.map(gw => gw.metric('sse_holes_filled_total')));
    // Its entries and its marker, as they stand, without its message: what a gateway that drops it has.
    const log = '{sse:unheard}:log', [at, fields] = (await s.redis.command(['XREVRANGE', log, '+', '-', 'COUNT', '1']))[0];
    const [ms, seq] = at.split('-').map(Number);
    let prev = at, sum = Number(fields[3]);
    for (const [i, data] of range(3, 6).entries()) {
        const position = `${ms}-${seq + 1 + i}`, payload = `\x1esse1 ${position} ${prev}\ndata: ${data}\nid: own${i}\n\n`;
        await s.redis.command(['XADD', log, position, 'm', payload, 'b', String(sum += payload.length)]);
        await s.redis.command(['SET', '{sse:unheard}:last', prev = position, 'EX', '1000']);
    }
    await many('unheard', range(6, 9));
    for (const [i, stream] of streams.entries()) {
        assert.deepEqual(texts(await stream.take(9)), range(0, 9));
        assert.equal(await s.gw[i].metric('sse_holes_filled_total'), holes[i] + 1);
        stream.close();
    }
});

test('events in, their bytes and deliveries are counted one by one', async () => {
    const [stream, other] = await listeners('counted'), [gw] = s.gw;
    const names = ['sse_events_received_total', 'sse_deliveries_total'], before = await Promise.all(names.map(name => gw.metric(name)));
    await many('counted', range(0, 50));
    await stream.take(50);
    await gw.waitMetric(names[0], before[0] + 50);
    await gw.waitMetric(names[1], before[1] + 50);
    [stream, other].forEach(each => each.close());
});
