// Channels that end: what streams get of the end, live and from the history, over each protocol; what a client that comes back gets; and when a channel is new again.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { SCALE, Stack, quiet, until } from './stack.mjs';
import { eventId } from './resume_matrix.mjs';
import { H2, openStream, request } from './sse.mjs';

// The second gateway keeps next to nothing in memory, so that whatever it replays comes from Redis.
const s = await Stack.start({ gateways: 2, tls: true, gatewayEnv: [{}, { RING_LEN: '1' }] });
let fresh = 0;
const newChannel = () => `ends${++fresh}`;

const LEASE = Math.ceil(SCALE); // seconds: a publish, and a wait of quiet(600), are shorter

// [id, position]
const publish = (name, data, ...options) => s.redis.command(['FCALL', 'sse_publish', 1, `sse:${name}`, data, ...options]).then(answer => answer.slice(0, 2));
const finish = async name => {
    await publish(name, '', 'end', 1);
    const [[at]] = await s.redis.command(['XREVRANGE', `{sse:${name}}:log`, '+', '-', 'COUNT', '1']);
    return { id: eventId(name, ...at.split('-').map(Number)), at };
};
const data = name => `{"channel":"${name}","reason":"done"}`;
const END = (name, id) => `event: end\ndata: ${data(name)}\nid: ${id}\n\n`;
const bytes = stream => stream.text.replaceAll(':\n', '');
const open = (gw, path, id) => openStream(`${gw.url}${path}`, { headers: id === undefined ? {} : { 'last-event-id': id } });
const rest = async stream => (assert.equal(await stream.closed, 'end'), bytes(stream));

for (const [i, gw] of s.gw.entries())
    test(`gateway ${i}: open streams get the last event and the end, and are over in order`, async () => {
        const name = newChannel();
        const closes = await gw.metric('sse_stream_closes_total', { reason: 'ended' });
        const h2 = await H2.connect(gw.httpsUrl);
        const streams = [await open(gw, `/channels/${name}`), await openStream(`${gw.httpsUrl}/channels/${name}`), await h2.open(`/channels/${name}`)];
        const [place] = await Promise.all(streams.map(stream => stream.nextFrame()));
        assert.match(place, /^id: \S+\nretry: \d+\n\n$/);
        await s.redis.subscribed(name, 1);
        const [id] = await publish(name, 'last', 'end', 1);
        for (const stream of streams) {
            const [last, end] = await stream.take(2);
            assert.deepEqual([last.data, last.lastEventId, end.type, end.data], ['last', id, 'end', data(name)]);
            assert.equal(await stream.closed, 'end');
            assert.equal(stream.frames.at(-1), END(name, end.lastEventId), 'and nothing behind it');
        }
        assert.equal(await gw.metric('sse_stream_closes_total', { reason: 'ended' }), closes + 3);
        h2.close();
    });

for (const [i, gw] of s.gw.entries())
    test(`gateway ${i}: a late client gets what it lacks and the end; a client that has the end gets 204`, async () => {
        const name = newChannel();
        const ids = [];
        for (const text of ['1', '2', '3'])
            ids.push((await publish(name, text))[0]);
        const end = await finish(name);
        const event = n => `data: ${n}\nid: ${ids[n - 1]}\n\n`;
        const plain = text => text.replaceAll(/(event: message|retry: 6000)\n/g, '');
        for (const [path, id, want] of [['', ids[0], event(2) + event(3)], ['', ids[2], ''], ['?last_event_id=earliest', undefined, event(1) + event(2) + event(3)],
            ['?last=2&place=0', undefined, event(2) + event(3)], ['?last=1&place=0', undefined, event(3)], ['?last=9&place=0', undefined, event(1) + event(2) + event(3)], ['?place=0', undefined, '']])
            assert.equal(plain(await rest(await open(gw, `/channels/${name}${path}`, id))), want + END(name, end.id), `${path} ${id}`);
        const late = await open(gw, `/channels/${name}`);
        assert.match(await rest(late), new RegExp(`^id: ${ids[2]}\nretry: \\d+\n\n${END(name, end.id).replaceAll(/[{}]/g, '\\$&')}$`));
        for (const address of [`${gw.url}/channels/${name}`, `${gw.httpsUrl}/channels/${name}`]) {
            const answer = await request(address, { headers: { accept: 'text/event-stream', 'last-event-id': end.id } });
            assert.deepEqual([answer.status, answer.body], [204, '']);
            assert.equal(answer.headers['content-type'], undefined);
            assert.equal(answer.headers['transfer-encoding'], undefined);
        }
        const h2 = await H2.connect(gw.httpsUrl);
        const answer = await h2.request(`/channels/${name}?last_event_id=${end.id}`);
        assert.deepEqual([answer.status, answer.body], [204, '']);
        h2.close();
        const unknown = await open(gw, `/channels/${name}`, 'nobody knows it');
        assert.match(await rest(unknown), new RegExp(`^event: gap\ndata: .*\n(id: .*\n)?\n${END(name, end.id).replaceAll(/[{}]/g, '\\$&')}$`), 'a gap, and then the end');
    });

