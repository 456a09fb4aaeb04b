// COALESCE_MS: events of a channel that come close together leave in one write, whole and in order, on every kind of stream.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack } from './stack.mjs';
import { H2, openStream } from './sse.mjs';
import { Raw } from './raw.mjs';

const WAIT_MS = 300;
const s = await Stack.start({ gateways: 1, tls: true, env: { COALESCE_MS: WAIT_MS, THREADS: 1 } });
const [gw] = s.gw;

// All at once: Redis sends them in one piece.
const publishAll = pairs => s.redis.command(['EVAL', "for i = 1, #ARGV, 2 do redis.call('PUBLISH', ARGV[i], ARGV[i + 1]) end", '0',
    ...pairs.flatMap(([channel, data]) => [`sse:${channel}`, data])]);

const numbered = (channel, count) => Array.from({ length: count }, (_, i) => [channel, `${channel}${i}`]);

test('events that came together leave in one chunk, each whole', async () => {
    const raw = await Raw.connect(gw.port);
    const { rest } = await raw.send('GET /channels/one HTTP/1.1\r\nhost: x\r\n\r\n').head();
    const start = performance.now();
    await publishAll(numbered('one', 5));
    await raw.waitText(/data: one4\n\n\r\n/);
    assert.ok(performance.now() - start >= WAIT_MS * 0.9, 'they waited');
    const body = Array.from({ length: 5 }, (_, i) => `data: one${i}\n\n`).join('');
    assert.ok(raw.text.includes(`\r\n${body.length.toString(16)}\r\n${body}\r\n`), raw.text + rest);
    raw.close();
});

test('over TLS and HTTP/2 they come in order too', async () => {
    const h2 = await H2.connect(gw.httpsUrl);
    const streams = [await openStream(`${gw.httpsUrl}/channels/two`), await h2.open('/channels/two')];
    await publishAll(numbered('two', 300));
    for (const stream of streams)
        assert.deepEqual((await stream.take(300)).map(event => event.data), numbered('two', 300).map(([, data]) => data));
    streams[0].close();
    h2.close();
});

test('a stream of several channels sees them in the order they were published', async () => {
    const both = await openStream(`${gw.url}/subscribe?channel=x&channel=y`), single = await openStream(`${gw.url}/channels/x`);
    const pairs = [['x', '1'], ['x', '2'], ['y', '3'], ['x', '4'], ['y', '5'], ['y', '6'], ['x', '7']];
    await publishAll(pairs);
    assert.deepEqual((await both.take(7)).map(event => event.data), ['1', '2', '3', '4', '5', '6', '7']);
    assert.deepEqual((await single.take(4)).map(event => event.data), ['1', '2', '4', '7']);
    both.close();
    single.close();
});

test('a stream that opens while events wait gets exactly those after its place', async () => {
    const first = await openStream(`${gw.url}/channels/late`);
    await publishAll(numbered('late', 3));
    const opened = (await gw.metric('sse_streams_opened_total')) + 1;
    const opening = openStream(`${gw.url}/channels/late`);
    await gw.waitMetric('sse_streams_opened_total', opened);
    await publishAll([['late', 'after']]);
    assert.deepEqual((await first.take(4)).map(event => event.data), ['late0', 'late1', 'late2', 'after']);
    const second = await opening;
    assert.deepEqual((await second.take(1)).map(event => event.data), ['after']);
    first.close();
    second.close();
});
