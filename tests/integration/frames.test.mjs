// The forms of an event: lean on /channels and /subscribe, as version 1 wrote it on the four routes, in an envelope where that is asked for; from either version of the function.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack, quiet } from './stack.mjs';
import { eventId } from './resume_matrix.mjs';
import { H2, openStream, request } from './sse.mjs';

// The second gateway keeps next to nothing in memory, so that whatever it replays comes from Redis.
const s = await Stack.start({ gateways: 2, tls: true, gatewayEnv: [{}, { RING_LEN: '1' }] });
const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}';
const DEMO = { '/sse': 'letters', '/post': 'post', '/events': 'counter', '/exchange_rates/usd_eur': 'usd_eur' };

// An entry as any author may write it; `lines` as the function of version 1 or 2 does.
async function entry(channel, lines) {
    const [newest] = await s.redis.command(['XREVRANGE', `{sse:${channel}}:log`, '+', '-', 'COUNT', '1']);
    const ms = Math.max(Date.now(), newest === undefined ? 0 : Number(newest[0].split('-')[0]) + 1);
    const at = `${ms}-0`, id = eventId(channel, ms);
    const payload = `\x1esse1 ${at} ${newest?.[0] ?? '0-0'}\n${lines.replace('ID', id)}\n`;
    await s.redis.command(['XADD', `{sse:${channel}}:log`, at, 'm', payload]);
    await s.redis.publish(channel, payload);
    return id;
}

const V1 = 'event: message\ndata: DATA\nid: ID\nretry: 6000\n', V2 = 'data: DATA\nid: ID\n';

// The events' bytes, without comments and the first frame of `skip`.
const body = (stream, skip = 0) => stream.text.replaceAll(':\n', '').split('\n\n').slice(skip).join('\n\n');

for (const [version, lines] of [[1, V1], [2, V2]]) {
    for (const [i, gw] of s.gw.entries())
        test(`an event of version ${version}, gateway ${i}: live and from the history /channels has two lines of it, and the routes of version 1 all four`, async () => {
            for (const [path, channel] of [[`/channels/two${version}${i}`, `two${version}${i}`], [`/subscribe?channel=three${version}${i}&channel=none`, `three${version}${i}`],
                ...Object.entries(DEMO)]) {
                const first = await entry(channel, lines.replace('DATA', '0'));
                const live = await openStream(gw.url + path, { headers: { 'last-event-id': first } });
                const want = [];
                for (const data of ['1', '2', '3'])
                    want.push((path in DEMO ? V1 : V2).replace('DATA', data).replace('ID', await entry(channel, lines.replace('DATA', data))));
                await live.take(3);
                assert.equal(body(live), `${want.join('\n')}\n`, `${path}, live`);
                const again = await openStream(gw.url + path, { headers: { 'last-event-id': first } });
                await again.take(3);
                assert.equal(body(again), `${want.join('\n')}\n`, `${path}, again`);
                live.close(), again.close();
            }
        });
}

test('what an author set goes out on every route: a type, a reconnect time', async () => {
    const paths = ['/post', '/channels/post', '/subscribe?channel=post'];
    const streams = await Promise.all(paths.map(path => openStream(`${s.gw[0].url}${path}`)));
    await s.redis.subscribed('post');
    const id = await entry('post', 'event: greeting\ndata: a\nid: ID\nretry: 70\n');
    const late = await entry('post', 'data: b\nid: ID\nretry: 86400000\n');
    for (const [i, stream] of streams.entries()) {
        await stream.take(2);
        const type = i === 0 ? 'event: message\n' : '';
        assert.equal(body(stream, i === 0 ? 0 : 1), `event: greeting\ndata: a\nid: ${id}\nretry: 70\n\n${type}data: b\nid: ${late}\nretry: 86400000\n\n`, paths[i]);
        stream.close();
    }
});

test('an event of 45 bytes of data and no type takes at most 95 bytes', async () => {
    const stream = await openStream(`${s.gw[0].url}/channels/small`);
    await stream.nextFrame();
    await s.post('small', 'x'.repeat(45), { headers: { 'content-type': 'text/plain' } });
    const frame = await stream.nextFrame();
    assert.ok(frame.length <= 95, `${frame.length}: ${frame}`);
    assert.match(frame, /^data: x{45}\n/);
    stream.close();
});

