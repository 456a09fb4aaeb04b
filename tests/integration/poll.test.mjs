// Events as one JSON answer: pages of the history, and long polling; with the ids and in the order of streams, so that a client can go from one to the other at any event.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import { Stack, until } from './stack.mjs';
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

// Redis's, in milliseconds.
async function clock() {
    const [seconds, us] = await s.redis.command(['TIME']);
    return Number(seconds) * 1000 + Math.floor(Number(us) / 1000);
}

const JSON_ONLY = { accept: 'application/json' };
const raw = (gw, path, headers = {}) => request(gw.url + path, { headers: { ...JSON_ONLY, ...headers } });

async function poll(gw, path, headers) {
    const { status, headers: got, body } = await raw(gw, path, headers);
    assert.equal(status, 200, `${path}: ${body}`);
    assert.equal(got['content-type'], 'application/json');
    return JSON.parse(body);
}

const data = answer => answer.events.map(event => event.data);
const range = (from, to) => Array.from({ length: to - from }, (_, i) => String(from + i));

test('a fresh request gets its place and no event; from there the next one goes on', async () => {
    for (const gw of s.gw) {
        const channel = `fresh${gw.port}`;
        await publish(channel, 'before');
        const first = await poll(gw, `/channels/${channel}`);
        assert.deepEqual({ ...first, last_event_id: '' }, { channel, events: [], last_event_id: '', more: false, ended: false });
        const id = await publish(channel, '{"a":"é"}', 'event', 'note', 'retry', '70');
        const next = await poll(gw, `/channels/${channel}?last_event_id=${first.last_event_id}`);
        assert.deepEqual(next, { channel, events: [{ id, event: 'note', data: '{"a":"é"}', retry: 70 }], last_event_id: id, more: false, ended: false });
        assert.deepEqual(await poll(gw, `/channels/${channel}`, { 'last-event-id': id }), { channel, events: [], last_event_id: id, more: false, ended: false });
    }
});

test('an event without a type, an id or a reconnect time has no such member, and text that is no UTF-8 is replaced', async () => {
    const waiting = poll(s.gw[0], '/channels/plain?wait=20');
    await s.redis.subscribed('plain', 1);
    await s.gw[0].waitMetric('sse_streams', 1);
    await s.redis.publish('plain', Buffer.from([0x61, 0xff, 0x0a, 0x62]));
    const { events } = await waiting;
    assert.deepEqual(events, [{ data: 'a\ufffd\nb' }]);
});

test('earliest, last, limit and more: a long history in pages, each event once and in order', async () => {
    for (const gw of s.gw) {
        const channel = `pages${gw.port}`;
        const ids = await publishMany(channel, 2500);
        for (const limit of ['', '&limit=7', '&limit=999']) {
            const seen = [];
            let answer = await poll(gw, `/channels/${channel}?last_event_id=earliest${limit}`);
            for (let pages = 1; ; ++pages) {
                seen.push(...answer.events);
                if (!answer.more || (limit === '&limit=7' && pages === 20))
                    break;
                answer = await poll(gw, `/channels/${channel}?last_event_id=${answer.last_event_id}${limit}`);
            }
            const count = limit === '&limit=7' ? 140 : 2500;
            assert.deepEqual(seen.map(event => event.data), range(0, count), limit);
            assert.deepEqual(seen.map(event => event.id), ids.slice(0, count), limit);
        }
        const last = await poll(gw, `/channels/${channel}?last=3`);
        assert.deepEqual([data(last), last.more, last.last_event_id], [range(2497, 2500), false, ids.at(-1)]);
        const cut = await poll(gw, `/channels/${channel}?last=3&limit=2`);
        assert.deepEqual([data(cut), cut.more, cut.last_event_id], [range(2497, 2499), true, ids[2498]]);
    }
});

test('several channels: each event names its own, in order of time', async () => {
    for (const gw of s.gw) {
        const [a, b] = [`a${gw.port}`, `b${gw.port}`];
        for (let i = 0; i < 10; ++i) {
            await publish(i % 2 === 0 ? a : b, i);
            await new Promise(resolve => setTimeout(resolve, 2)); // events of one millisecond could not be told apart
        }
        const answer = await poll(gw, `/subscribe?channel=${a}&channel=${b}&last_event_id=earliest`);
        assert.deepEqual(answer.channels, [a, b]);
        assert.deepEqual(data(answer), range(0, 10));
        assert.deepEqual(answer.events.map(event => event.channel), Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? a : b)));
        const rest = await poll(gw, `/subscribe?channel=${a}&channel=${b}&last_event_id=${answer.events[3].id}`);
        assert.deepEqual(data(rest), range(4, 10));
    }
});