test('?end=TEXT: an event without a type in place of the end, also in an envelope; without it an envelope has the end as its object', async () => {
    const name = newChannel();
    const paths = [`/channels/${name}?end=[DONE]&place=0`, `/channels/${name}?end=fin%C3%A9&envelope=1&place=0`, `/channels/${name}?envelope=1&place=0`];
    const live = await Promise.all(paths.map(path => open(s.gw[0], path)));
    await s.redis.subscribed(name, 1);
    await s.gw[0].waitMetric('sse_streams', 3);
    const { id } = await finish(name);
    const want = [`data: [DONE]\nid: ${id}\n\n`, `data: finé\nid: ${id}\n\n`, `data: ${JSON.stringify({ channel: name, event: 'end', data: data(name) })}\nid: ${id}\n\n`];
    for (const [i, stream] of live.entries()) {
        assert.equal(await rest(stream), want[i]);
        assert.equal(await rest(await open(s.gw[1], paths[i])), want[i], 'and from the history');
    }
    for (const value of ['', 'x'.repeat(201), 'a%0Ab', 'a%00b', '%ff', '%7f']) {
        const answer = await request(`${s.gw[0].url}/channels/${name}?end=${value}`);
        assert.equal(answer.status, 400, value);
        assert.equal(JSON.parse(answer.body).error, 'end must be 1 to 200 bytes of UTF-8 without control characters');
    }
});

for (const [i, gw] of s.gw.entries())
    test(`gateway ${i}: a stream of several channels is told each end, goes on until the last one, and then comes back to 204`, async () => {
        const [a, b] = [newChannel(), newChannel()];
        const path = `/subscribe?channel=${a}&channel=${b}`;
        const live = await open(gw, path);
        await live.nextFrame();
        await s.redis.subscribed(b, 1);
        await publish(a, 'a1');
        const endA = await finish(a);
        await publish(b, 'b1');
        const seen = await live.take(3);
        assert.deepEqual(seen.map(event => [event.type, event.data]), [['message', 'a1'], ['end', data(a)], ['message', 'b1']]);
        assert.equal(seen[1].lastEventId, endA.id);
        await finish(b);
        const last = await live.next();
        assert.deepEqual([last.type, last.data], ['end', data(b)]);
        assert.equal(await live.closed, 'end');
        assert.equal((await open(gw, path, last.lastEventId)).status, 204);
        const again = await open(gw, path, seen[0].lastEventId);
        const more = await again.take(3), texts = more.map(event => event.data);
        assert.deepEqual(texts.toSorted(), [data(a), 'b1', data(b)].toSorted()); // the end of one and the event of the other may be of one millisecond, which nothing orders
        assert.ok(texts.indexOf('b1') < texts.indexOf(data(b)));
        assert.equal(await again.closed, 'end');
        assert.equal((await open(gw, path, more.at(-1).lastEventId)).status, 204);
        const both = await open(gw, path);
        await both.closed;
        assert.deepEqual(both.events.map(event => event.data).sort(), [data(a), data(b)].sort(), 'a new client gets both ends');
        assert.equal((await open(gw, path, both.events.at(-1).lastEventId)).status, 204);
    });

test('ends of one millisecond do not bring a client of several channels back for ever', async () => {
    const names = Array.from({ length: 20 }, newChannel);
    await Promise.all(names.map(name => publish(name, 'x')));
    const transaction = ['MULTI', ...names.map(name => ['FCALL', 'sse_publish', 1, `sse:${name}`, '', 'end', 1]), 'EXEC'];
    await Promise.all(transaction.map(command => s.redis.command([command].flat())));
    const path = `/subscribe?${names.map(name => `channel=${name}`).join('&')}`;
    let id;
    for (let tries = 0, status = 200; status !== 204; ++tries) {
        assert.ok(tries < 3, 'it is over');
        const stream = await open(s.gw[0], path, id);
        status = stream.status;
        await stream.closed;
        id = stream.events.at(-1)?.lastEventId ?? id;
    }
});

