// Every stream route of the HTTP contract: its head, its first frame, and the same events on both gateways.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack, quiet, until } from './stack.mjs';
import { Raw } from './raw.mjs';
import { openStream } from './sse.mjs';

const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}';
const FIRST_LETTER = new RegExp(`^event: message\ndata: \\{"msg":"a"\\}\nid: ${UUID}\nretry: 6000\n\n$`);
const LETTER = new RegExp(`^event: message\ndata: \\{"msg":"[a-z]"\\}\nid: ${UUID}\nretry: 6000\n\n$`);
const COUNT = new RegExp(`^event: message\ndata: [1-9][0-9]*\nid: ${UUID}\nretry: 6000\n\n$`);
const POSITION = new RegExp(`^id: ${UUID}\nretry: 6000\n\n$`);

const s = await Stack.start({ gateways: 2, env: { TICKERS: 'letters:250,counter:200,usd_eur:100' } });
const quietStack = await Stack.start({ gateways: 2 });

test('a plus in the query is part of a channel\'s name, as it is in a path', async () => {
    const { gw: [gw] } = quietStack;
    const by = await Promise.all(['/channels/c++', '/subscribe?channel=c++', '/subscribe?channel=c%2B%2B&channel=other'].map(path => openStream(gw.url + path)));
    assert.deepEqual(by.map(stream => stream.status), [200, 200, 200]);
    await quietStack.redis.command(['FCALL', 'sse_publish', 1, 'sse:c++', 'compiled']);
    for (const stream of by) {
        assert.equal((await stream.next()).data, 'compiled');
        stream.close();
    }
    assert.equal((await openStream(`${gw.url}/subscribe?channel=c%20`)).status, 400, 'a space is none');
});

test('a stream has exactly the head that the contract names', async () => {
    for (const path of ['/sse', '/post', '/events', '/exchange_rates/usd_eur', '/channels/news', '/subscribe?channel=a']) {
        const stream = await openStream(s.gw[0].url + path);
        assert.equal(stream.status, 200, path);
        assert.equal(stream.headers['content-type'], 'text/event-stream; charset=utf-8', path);
        assert.equal(stream.headers['cache-control'], 'no-store, no-transform', path);
        assert.equal(stream.headers['x-accel-buffering'], 'no', path);
        assert.equal(stream.headers['content-length'], undefined, path);
        stream.close();
    }
});

test('/sse sends {"msg":"a"} at once, byte for byte, without waiting for a letter', async () => {
    for (const gw of quietStack.gw) {
        const stream = await openStream(`${gw.url}/sse`);
        assert.match(await stream.nextFrame(1000), FIRST_LETTER);
        stream.close();
    }
});

test('/sse then sends the same random letters on both gateways', async () => {
    const streams = await Promise.all(s.gw.map(gw => openStream(`${gw.url}/sse`)));
    for (const stream of streams)
        assert.match(await stream.nextFrame(), FIRST_LETTER);
    const both = await Promise.all(streams.map(stream => stream.take(8).then(events => events.slice(1))));
    const from = both[1].findIndex(event => event.lastEventId === both[0][0].lastEventId);
    const skip = both[0].findIndex(event => event.lastEventId === both[1][0].lastEventId);
    const [a, b] = from >= 0 ? [both[0], both[1].slice(from)] : [both[0].slice(skip), both[1]];
    const common = Math.min(a.length, b.length);
    assert.ok(common >= 4, `only ${common} letters in common`);
    assert.deepEqual(a.slice(0, common), b.slice(0, common));
    for (const stream of streams) {
        for (const frame of stream.frames.slice(1))
            assert.match(frame, LETTER);
        const ids = stream.events.map(event => event.lastEventId);
        assert.equal(new Set(ids).size, ids.length, 'an id came twice');
        stream.close();
    }
});

test('letters are random: twenty of them are not all alike', async () => {
    const stream = await openStream(`${s.gw[0].url}/sse`);
    const letters = (await stream.take(21, 20000)).slice(1).map(event => JSON.parse(event.data).msg);
    assert.ok(new Set(letters).size > 3, letters.join(''));
    stream.close();
});

test('/events counts up by one, the same on both gateways', async () => {
    const streams = await Promise.all(s.gw.map(gw => openStream(`${gw.url}/events`)));
    const counts = await Promise.all(streams.map(stream => stream.take(5)));
    for (const [i, events] of counts.entries()) {
        const numbers = events.map(event => Number(event.data));
        assert.deepEqual(numbers, numbers.map((_, k) => numbers[0] + k));
        for (const frame of streams[i].frames)
            assert.match(frame, COUNT);
    }
    const ids = new Map(counts[0].map(event => [event.data, event.lastEventId]));
    const shared = counts[1].filter(event => ids.has(event.data));
    assert.ok(shared.length >= 2);
    for (const event of shared)
        assert.equal(event.lastEventId, ids.get(event.data));
    streams.forEach(stream => stream.close());
});

