// Last-Event-ID: everything after that event, oldest first, then live, at any replica; and a gap where that can't be had.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { ROOT, Stack, until } from './stack.mjs';
import { eventId } from './resume_matrix.mjs';
import { H2, openStream, request } from './sse.mjs';

// The second gateway keeps next to nothing in memory, so that whatever it replays comes from Redis.
const s = await Stack.start({ gateways: 2, tls: true, env: { HISTORY_LEN: '3000' }, gatewayEnv: [{}, { RING_LEN: '5' }] });

async function publish(channel, data, ...options) {
    const [id] = await s.redis.command(['FCALL', 'sse_publish', '1', `sse:${channel}`, String(data), 'maxlen', '3000', ...options]);
    return id;
}

async function publishMany(channel, count, from = 0) {
    const ids = [];
    for (let i = 0; i < count; ++i)
        ids.push(await publish(channel, from + i));
    return ids;
}

const resume = (gw, path, id) => openStream(gw.url + path, { headers: { 'last-event-id': id } });
const numbers = events => events.map(event => Number(event.data));
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);

// The next `count` events are these numbers, and then one published now: nothing more, nothing twice.
async function expectThenLive(stream, channel, want, live) {
    assert.deepEqual(numbers(await stream.take(want.length, 20000)), want);
    await publish(channel, live);
    assert.equal((await stream.next()).data, String(live));
    stream.close();
}

for (const [i, gw] of s.gw.entries()) {
    const where = i === 0 ? 'from memory' : 'from Redis';

    test(`a stream resumes after its last id, then goes on live, ${where}`, async () => {
        const ids = await publishMany(`near${i}`, 20);
        await expectThenLive(await resume(gw, `/channels/near${i}`, ids[4]), `near${i}`, range(5, 20), 20);
    });

    test(`the newest id resumes with new events only, ${where}`, async () => {
        const ids = await publishMany(`newest${i}`, 3);
        await expectThenLive(await resume(gw, `/channels/newest${i}`, ids[2]), `newest${i}`, [], 3);
    });

    test(`a history longer than one read is replayed whole, ${where}`, async () => {
        const ids = await publishMany(`long${i}`, 2500);
        await expectThenLive(await resume(gw, `/channels/long${i}`, ids[0]), `long${i}`, range(1, 2500), 2500);
    });

    test(`an id of the author's own is found, ${where}`, async () => {
        await publish(`own${i}`, 0, 'id', 'order-17');
        await publishMany(`own${i}`, 30, 1);
        await expectThenLive(await resume(gw, `/channels/own${i}`, 'order-17'), `own${i}`, range(1, 31), 31);
    });

    test(`the position a fresh stream begins with is one to resume from, ${where}`, async () => {
        await publishMany(`place${i}`, 3);
        const fresh = await openStream(`${gw.url}/channels/place${i}`);
        const id = /^id: (\S+)\n/.exec(await fresh.nextFrame())[1];
        fresh.close();
        await publishMany(`place${i}`, 3, 3);
        await expectThenLive(await resume(s.gw[1 - i], `/channels/place${i}`, id), `place${i}`, [3, 4, 5], 6);
    });

    test(`the position of a channel without history, too, ${where}`, async () => {
        const fresh = await openStream(`${gw.url}/channels/empty${i}`);
        const id = /^id: (\S+)\n/.exec(await fresh.nextFrame())[1];
        fresh.close();
        await publishMany(`empty${i}`, 3);
        await expectThenLive(await resume(s.gw[1 - i], `/channels/empty${i}`, id), `empty${i}`, [0, 1, 2], 3);
    });

    test(`?last=N reaches as far as the history, ${where}`, async () => {
        await publishMany(`last${i}`, 40);
        const stream = await openStream(`${gw.url}/channels/last${i}?last=25`);
        await expectThenLive(stream, `last${i}`, range(15, 40), 40);
    });

    test(`several channels resume in one order, each event once, ${where}`, async () => {
        const ids = [];
        for (let n = 0; n < 60; ++n) {
            ids.push(await publish(`many${i}.${n % 3}`, n));
            await new Promise(resolve => setTimeout(resolve, 2)); // events of one millisecond could not be told apart
        }
        const path = `/subscribe?channel=many${i}.0&channel=many${i}.1&channel=many${i}.2`;
        await expectThenLive(await resume(gw, path, ids[20]), `many${i}.1`, range(21, 60), 60);
    });
}