test('without its history the channel is new: streams wait for its next event, also where somebody reads it already', async () => {
    const [name, other] = [newChannel(), newChannel()];
    const both = await open(s.gw[0], `/subscribe?channel=${name}&channel=${other}`);
    await both.nextFrame();
    await publish(name, 'old');
    const { id } = await finish(name);
    await both.take(2);
    await s.redis.command(['DEL', `{sse:${name}}:log`]);
    const again = [];
    for (const gw of s.gw)
        for (const last of [undefined, id])
            again.push(await open(gw, `/channels/${name}?place=0`, last));
    await quiet(300);
    assert.ok(again.every(stream => stream.status === 200 && stream.ended === null && stream.events.length === 0), again.map(stream => stream.text).join('|'));
    const [next] = await publish(name, 'new');
    for (const stream of [...again, both]) {
        const event = await stream.next();
        assert.deepEqual([event.data, event.lastEventId], ['new', next]);
    }
    await finish(other);
    assert.equal((await both.next()).data, data(other));
    await quiet(100);
    assert.equal(both.ended, null, 'one of its channels goes on');
    await finish(name);
    await Promise.all([...again, both].map(stream => stream.closed));
});

test('a plain PUBLISH after the end is no event of the channel: streams of other channels get it, and none is opened again', async () => {
    const [name, other] = [newChannel(), newChannel()];
    const both = await open(s.gw[0], `/subscribe?channel=${name}&channel=${other}`);
    await both.nextFrame();
    const { id } = await finish(name);
    await both.next();
    await s.redis.publish(name, 'by hand');
    assert.equal((await both.next()).data, 'by hand');
    assert.equal((await open(s.gw[0], `/channels/${name}`, id)).status, 204);
    await finish(other);
    await both.next();
    assert.equal(await both.closed, 'end');
});

test('an end that came while the gateway was cut off from Redis is told when it is back', async () => {
    const name = newChannel();
    const streams = await Promise.all(s.gw.map(gw => open(gw, `/channels/${name}`)));
    await Promise.all(streams.map(stream => stream.nextFrame()));
    await s.redis.subscribed(name, 2);
    await s.redis.command(['CLIENT', 'KILL', 'TYPE', 'pubsub']);
    await publish(name, 'last', 'end', 1);
    for (const stream of streams) {
        assert.deepEqual((await stream.take(2)).map(event => event.type), ['message', 'end']);
        assert.equal(await stream.closed, 'end');
    }
});

// ---- leases ----

const ABANDONED = name => `{"channel":"${name}","reason":"abandoned"}`;
const toldId = id => `${id.slice(0, 14)}8${id.slice(15)}`;

test('a lease that runs out ends open streams at every gateway and writes nothing; a late client gets the events and that end, or 204', async () => {
    const name = newChannel();
    const live = await Promise.all(s.gw.map(gw => open(gw, `/channels/${name}`)));
    await Promise.all(live.map(stream => stream.nextFrame()));
    await s.redis.subscribed(name, 2);
    await publish(name, '1', 'lease', LEASE);
    const [id, at] = await publish(name, '2', 'lease', LEASE);
    for (const stream of live) {
        const seen = await stream.take(3);
        assert.deepEqual(seen.map(event => [event.type, event.data, event.lastEventId]).slice(1), [['message', '2', id], ['end', ABANDONED(name), toldId(id)]]);
        assert.equal(await stream.closed, 'end');
        assert.ok(Date.now() >= Number(at.split('-')[0]) + LEASE * 1000, 'not before its time');
    }
    assert.equal(await s.redis.command(['XLEN', `{sse:${name}}:log`]), 2);
    for (const gw of s.gw) {
        for (const [query, last, want] of [['?place=0', undefined, []], ['?last=1', undefined, ['2']], ['', id, []], ['?last_event_id=earliest', undefined, ['1', '2']]]) {
            const late = await open(gw, `/channels/${name}${query}`, last);
            assert.equal(await late.closed, 'end');
            assert.deepEqual(late.events.map(event => event.data), [...want, ABANDONED(name)], query);
            assert.equal(late.events.at(-1).lastEventId, toldId(id));
        }
        assert.equal((await open(gw, `/channels/${name}`, toldId(id))).status, 204);
    }
});