test('/exchange_rates/usd_eur sends an event only when the rate changed', async () => {
    const stream = await openStream(`${s.gw[0].url}/exchange_rates/usd_eur`);
    const rates = (await stream.take(6, 30000)).map(event => event.data);
    for (let i = 1; i < rates.length; ++i)
        assert.notEqual(rates[i], rates[i - 1]);
    for (const rate of rates) {
        const value = JSON.parse(rate);
        assert.ok(Number.isFinite(typeof value === 'number' ? value : Object.values(value).find(Number.isFinite)), rate);
    }
    stream.close();
});

test('/exchange_rates/usd_eur sends the current rate at once, when nothing is being published', async () => {
    const once = await Stack.start({ env: { TICKERS: 'usd_eur:100' } });
    await until('a rate is in the history', async () => (await once.redis.command(['EXISTS', '{sse:usd_eur}:log'])) === 1);
    await once.pub[0].kill('SIGTERM');
    const [[, fields]] = await once.redis.command(['XREVRANGE', '{sse:usd_eur}:log', '+', '-', 'COUNT', '1']);
    const newest = /\ndata: (.*)\n/.exec(fields.join('\n'))[1];
    for (let i = 0; i < 2; ++i) {
        const stream = await openStream(`${once.gw[0].url}/exchange_rates/usd_eur`);
        assert.equal((await stream.next()).data, newest);
        await quiet(150);
        assert.equal(stream.events.length, 1, stream.text);
        stream.close();
    }
});

test('/channels/{name} and /subscribe start with a frame of only id and retry, which fires nothing', async () => {
    for (const path of ['/channels/news', '/channels/a/b:c.d~e@f+g,h-i', '/channels/sp%61ced', '/subscribe?channel=a', '/subscribe?channel=a&channel=b']) {
        const stream = await openStream(quietStack.gw[0].url + path);
        assert.equal(stream.status, 200, path);
        assert.match(await stream.nextFrame(2000), POSITION, path);
        assert.equal(stream.events.length, 0);
        stream.close();
    }
});

test('/post and /events start with no frame of their own', async () => {
    const stack = quietStack;
    const stream = await openStream(`${stack.gw[0].url}/post`);
    await stack.redis.subscribed('post');
    await stack.redis.publish('post', 'one');
    await stream.next();
    assert.equal(stream.text, ':\nevent: message\ndata: one\n\n');
    stream.close();
});