test('a resumed stream begins with neither a position frame nor a letter nor the current rate', async () => {
    for (const [path, channel, first = 'event: message\n'] of [['/channels/bare', 'bare', ''], ['/sse', 'letters'], ['/exchange_rates/usd_eur', 'usd_eur'], ['/post', 'post'],
        ['/events', 'counter'], ['/subscribe?channel=bare2', 'bare2', '']]) {
        const ids = [await publish(channel, 1), await publish(channel, 2)];
        const stream = await resume(s.gw[0], path, ids[0]);
        assert.match(await stream.nextFrame(), new RegExp(`^${first}data: 2\nid: `), path);
        stream.close();
    }
});

test('last_event_id in the query is for clients that can set no header; the header wins; an empty one is none', async () => {
    const ids = await publishMany('query', 5);
    const url = `${s.gw[0].url}/channels/query`;
    const byQuery = await openStream(`${url}?last_event_id=${ids[2]}`);
    assert.deepEqual(numbers(await byQuery.take(2)), [3, 4]);
    const both = await openStream(`${url}?last_event_id=${ids[0]}`, { headers: { 'last-event-id': ids[3] } });
    assert.deepEqual(numbers(await both.take(1)), [4]);
    const withLast = await openStream(`${url}?last=5&last_event_id=${ids[3]}`);
    assert.deepEqual(numbers(await withLast.take(1)), [4]);
    const empty = await openStream(`${url}?last_event_id=`);
    assert.match(await empty.nextFrame(), /^id: \S+\nretry: 6000\n\n$/);
    [byQuery, both, withLast, empty].forEach(stream => stream.close());
});

test('a last event id that is too long or holds a NUL is 400', async () => {
    for (const id of ['x'.repeat(201), '%00'])
        assert.equal((await request(`${s.gw[0].url}/channels/a?last_event_id=${id}`)).status, 400);
});

test('an unknown id gets a gap, with a position to resume from', async () => {
    await publishMany('unknown', 3);
    for (const id of ['never-seen', '4f0e2c6e-9d4c-4b7e-8a55-0c2f1a9b3d7e']) {
        const stream = await resume(s.gw[0], '/channels/unknown', id);
        const gap = await stream.next();
        assert.equal(gap.type, 'gap');
        assert.deepEqual(JSON.parse(gap.data), { channel: 'unknown', last_event_id: id });
        stream.close();
        const again = await resume(s.gw[1], '/channels/unknown', gap.lastEventId);
        await expectThenLive(again, 'unknown', [], 3);
    }
});

test('an id that the gateway has never heard of is no gap when Redis has it', async () => {
    const holder = await openStream(`${s.gw[0].url}/channels/ahead`);
    await holder.nextFrame();
    s.gw[0].pause();
    const ids = await publishMany('ahead', 3);
    const pending = resume(s.gw[0], '/channels/ahead', ids[1]);
    s.gw[0].resume();
    await expectThenLive(await pending, 'ahead', [2], 3);
    holder.close();
});

test('a lost part of the history gives a gap, then the rest follows', async () => {
    const first = await publish('trimmed', 0);
    await publishMany('trimmed', 10, 1);
    await s.redis.command(['XTRIM', '{sse:trimmed}:log', 'MAXLEN', '4']);
    for (const gw of s.gw) {
        const stream = await resume(gw, '/channels/trimmed', first);
        const gap = await stream.next();
        assert.equal(gap.type, 'gap');
        assert.deepEqual(JSON.parse(gap.data), { channel: 'trimmed', last_event_id: first });
        assert.deepEqual(numbers(await stream.take(4)), [7, 8, 9, 10]);
        stream.close();
    }
});