test('a gap is told, with the events behind it; one in the middle begins the next answer; gap=close is 410', async () => {
    const ids = await publishMany('gap', 10);
    await s.redis.command(['XTRIM', '{sse:gap}:log', 'MAXLEN', '4']);
    for (const gw of s.gw) {
        const unknown = await poll(gw, '/channels/gap?last_event_id=no-such-id');
        assert.deepEqual([unknown.gap, data(unknown)], [true, []]);
        assert.deepEqual((await poll(gw, `/channels/gap?last_event_id=${unknown.last_event_id}`)).gap, undefined, 'it goes on behind the gap');
        const trimmed = await poll(gw, `/channels/gap?last_event_id=${ids[1]}`);
        assert.deepEqual([trimmed.gap, data(trimmed), trimmed.last_event_id], [true, range(6, 10), ids[9]]);
        assert.equal((await raw(gw, `/channels/gap?last_event_id=${ids[1]}&gap=close`)).status, 410);
    }
});

test('wait: the answer comes with the first event, on each transport; without one it comes empty when the time is over', async () => {
    const h2 = await H2.connect(s.gw[0].httpsUrl);
    for (const get of [path => poll(s.gw[0], path), path => poll(s.gw[1], path), async path => JSON.parse((await h2.request(path, { headers: JSON_ONLY })).body)]) {
        const { last_event_id: place } = await get('/channels/wait');
        const start = Date.now();
        const empty = await get(`/channels/wait?wait=1&last_event_id=${place}`);
        assert.deepEqual([empty.events, empty.last_event_id], [[], place]);
        assert.ok(Date.now() - start >= 990 && Date.now() - start < 1800 * Number(process.env.TEST_TIME_SCALE ?? 1), `${Date.now() - start} ms`);
        const before = (await Promise.all(s.gw.map(gw => gw.metric('sse_streams')))).reduce((a, b) => a + b);
        const waiting = get(`/channels/wait?wait=30&last_event_id=${place}`);
        await until('it waits', async () => (await Promise.all(s.gw.map(gw => gw.metric('sse_streams')))).reduce((a, b) => a + b) === before + 1);
        await s.redis.subscribed('wait', 1);
        const id = await publish('wait', 'now');
        assert.deepEqual((await waiting).events, [{ id, data: 'now' }]);
        assert.deepEqual((await get(`/channels/wait?wait=30&last_event_id=${place}`)).events, [{ id, data: 'now' }], 'what is there does not wait');
    }
    h2.close();
    await s.gw[0].waitMetric('sse_streams', 0);
    await s.gw[0].waitMetric('sse_queued_bytes', 0);
});

test('many wait for one event of many that come at once: each gets the first, and goes on to the others', async () => {
    const [gw] = s.gw;
    const { last_event_id: place } = await poll(gw, '/channels/crowd');
    const waiting = Array.from({ length: 100 }, () => poll(gw, `/channels/crowd?wait=30&last_event_id=${place}`));
    await gw.waitMetric('sse_streams', 100);
    const count = 300;
    await Promise.all(Array.from({ length: count }, (_, i) => publish('crowd', i)));
    for (const answer of await Promise.all(waiting)) {
        const seen = data(answer);
        const rest = await poll(gw, `/channels/crowd?last_event_id=${answer.last_event_id}`);
        assert.equal(new Set([...seen, ...data(rest)]).size, count);
        assert.equal(seen.length + rest.events.length, count);
    }
});

test('a client that goes from stream to poll and back at random sees every event once, in order, on one channel and several', async () => {
    for (const path of ['/channels/mixed0?', '/subscribe?channel=mixed0&channel=mixed1&']) {
        const count = 1500, seen = [];
        let id = (await poll(s.gw[0], path)).last_event_id, done = false;
        const author = (async () => {
            for (let i = 0; i < count; ++i) {
                await publish(path.includes('mixed1') ? `mixed${i % 2}` : 'mixed0', i);
                if (path.includes('mixed1'))
                    await new Promise(resolve => setTimeout(resolve, 2));
            }
            done = true;
        })();
        for (let i = 0; seen.length < count; ++i) {
            const gw = s.gw[Math.floor(Math.random() * 2)];
            if (Math.random() < 0.5) {
                const answer = await poll(gw, `${path}last_event_id=${id}&wait=${done ? 0 : 5}&limit=${1 + Math.floor(Math.random() * 50)}`);
                assert.equal(answer.gap, undefined);
                seen.push(...data(answer));
                id = answer.last_event_id;
            } else {
                const stream = await openStream(`${gw.url}${path}last_event_id=${id}`);
                const some = await stream.take(Math.min(1 + Math.floor(Math.random() * 20), count - seen.length), 20000);
                stream.close();
                seen.push(...some.map(event => event.data));
                id = some.at(-1).lastEventId;
            }
        }
        await author;
        assert.deepEqual(seen, range(0, count), path);
    }
});