test('every stream begins with a comment line in one write with its head, also one that resumes with nothing new', async () => {
    const { id } = await quietStack.post('begun', 'x');
    const resumed = `/channels/begun?last_event_id=${id}`;
    for (const path of ['/sse', '/post', '/events', '/exchange_rates/usd_eur', '/channels/news', '/subscribe?channel=a&channel=b', resumed]) {
        const raw = await Raw.connect(quietStack.gw[0].port);
        raw.send(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
        const { rest } = await raw.head();
        assert.ok(rest.startsWith('2\r\n:\n\r\n'), `${path}: ${JSON.stringify(rest)}`);
        raw.close();
        const stream = await openStream(quietStack.gw[0].url + path);
        await stream.waitText(/^:\n/);
        stream.close();
    }
    const stream = await openStream(quietStack.gw[1].url + resumed);
    await quiet(100);
    assert.equal(stream.text, ':\n');
    stream.close();
});

test('/channels/{name} carries data lines and id in that order, and no line that nobody set', async () => {
    const stack = quietStack;
    const streams = await Promise.all(stack.gw.map(gw => openStream(`${gw.url}/channels/full`)));
    await stack.redis.subscribed('full', 2);
    await stack.post('full', 'one\ntwo\r\nthree\rfour', { headers: { 'content-type': 'text/plain' } });
    for (const stream of streams) {
        assert.match(await stream.nextFrame(), POSITION);
        assert.match(await stream.nextFrame(),
            new RegExp(`^data: one\ndata: two\ndata: three\ndata: four\nid: ${UUID}\n\n$`));
        assert.equal((await stream.next()).data, 'one\ntwo\nthree\nfour');
        stream.close();
    }
});

test('/subscribe carries the events of all its channels and of no other', async () => {
    const stack = quietStack;
    const stream = await openStream(`${stack.gw[1].url}/subscribe?channel=m1&channel=m2`);
    await stack.redis.subscribed('m1');
    await stack.redis.subscribed('m2');
    await stack.post('m1', 'first');
    await stack.post('m3', 'other');
    await stack.post('m2', 'second');
    await stack.post('m1', 'third');
    assert.deepEqual((await stream.take(3)).map(event => event.data), ['first', 'second', 'third']);
    stream.close();
});

test('an author\'s long retry is for streams of that channel; one of several channels gets a minute at most, live and from the history', async () => {
    const { url } = quietStack.gw[0], both = '/subscribe?channel=late1&channel=late2';
    const later = text => [...text.matchAll(/^retry: (\d+)$/gm)].map(([, ms]) => Number(ms));
    const [own, shared] = await Promise.all(['/channels/late1', both].map(path => openStream(url + path)));
    await Promise.all([own, shared].map(stream => stream.nextFrame()));
    await quietStack.post('late1', 'x', { headers: { 'sse-retry': '3600000' } });
    await quietStack.post('late1', 'y', { headers: { 'sse-retry': '59000' } });
    const [long, less] = [await own.take(2), await shared.take(2)];
    assert.deepEqual(long, less, 'the events are the same');
    assert.deepEqual([later(own.text), later(shared.text)], [[6000, 3600000, 59000], [6000, 60000, 59000]]);
    const again = await Promise.all(['/channels/late1?last=2', `${both}&last=2`].map(path => openStream(url + path)));
    for (const [i, stream] of again.entries()) {
        assert.equal((await stream.take(2)).length, 2);
        assert.equal(Math.max(...later(stream.text)), [3600000, 60000][i]);
    }
    [own, shared, ...again].forEach(stream => stream.close());
});

test('the same channel named twice in /subscribe brings each event once', async () => {
    const stack = quietStack;
    const stream = await openStream(`${stack.gw[0].url}/subscribe?channel=twice&channel=twice`);
    await stack.redis.subscribed('twice');
    await stack.post('twice', 'x');
    await stack.post('twice', 'y');
    assert.deepEqual((await stream.take(2)).map(event => event.data), ['x', 'y']);
    stream.close();
});

test('?last=N replays the newest N, oldest first, then goes on live', async () => {
    const stack = quietStack;
    for (let i = 1; i <= 5; ++i)
        await stack.post('kept', `n${i}`);
    const cases = [['/channels/kept?last=3', ['n3', 'n4', 'n5']], ['/channels/kept?last=99', ['n1', 'n2', 'n3', 'n4', 'n5']],
        ['/subscribe?channel=kept&last=2', ['n4', 'n5']]];
    const streams = await Promise.all(cases.map(([path]) => openStream(stack.gw[0].url + path)));
    for (const [i, [path, want]] of cases.entries())
        assert.deepEqual((await streams[i].take(want.length)).map(event => event.data), want, path);
    await stack.redis.subscribed('kept');
    await stack.post('kept', 'n6');
    for (const [i, [path, want]] of cases.entries()) {
        assert.equal((await streams[i].next()).data, 'n6', path);
        assert.equal(streams[i].events.length, want.length + 1, path);
        streams[i].close();
    }
});

test('?last=N works on the named routes, with the ids the events were published under', async () => {
    const stack = quietStack;
    const sent = [];
    for (const data of ['p1', 'p2', 'p3'])
        sent.push((await stack.post('post', data)).id);
    const stream = await openStream(`${stack.gw[1].url}/post?last=2`);
    const events = await stream.take(2);
    assert.deepEqual(events.map(event => [event.data, event.lastEventId]), [['p2', sent[1]], ['p3', sent[2]]]);
    stream.close();
});

test('a parser as naive as the original client reads every event of /sse and /post', async () => {
    const naive = frame => JSON.parse(frame.split('\n')[1].slice(frame.split('\n')[1].indexOf(' ') + 1));
    const letters = await openStream(`${s.gw[0].url}/sse`);
    const posts = await openStream(`${s.gw[1].url}/post`);
    await s.redis.subscribed('post');
    await fetch(`${s.gw[0].url}/post`, { method: 'POST', redirect: 'manual', headers: { 'content-type': 'application/json' }, body: '{"n": 1}' });
    await s.redis.publish('post', '{"n":2}');
    assert.deepEqual(naive(await posts.nextFrame()), { n: 1 });
    assert.deepEqual(naive(await posts.nextFrame()), { n: 2 });
    for (let i = 0; i < 5; ++i)
        assert.match(naive(await letters.nextFrame()).msg, /^[a-z]$/);
    for (const frame of letters.frames)
        assert.doesNotThrow(() => naive(frame));
    letters.close();
    posts.close();
});