test('an event in time renews the lease, one without a lease ends it, and one after it revives the channel', async () => {
    const name = newChannel();
    const stream = await open(s.gw[0], `/channels/${name}?place=0`);
    await s.redis.subscribed(name, 1);
    for (let i = 0; i < 4; ++i) {
        await publish(name, `${i}`, 'lease', LEASE);
        await quiet(600);
    }
    await publish(name, 'free');
    await stream.take(5);
    await quiet(3000);
    assert.equal(stream.ended, null, 'nothing is promised any more');
    const [id] = await publish(name, 'again', 'lease', LEASE);
    assert.deepEqual((await stream.take(2)).map(event => event.data), ['again', ABANDONED(name)]);
    await stream.closed;
    const [revived] = await publish(name, 'alive', 'lease', 30);
    for (const last of [id, toldId(id)]) {
        const late = await open(s.gw[1], `/channels/${name}`, last);
        const event = await late.next();
        assert.deepEqual([event.data, event.lastEventId], ['alive', revived], 'and no end before it');
        assert.equal(late.ended, null);
        late.close();
    }
    await assert.rejects(publish(name, 'x', 'id', toldId(eventId(name, Date.now() + 60000))), /stands for a place that is still to come/, 'nor is such an id an author\'s');
});

test('a stream of several channels goes on behind one that was abandoned, gets what revives it, and is over when all are', async () => {
    const [a, b] = [newChannel(), newChannel()];
    const path = `/subscribe?channel=${a}&channel=${b}&place=0`;
    const stream = await open(s.gw[0], path);
    await s.redis.subscribed(b, 1);
    await s.gw[0].waitMetric('sse_streams', 1);
    const [first] = await publish(a, 'a1', 'lease', LEASE);
    const [, end] = await stream.take(2);
    assert.deepEqual([end.data, end.lastEventId], [ABANDONED(a), first], 'without an id of its own');
    await publish(a, 'a2', 'lease', LEASE);
    assert.deepEqual((await stream.take(2)).map(event => event.data), ['a2', ABANDONED(a)]);
    await publish(b, 'b1', 'end', 1);
    const rest = await stream.take(2);
    assert.deepEqual(rest.map(event => event.data), ['b1', data(b)]);
    assert.equal(await stream.closed, 'end');
    for (const gw of s.gw) {
        assert.equal((await open(gw, path, rest[1].lastEventId)).status, 204);
        const again = await open(gw, path, first);
        await again.closed;
        assert.deepEqual(again.events.map(event => event.data).sort(), ['a2', 'b1', data(b), ABANDONED(a)].sort());
        assert.equal((await open(gw, path, again.events.at(-1).lastEventId)).status, 204);
    }
});

test('while nothing comes from Redis no lease runs out', async () => {
    const name = newChannel();
    const stream = await open(s.gw[0], `/channels/${name}?place=0`);
    await s.redis.subscribed(name, 1);
    await publish(name, '1', 'lease', 1);
    await stream.next();
    await s.redis.command(['CLIENT', 'PAUSE', 2500, 'ALL']);
    await new Promise(resolve => setTimeout(resolve, 2000)); // by Redis's clock, however slow the programs are
    assert.equal(stream.ended, null);
    assert.deepEqual((await stream.next()).data, ABANDONED(name));
    assert.equal(await stream.closed, 'end');
});

test('a fresh stream of several channels, one of which ended before, stands at the present: a client that comes back gets no older event and no gap', async () => {
    for (const gw of s.gw) {
        const [over, going] = [newChannel(), newChannel()], path = `/subscribe?channel=${over}&channel=${going}`;
        await finish(over);
        for (let i = 0; i < 20; ++i)
            await publish(going, `${i}`);
        const [, last] = await publish(going, 'last');
        await s.redis.command(['XTRIM', `{sse:${going}}:log`, 'MAXLEN', '5']);
        const poll = async more => JSON.parse((await request(`${gw.url}${path}${more}`, { headers: { accept: 'application/json' } })).body);
        const timeOf = id => parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
        await until('the present, as far as it is proven, is behind all that', async () => timeOf((await poll('')).last_event_id) > Number(last.split('-')[0]));
        const page = await poll(''), then = await poll(`&last_event_id=${page.last_event_id}`);
        assert.deepEqual([page.events, then.events, then.gap], [[], [], undefined]);
        const stream = await open(gw, path);
        const [, place] = /^id: (.*)$/m.exec(await stream.nextFrame()), end = await stream.next();
        assert.deepEqual([end.type, end.data, end.lastEventId], ['end', data(over), place], 'the end leaves the place as it is');
        stream.close();
        const again = await open(gw, path, place);
        await s.redis.subscribed(going, 1);
        const next = await publish(going, 'next');
        const event = await again.next();
        assert.deepEqual([event.type, event.data, event.lastEventId], ['message', 'next', next[0]]);
        again.close();
    }
});