test('an answer that reaches the end says so, and its id is that of the end: nothing follows', async () => {
    const ids = await publishMany('over', 3);
    const stream = await openStream(`${s.gw[0].url}/channels/over?last_event_id=earliest`);
    const waiting = poll(s.gw[0], `/channels/over?wait=30&last_event_id=${ids[2]}`);
    await s.gw[0].waitMetric('sse_streams', 2);
    await publish('over', '', 'end', '1');
    const end = (await stream.take(4)).at(-1);
    assert.equal(end.type, 'end');
    assert.deepEqual(await waiting, { channel: 'over', events: [], last_event_id: end.lastEventId, more: false, ended: true });
    for (const gw of s.gw) {
        const all = await poll(gw, '/channels/over?last_event_id=earliest&end=over');
        assert.deepEqual([data(all), all.last_event_id, all.more, all.ended], [range(0, 3), end.lastEventId, false, true]);
        const cut = await poll(gw, '/channels/over?last_event_id=earliest&limit=2');
        assert.deepEqual([data(cut), cut.more, cut.ended], [range(0, 2), true, false]);
        assert.deepEqual([(await poll(gw, `/channels/over?last_event_id=${cut.last_event_id}`)).ended], [true]);
        const after = await poll(gw, `/channels/over?wait=30&last_event_id=${end.lastEventId}`);
        assert.deepEqual(after, { channel: 'over', events: [], last_event_id: end.lastEventId, more: false, ended: true });
    }
});

test('where one of several channels was abandoned and one has ended, who asks on waits, and gets no event twice', async () => {
    for (const gw of s.gw) {
        const [left, done, live] = ['left', 'done', 'live'].map(name => name + gw.port);
        await publish(left, 'a', 'lease', '1');
        await publish(done, 'b', 'end', '1');
        const ended = await clock();
        await until('a later millisecond: what others have in the same one may come again', async () => await clock() > ended);
        await publishMany(live, 3);
        await until('it was abandoned', async () => (await poll(gw, `/channels/${left}?wait=5&last_event_id=earliest`)).ended, 10000);
        const path = `/subscribe?channel=${left}&channel=${done}&channel=${live}`;
        const first = await poll(gw, `${path}&last_event_id=earliest`);
        assert.deepEqual([data(first).sort(), first.ended], [['0', '1', '2', 'a', 'b'], false]);
        const next = poll(gw, `${path}&wait=20&last_event_id=${first.last_event_id}`);
        await gw.waitMetric('sse_streams', 1);
        await publish(live, 3);
        const { last_event_id: id } = await next; // the event's, or a time behind it where it came with a page
        assert.deepEqual([data(await next), data(await poll(gw, `${path}&last_event_id=${id}`))], [['3'], []]);
    }
});

test('several channels have ended when the last one has', async () => {
    for (const gw of s.gw) {
        const [a, b] = [`end-a${gw.port}`, `end-b${gw.port}`], path = `/subscribe?channel=${a}&channel=${b}`;
        await publish(a, 'one', 'end', '1');
        const first = await poll(gw, `${path}&last_event_id=earliest`);
        assert.deepEqual([data(first), first.ended], [['one'], false]);
        await new Promise(resolve => setTimeout(resolve, 5)); // an id stands for a millisecond in the other channels
        const waiting = poll(gw, `${path}&wait=30&last_event_id=${first.last_event_id}`);
        await gw.waitMetric('sse_streams', 1);
        await publish(b, 'two', 'end', '1');
        let answer = await waiting;
        const seen = data(answer);
        for (let i = 0; !answer.ended && i < 5; ++i) {
            answer = await poll(gw, `${path}&wait=1&last_event_id=${answer.last_event_id}`);
            seen.push(...data(answer));
        }
        assert.deepEqual([seen, answer.ended], [['two'], true]);
        assert.deepEqual((await poll(gw, `${path}&last_event_id=${answer.last_event_id}`)).events, []);
    }
});