test('one channel in all forms at once, on all transports, with many events that leave together', async () => {
    const h2 = await H2.connect(s.gw[0].httpsUrl);
    const open = async path => [await openStream(s.gw[0].url + path), await openStream(s.gw[0].httpsUrl + path), await h2.open(path)];
    const groups = await Promise.all(['/post', '/channels/post', '/channels/post?envelope=1', '/subscribe?channel=post&channel=other', '/subscribe?channel=post&channel=other&envelope=1'].map(open));
    await s.redis.command(['EVAL', "for i = 1, 500 do redis.call('PUBLISH', 'sse:post', 'n' .. i) end", '0']);
    const wanted = n => [`event: message\ndata: n${n}\n`, `data: n${n}\n`, `data: {"channel":"post","data":"n${n}"}\n`, `data: n${n}\n`, `data: {"channel":"post","data":"n${n}"}\n`];
    for (const [g, group] of groups.entries())
        for (const stream of group) {
            await stream.take(500);
            assert.equal(body(stream, g === 0 ? 0 : 1), Array.from({ length: 500 }, (_, i) => `${wanted(i + 1)[g]}\n`).join(''));
            stream.close();
        }
    h2.close();
});

test('an envelope names the channel of each event, live and again, and its type where there is one', async () => {
    for (const gw of s.gw) {
        const [a, b] = [`a/${gw.port}`, `b/${gw.port}`];
        const path = `/subscribe?channel=${a}&channel=${b}&envelope=1`;
        const live = await openStream(gw.url + path);
        const place = /^id: (\S+)\nretry: 6000\n\n$/.exec(await live.nextFrame())[1];
        await s.post(a, '{"n":1}', { headers: { 'content-type': 'application/json', 'sse-event': 'note' } });
        await s.post(b, 'two "lines"\nof text', { headers: { 'content-type': 'text/plain' } });
        await s.redis.publish(a, Buffer.from([0xff]));
        const want = [{ channel: a, event: 'note', data: '{"n":1}' }, { channel: b, data: 'two "lines"\nof text' }];
        const got = await live.take(3);
        assert.deepEqual(got.map(event => JSON.parse(event.data)), [...want, { channel: a, data: '\ufffd' }]);
        assert.ok(got.every(event => event.type === 'message'));
        const again = await openStream(`${gw.url}${path}&last_event_id=${place}`);
        assert.deepEqual((await again.take(2)).map(event => JSON.parse(event.data)), want);
        assert.deepEqual(again.events.map(event => event.lastEventId), got.slice(0, 2).map(event => event.lastEventId));
        live.close(), again.close();
    }
});

test('a gap is in an envelope, too', async () => {
    const stream = await openStream(`${s.gw[0].url}/channels/lost?envelope=1&last_event_id=no-such-id`);
    const { type, data } = await stream.next(), { channel, event, data: inside } = JSON.parse(data);
    assert.deepEqual([type, channel, event, JSON.parse(inside)], ['message', 'lost', 'gap', { channel: 'lost', last_event_id: 'no-such-id' }]);
    stream.close();
});

test('place=0 leaves the place frame out; place=1 does not', async () => {
    const [without, twice, withPlace] = await Promise.all(['/channels/p?place=0', '/subscribe?channel=p&channel=q&place=0', '/channels/p?place=1']
        .map(path => openStream(s.gw[0].url + path)));
    assert.match(await withPlace.nextFrame(), new RegExp(`^id: ${UUID}\nretry: 6000\n\n$`));
    await s.redis.publish('p', 'first');
    for (const stream of [without, twice]) {
        await stream.next();
        assert.equal(stream.text, ':\ndata: first\n\n');
    }
    [without, twice, withPlace].forEach(stream => stream.close());
});

test('gap=close: a request that starts with a gap is 410, and others go on', async () => {
    for (const path of ['/channels/lost', '/subscribe?channel=lost&channel=other']) {
        const sep = path.includes('?') ? '&' : '?';
        const answer = await request(`${s.gw[0].url}${path}${sep}gap=close&last_event_id=no-such-id`);
        assert.equal(answer.status, 410, path);
        assert.match(JSON.parse(answer.body).error, /gap=close/);
        const h2 = await H2.connect(s.gw[0].httpsUrl);
        assert.equal((await h2.request(`${path}${sep}gap=close&last_event_id=no-such-id`)).status, 410);
        h2.close();
    }
    const stream = await openStream(`${s.gw[0].url}/channels/lost?gap=event&last_event_id=no-such-id`);
    assert.equal((await stream.next()).type, 'gap');
    stream.close();
    await s.gw[0].waitMetric('sse_stream_closes_total', 4, { labels: { reason: 'gap' } });
});