// What it leaves behind the address sanitizer tells at the gateway's end.
test('a client that leaves in the middle of a replay, with a gap still to come, leaves nothing behind', async () => {
    const first = await publish('left', 0), gw = s.gw[1];
    await publishMany('left-trimmed', 3);
    for (let i = 0; i < 300; ++i)
        await publish('left', 'x'.repeat(50000)); // more than the sockets of a client that reads nothing hold
    await publishMany('left-trimmed', 2, 3);
    await s.redis.command(['XTRIM', '{sse:left-trimmed}:log', 'MAXLEN', '1']);
    const socket = net.connect(gw.port, '127.0.0.1').pause();
    socket.write(`GET /subscribe?channel=left&channel=left-trimmed HTTP/1.1\r\nhost: localhost\r\nlast-event-id: ${first}\r\n\r\n`);
    let before = -1;
    await until('no more can be written', async () => {
        const written = await gw.metric('sse_sent_bytes_total'), queued = await gw.metric('sse_queued_bytes');
        const still = written === before && queued > 0;
        before = written;
        return still;
    });
    socket.destroy();
    await gw.waitMetric('sse_streams', 0);
    const whole = await resume(gw, '/subscribe?channel=left&channel=left-trimmed', first);
    const got = (await whole.take(302, 20000)).map(({ type, data }) => [type, data.length > 1000 ? data.length : data]);
    assert.equal(got.filter(([type, data]) => type === 'message' && data === 50000).length, 300);
    // Events of two channels that fall in the same millisecond have no order: only that of each channel is promised.
    assert.deepEqual(got.filter(([, data]) => data !== 50000),
        [['gap', JSON.stringify({ channel: 'left-trimmed', last_event_id: first })], ['message', '4']]);
    whole.close();
});

test('a replay reads large events from Redis about once, however many pages they take', async () => {
    const first = await publish('large', 0);
    for (let i = 0; i < 200; ++i)
        await publish('large', 'x'.repeat(50000));
    const output = async () => Number(/total_net_output_bytes:(\d+)/.exec(await s.redis.command(['INFO', 'stats']))[1]);
    const before = await output();
    const stream = await resume(s.gw[1], '/channels/large', first);
    await stream.take(200, 20000);
    const read = await output() - before;
    assert.ok(read < 4 * 200 * 50000, `${read} bytes`);
    stream.close();
});

test('a trimmed history whose rest begins right after the last id is no gap', async () => {
    const ids = await publishMany('cut', 10);
    await s.redis.command(['XTRIM', '{sse:cut}:log', 'MAXLEN', '4']);
    for (const gw of s.gw) {
        const stream = await resume(gw, '/channels/cut', ids[5]);
        assert.deepEqual((await stream.take(4)).map(event => [event.type, event.data]), [6, 7, 8, 9].map(n => ['message', String(n)]));
        stream.close();
    }
});

test('HTTP/2 streams resume as well', async () => {
    const ids = await publishMany('h2', 10);
    const h2 = await H2.connect(s.gw[0].httpsUrl);
    const stream = await h2.open('/channels/h2', { headers: { 'last-event-id': ids[3] } });
    assert.deepEqual(numbers(await stream.take(6)), range(4, 10));
    h2.close();
});

test('a hundred clients that resume at once share the reads of the history, and each gets everything', async () => {
    const ids = await publishMany('herd', 500);
    const before = await s.gw[0].metric('sse_history_reads_total');
    const streams = await Promise.all(range(0, 100).map(n => resume(s.gw[0], '/channels/herd', ids[n])));
    for (const [n, stream] of streams.entries())
        assert.deepEqual(numbers(await stream.take(499 - n, 20000)), range(n + 1, 500));
    assert.ok(await s.gw[0].metric('sse_history_reads_total') - before < 20, 'the answers are of moderate size, and few');
    streams.forEach(stream => stream.close());
});

test('a history deleted under the gateway, with the clock set back, is followed again', async () => {
    await publishMany('reborn', 3);
    const stream = await openStream(`${s.gw[0].url}/channels/reborn`);
    await stream.nextFrame();
    const far = Date.now() + 3600000;
    await s.redis.command(['XADD', '{sse:reborn}:log', `${far}-0`, 'by', 'hand']);
    await publish('reborn', 3);
    assert.equal((await stream.next()).data, '3');
    await s.redis.command(['DEL', '{sse:reborn}:log']);
    await publish('reborn', 4);
    assert.equal((await stream.next()).data, '4');
    stream.close();
});