test('an ETag: the same answer is 304, at the other gateway, too', async () => {
    await publishMany('tag', 3);
    const one = await raw(s.gw[0], '/channels/tag?last=2');
    assert.match(one.headers.etag, /^"[0-9a-f]{16}"$/);
    for (const gw of s.gw) {
        const again = await raw(gw, '/channels/tag?last=2', { 'if-none-match': `W/"x", ${one.headers.etag}` });
        assert.deepEqual([again.status, again.body, again.headers.etag], [304, '', one.headers.etag]);
    }
    await publish('tag', 'new');
    const changed = await raw(s.gw[0], '/channels/tag?last=2', { 'if-none-match': one.headers.etag });
    assert.equal(changed.status, 200);
    assert.notEqual(changed.headers.etag, one.headers.etag);
});

test('HEAD has the headers of GET and no body', async () => {
    const head = await request(`${s.gw[0].url}/channels/tag?last=2`, { method: 'HEAD', headers: JSON_ONLY });
    assert.deepEqual([head.status, head.headers['content-type'], head.body], [200, 'application/json', '']);
});

test('a stream is the answer wherever Accept lets one in, and the routes of version 1 have nothing else', async () => {
    for (const accept of ['*/*', 'text/event-stream', 'application/json, text/event-stream', 'application/json, text/plain, */*']) {
        const stream = await openStream(`${s.gw[0].url}/channels/accept`, { headers: { accept } });
        assert.equal(stream.headers['content-type'], 'text/event-stream; charset=utf-8', accept);
        stream.close();
    }
    for (const path of ['/sse', '/post', '/events', '/exchange_rates/usd_eur'])
        assert.equal((await raw(s.gw[0], path)).status, 406, path);
    assert.equal((await request(`${s.gw[0].url}/channels/accept`, { headers: { accept: 'image/png' } })).status, 406);
});

test('bad values are 400 and name the parameter', async () => {
    const bad = { limit: ['0', '1001', '', '-1', 'x', '1e3', '1.5', '+5', '4294967297', '9'.repeat(400)], wait: ['61', '1.5', '', '-1', 'x', '1s', '4294967296'], last: ['x', '0', '100001', ''],
        place: ['2', ''], gap: ['1', ''], envelope: ['2', ''], end: ['', 'x'.repeat(201), '%00'] };
    for (const [name, values] of Object.entries(bad))
        for (const value of values)
            for (const path of ['/channels/x?', '/subscribe?channel=x&channel=y&']) {
                const { status, body } = await raw(s.gw[0], `${path}${name}=${value}`);
                assert.equal(status, 400, `${path}${name}=${value}`);
                assert.match(JSON.parse(body).error, new RegExp(`^${name} must be `));
            }
    const stream = await openStream(`${s.gw[0].url}/channels/x?limit=0&wait=1000`);
    assert.equal(stream.status, 200, 'a stream has neither');
    stream.close();
});

test('a client that hangs up while it waits is gone soon', async () => {
    const [gw] = s.gw;
    const sockets = Array.from({ length: 10 }, () => {
        const socket = net.connect(gw.port, '127.0.0.1');
        socket.write('GET /channels/gone?wait=60 HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\n\r\n');
        return socket;
    });
    await gw.waitMetric('sse_streams', 10);
    sockets.forEach(socket => socket.destroy());
    await gw.waitMetric('sse_streams', 0, { ms: 5000 });
    await s.redis.subscribed('gone', 0);
});

test('a drain answers those who wait, with nothing', async () => {
    const own = await Stack.start({ env: { DRAIN_SECONDS: 1 } });
    const waiting = Array.from({ length: 20 }, () => poll(own.gw[0], '/channels/drained?wait=60'));
    await own.gw[0].waitMetric('sse_streams', 20);
    await own.redis.subscribed('drained', 1);
    const stopped = own.gw[0].kill('SIGTERM');
    for (const answer of await Promise.all(waiting))
        assert.deepEqual(answer.events, []);
    await stopped;
    await own.stop();
});

test('while Redis is away the answer is 503 within seconds, and comes when it is back', async () => {
    const own = await Stack.start({});
    await own.redis.kill();
    await until('it is away', async () => (await own.gw[0].ready()).status === 503);
    const start = Date.now();
    const { status, headers } = await raw(own.gw[0], '/channels/away?wait=1');
    assert.deepEqual([status, headers['retry-after']], [503, '1']);
    assert.ok(Date.now() - start < 8000 * Number(process.env.TEST_TIME_SCALE ?? 1), `${Date.now() - start} ms`);
    await own.redis.start();
    await until('it is back', async () => (await own.gw[0].ready()).status === 200);
    assert.deepEqual((await poll(own.gw[0], '/channels/away?wait=1')).events, []);
    await own.stop();
});