test('gap=close: a history that lost its middle behind the first events ends the stream there, in order', async () => {
    const [gw] = s.gw;
    const { id: first } = await s.post('middle', 'first', { headers: { 'content-type': 'text/plain' } });
    await s.post('middle2', 'one', { headers: { 'content-type': 'text/plain' } });
    await s.post('middle', 'lost', { headers: { 'content-type': 'text/plain' } });
    await quiet(5);
    await s.post('middle2', 'two', { headers: { 'content-type': 'text/plain' } });
    await quiet(5);
    await s.post('middle', 'last', { headers: { 'content-type': 'text/plain' } });
    await s.redis.command(['XTRIM', '{sse:middle}:log', 'MAXLEN', '1']);
    const path = `/subscribe?channel=middle&channel=middle2&last_event_id=${first}`;
    const [told, closed] = await Promise.all(['', '&gap=close'].map(more => openStream(gw.url + path + more)));
    const events = await told.take(4);
    const gap = events.findIndex(event => event.type === 'gap');
    assert.ok(gap > 0, JSON.stringify(events));
    assert.equal(await closed.closed, 'end');
    assert.deepEqual(closed.events, events.slice(0, gap));
    told.close();
});

test('gap=close: an open stream ends where others are told, each after all that came before', async () => {
    const own = await Stack.start({ gateways: 1 });
    const [gw] = own.gw;
    const paths = ['/channels/open', '/channels/open?gap=close', '/subscribe?channel=open&channel=other&gap=close&envelope=1'];
    const streams = await Promise.all(paths.map(path => openStream(gw.url + path)));
    await Promise.all(streams.map(stream => stream.nextFrame()));
    await own.redis.command(['FCALL', 'sse_publish', '1', 'sse:open', 'before']);
    for (const stream of streams)
        await stream.next();
    // An event whose two predecessors nobody will ever see.
    const [[at]] = await own.redis.command(['XREVRANGE', '{sse:open}:log', '+', '-', 'COUNT', '1']);
    const ms = Number(at.split('-')[0]) + 10, payload = `\x1esse1 ${ms}-0 ${ms - 1}-0\ndata: after\nid: ${eventId('open', ms)}\n\n`;
    await own.redis.command(['XADD', '{sse:open}:log', 'MAXLEN', '1', `${ms}-0`, 'm', payload]);
    await own.redis.publish('open', payload);
    assert.deepEqual((await streams[0].take(2)).map(event => event.type), ['gap', 'message']);
    for (const stream of streams.slice(1)) {
        assert.equal(await stream.closed, 'end');
        assert.equal(stream.events.length, 1);
    }
    await gw.waitMetric('sse_stream_closes_total', 2, { labels: { reason: 'gap' } });
    streams[0].close();
});

test('bad values are 400 and name the parameter; the routes of version 1 know none of these', async () => {
    for (const [query, name] of [['place=2', 'place'], ['place=', 'place'], ['place=00', 'place'], ['place=0%00', 'place'], ['gap=1', 'gap'], ['gap=', 'gap'], ['gap=Close', 'gap'], ['gap=close%20', 'gap'],
        ['envelope=true', 'envelope'], ['envelope=', 'envelope'], ['envelope=-1', 'envelope'], ['envelope=1&envelope=2', 'envelope'], ['place', 'place'], ['gap', 'gap'], ['envelope', 'envelope']])
        for (const path of ['/channels/x?', '/subscribe?channel=x&']) {
            const { status, body: text } = await request(`${s.gw[0].url}${path}${query}`);
            assert.equal(status, 400, query);
            assert.match(JSON.parse(text).error, new RegExp(`^${name} must be `));
        }
    const stream = await openStream(`${s.gw[0].url}/sse?place=0&gap=close&envelope=1&last=1`);
    assert.match(await stream.nextFrame(), /^event: message\ndata: \{"msg":"a"\}\nid: \S+\nretry: 6000\n\n$/);
    stream.close();
});