test('somebody else\'s entry in the stream is passed over', async () => {
    const ids = await publishMany('alien', 2);
    await s.redis.command(['XADD', '{sse:alien}:log', '*', 'm', '\x1esse1 rubbish']);
    await s.redis.command(['XADD', '{sse:alien}:log', '*', 'other', 'field']);
    await publishMany('alien', 2, 2);
    for (const gw of s.gw)
        await expectThenLive(await resume(gw, '/channels/alien', ids[0]), 'alien', gw === s.gw[0] ? [1, 2, 3] : [1, 2, 3, 9], 9);
});

test('a history of somebody else\'s entries alone: no gap behind the newest event, and one behind all others', async () => {
    const ids = await publishMany('alone', 3), log = '{sse:alone}:log', lost = eventId('alone', Date.now() + 1);
    await s.redis.command(['XADD', log, `${Date.now() + 2}-0`, 'm', 'by hand']);
    await s.redis.command(['XTRIM', log, 'MAXLEN', '1']);
    for (const gw of s.gw) {
        const [all, some, other] = await Promise.all([ids[2], ids[1], lost].map(id => resume(gw, '/channels/alone', id)));
        for (const stream of [some, other])
            assert.equal((await stream.next()).type, 'gap');
        await publish('alone', gw.url);
        assert.equal((await all.next()).data, gw.url);
        [all, some, other].forEach(stream => stream.close());
        ids[2] = (await s.redis.command(['XREVRANGE', log, '+', '-', 'COUNT', '1']))[0][1][1].match(/\nid: (.*)\n/)[1];
        await s.redis.command(['XADD', log, '*', 'm', 'by hand']);
        await s.redis.command(['XTRIM', log, 'MAXLEN', '1']);
    }
});

test('a history deleted while the gateway still has its newest events in memory: those follow the gap', async () => {
    const ids = await publishMany('gone', 3);
    const holder = await openStream(`${s.gw[1].url}/channels/gone`);
    await holder.nextFrame();
    await publishMany('gone', 12, 3);
    await holder.take(12);
    await s.redis.command(['DEL', '{sse:gone}:log']);
    const stream = await resume(s.gw[1], '/channels/gone', ids[0]);
    const gap = await stream.next();
    assert.deepEqual([gap.type, JSON.parse(gap.data)], ['gap', { channel: 'gone', last_event_id: ids[0] }]);
    assert.deepEqual(numbers(await stream.take(5)), range(10, 15));
    [holder, stream].forEach(open => open.close());
});

test('thousands of entries of somebody else between two events do not stop a replay', async () => {
    const [first] = await publishMany('strangers', 1);
    const client = s.redis;
    await Promise.all(range(0, 2200).map(() => client.command(['XADD', '{sse:strangers}:log', '*', 'by', 'hand'])));
    await publish('strangers', 1);
    for (const gw of s.gw)
        await expectThenLive(await resume(gw, '/channels/strangers', first), 'strangers', gw === s.gw[0] ? [1] : [1, 2], 2);
});

test('a stream that begins with old events can be taken up before the first of them came', async () => {
    for (let n = 0; n < 10; ++n) {
        await publish('cutoff', n);
        await new Promise(resolve => setTimeout(resolve, 2));
    }
    for (const [gw, path, channel] of [[s.gw[0], '/channels/cutoff?last=4', 'cutoff'], [s.gw[1], '/channels/cutoff?last=8', 'cutoff'],
        [s.gw[0], '/subscribe?channel=cutoff&channel=quiet&last=4', 'cutoff']]) {
        const n = Number(/\d+$/.exec(path)[0]);
        const fresh = await openStream(gw.url + path);
        const id = /^id: (\S+)\nretry: 6000\n\n$/.exec(await fresh.nextFrame())[1];
        assert.deepEqual(numbers(await fresh.take(n)), range(10 - n, 10));
        fresh.close();
        const again = await resume(gw, path.replace(/[?&]last=\d+$/, ''), id);
        assert.deepEqual(numbers(await again.take(n)), range(10 - n, 10), channel);
        again.close();
    }
});

