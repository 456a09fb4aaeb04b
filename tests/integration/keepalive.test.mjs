// Comments that keep an idle stream alive.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack, quiet, until } from './stack.mjs';
import { H2, openStream } from './sse.mjs';

const s = await Stack.start({ gateways: 3, tls: [2], publishers: 0,
    gatewayEnv: [{ KEEPALIVE_MS: 150 }, { SSE_KEEP_ALIVE_IN_MS: 150 }, { KEEPALIVE_MS: 150 }] });

const urls = () => [...s.gw.map(gw => gw.url), s.gw[2].httpsUrl];

test('an idle stream gets the comment line ":" alone, on each transport, and no event', async () => {
    const h2 = await H2.connect(s.gw[2].httpsUrl);
    for (const stream of [...await Promise.all(urls().map(url => openStream(`${url}/post`))), await h2.open('/post')]) {
        await stream.waitText(/^(:\n){4}/);
        assert.equal(stream.text.replaceAll(':\n', ''), '');
        assert.equal(stream.parser.blocks.length, 0); // a blank line would end one: some clients fire an event for it
        assert.ok(stream.parser.comments.every(comment => comment === ''));
        stream.close();
    }
    h2.close();
});

test('comments come about every KEEPALIVE_MS, not faster', async () => {
    const stream = await openStream(`${s.gw[0].url}/post`);
    const from = performance.now();
    await stream.waitText(/^(:\n){7}/);
    const each = (performance.now() - from) / 6;
    assert.ok(each > 75, `${each} ms apart`);
    stream.close();
});

test('comments never stand inside an event', async () => {
    const stream = await openStream(`${s.gw[0].url}/post`);
    await s.redis.subscribed('post');
    for (let i = 0; i < 20; ++i) {
        await s.redis.publish('post', `${i}\nsecond line`);
        await quiet(40);
    }
    await stream.take(20);
    assert.equal(stream.text.replaceAll(/event: message\ndata: \d+\ndata: second line\n\n/g, '').replaceAll(':\n', ''), '');
    stream.close();
});

test('a client that stops reading in the middle of an event gets no comment inside it, on each transport', async () => {
    const big = 'x'.repeat(8 << 20), h2 = await H2.connect(s.gw[2].httpsUrl);
    const streams = [...await Promise.all([s.gw[2].url, s.gw[2].httpsUrl].map(url => openStream(`${url}/channels/big`))), await h2.open('/channels/big')];
    await Promise.all(streams.map(stream => stream.nextFrame()));
    streams.forEach(stream => stream.readable.pause());
    await s.redis.publish('big', big);
    await s.gw[2].waitMetric('sse_queued_bytes', value => value > 0); // it does not fit the sockets
    await quiet(4 * 150);
    streams.forEach(stream => stream.readable.resume());
    for (const stream of streams) {
        assert.ok((await stream.next(20000)).data === big, 'the event is whole');
        const comments = stream.parser.comments.length;
        await until('comments go on behind it', () => stream.parser.comments.length > comments);
        assert.ok(stream.parser.comments.every(comment => comment === ''));
        stream.close();
    }
    h2.close();
});

test('the default leaves a stream quiet for longer than a moment', async () => {
    const stack = await Stack.start({ publishers: 0 });
    const stream = await openStream(`${stack.gw[0].url}/post`);
    await quiet(500);
    assert.equal(stream.text, ':\n');
    stream.close();
});