test('four hundred clients with unknown ids, and with one that many share, cause few scans; ids that were not found are remembered', async () => {
    const channel = 'scanned', gw = s.gw[1]; // its ring holds 5 events
    await publish(channel, 'first', 'id', 'far back');
    await publishMany(channel, 600);
    const warm = await openStream(`${gw.url}/channels/${channel}?last=1`);
    await warm.next();
    const before = await gw.metric('sse_history_reads_total');
    const ids = range(0, 400).map(n => (n % 2 === 0 ? 'no-such-id' : `no-such-id-${n}`));
    const streams = await Promise.all(ids.map(id => openStream(`${gw.url}/channels/${channel}?last_event_id=${id}`)));
    for (const [n, stream] of streams.entries()) {
        assert.deepEqual(JSON.parse((await stream.next()).data), { channel, last_event_id: ids[n] });
        stream.close();
    }
    const pages = Math.ceil(600 / 64); // of one scan, see history.h; the clients come over a while, so there are a few
    const reads = await gw.metric('sse_history_reads_total') - before;
    assert.ok(reads <= 20 * pages, `${reads} reads`);
    const then = await gw.metric('sse_history_reads_total');
    for (let i = 0; i < 20; ++i)
        (await openStream(`${gw.url}/channels/${channel}?last_event_id=no-such-id`)).close();
    assert.ok(await gw.metric('sse_history_reads_total') - then <= 5, 'an unknown id is remembered');
    await publish(channel, 'here it is', 'id', 'no-such-id');
    await publish(channel, 'and what follows');
    const found = await openStream(`${gw.url}/channels/${channel}?last_event_id=no-such-id`);
    assert.deepEqual((await found.take(1)).map(event => event.data), ['and what follows']);
    const back = await openStream(`${gw.url}/channels/${channel}?last_event_id=far%20back`);
    assert.deepEqual(numbers(await back.take(600, 20000)), range(0, 600));
    [warm, found, back].forEach(stream => stream.close());
});

// As version 1.0 let them in: XADD and PUBLISH by hand, as sse_publish did it. Its library takes the place of this one, which forgets what it knows of the channel.
async function publishAs10(channel, data, id) {
    const [newest] = await s.redis.command(['XREVRANGE', `{sse:${channel}}:log`, '+', '-', 'COUNT', '1']);
    const [seconds, us] = await s.redis.command(['TIME']);
    const at = `${Number(seconds) * 1000 + Math.floor(Number(us) / 1000)}-9`;
    const payload = `\x1esse1 ${at} ${newest?.[0] ?? '0-0'}\nevent: message\ndata: ${data}\nid: ${id}\nretry: 6000\n\n`;
    await s.redis.command(['XADD', `{sse:${channel}}:log`, at, 'm', payload]);
    await s.redis.command(['PUBLISH', `sse:${channel}`, payload]);
    await s.redis.command(['FUNCTION', 'LOAD', 'REPLACE', readFileSync(join(ROOT, 'proto/bus/sse.lua'))]);
}

test('an id of the form of a far time, or of a far event of another channel, that an author of 1.0 gave does not silence the other channels', async () => {
    for (const [n, id] of ['80000000-0000-4000-8000-d6c33c6ef35f', eventId('forged1b', Date.now() + 3600000)].entries()) {
        const [a, b] = [`forged${n}a`, `forged${n}b`], path = `/subscribe?channel=${a}&channel=${b}`;
        await publish(a, 'a1');
        await publish(b, 'b1');
        await new Promise(resolve => setTimeout(resolve, 2)); // events of one millisecond could not be told apart
        await publishAs10(a, 'a2', id);
        await new Promise(resolve => setTimeout(resolve, 2));
        await publish(b, 'b2');
        await publish(a, 'a3');
        for (const gw of s.gw) {
            const stream = await resume(gw, path, id);
            assert.deepEqual((await stream.take(2)).map(event => event.data).sort(), ['a3', 'b2']); // perhaps in one millisecond
            stream.close();
        }
    }
});
