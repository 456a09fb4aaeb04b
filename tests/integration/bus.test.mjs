// What arrives on the Redis bus: by hand, as arbitrary bytes, and as payloads that pretend to be our own format.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack, quiet } from './stack.mjs';
import { openStream } from './sse.mjs';

const s = await Stack.start({ gateways: 2 });
let fresh = 0;

// A stream of a new channel on each gateway, past its position frame, with Redis knowing of both.
async function listeners() {
    const channel = `bus${++fresh}`;
    const streams = await Promise.all(s.gw.map(gw => openStream(`${gw.url}/channels/${channel}`)));
    await s.redis.subscribed(channel, 2);
    await Promise.all(streams.map(stream => stream.nextFrame()));
    return { channel, streams, close: () => streams.forEach(stream => stream.close()) };
}

test('redis-cli PUBLISH reaches the clients of both gateways as data, without id', async () => {
    const streams = await Promise.all(s.gw.map(gw => openStream(`${gw.url}/post`)));
    await s.redis.subscribed('post', 2);
    assert.equal((await s.redis.cli('PUBLISH', 'sse:post', '{"test":"hi"}')).trim(), '2');
    for (const stream of streams) {
        assert.equal(await stream.nextFrame(), 'event: message\ndata: {"test":"hi"}\n\n');
        stream.close();
    }
});

test('redis-cli FCALL sse_publish is durable: both gateways, with an id, and in the history', async () => {
    const streams = await Promise.all(s.gw.map(gw => openStream(`${gw.url}/post`)));
    await s.redis.subscribed('post', 2);
    await s.redis.cli('FCALL', 'sse_publish', '1', 'sse:post', '{"test":"hi"}');
    const ids = [];
    for (const stream of streams) {
        const frame = await stream.nextFrame();
        assert.match(frame, /^event: message\ndata: \{"test":"hi"\}\nid: [0-9a-f-]{36}\n(retry: \d+\n)?\n$/);
        ids.push((await stream.next()).lastEventId);
        stream.close();
    }
    assert.equal(ids[0], ids[1]);
    const late = await openStream(`${s.gw[0].url}/post?last=1`);
    assert.deepEqual(await late.next(), { type: 'message', data: '{"test":"hi"}', lastEventId: ids[0] });
    late.close();
});

test('a plain payload with line breaks and field names becomes data lines and nothing else', async () => {
    const { channel, streams, close } = await listeners();
    await s.redis.publish(channel, 'a\nid: evil\r\n\nevent: evil\rretry: 1\n\ndata: evil');
    for (const stream of streams) {
        const event = await stream.next();
        assert.equal(event.type, 'message');
        assert.equal(event.data, 'a\nid: evil\n\nevent: evil\nretry: 1\n\ndata: evil');
        assert.equal(stream.events.length, 1);
        assert.equal(stream.parser.retry, 6000);
        assert.doesNotMatch(event.lastEventId, /evil/);
    }
    close();
});

test('an empty payload does no harm', async () => {
    const { channel, streams, close } = await listeners();
    await s.redis.publish(channel, '');
    await s.redis.publish(channel, 'next');
    for (const stream of streams) {
        assert.match(await stream.nextFrame(), /^data: ?\n\n$/);
        assert.equal(await stream.nextFrame(), 'data: next\n\n');
    }
    close();
});

test('a binary payload arrives byte for byte, split only at its line breaks', async () => {
    const { channel, streams, close } = await listeners();
    const bytes = Buffer.from([...Array(256).keys(), 0xc3, 0x28, 0xff, 0xfe, 0, 0]);
    await s.redis.publish(channel, bytes);
    await s.redis.publish(channel, 'after');
    const lines = bytes.toString('latin1').split(/\r\n|\r|\n/).map(line => `data: ${line}\n`).join('');
    for (const stream of streams) {
        await stream.waitText(/data: after\n\n$/);
        const raw = stream.raw.toString('latin1');
        assert.equal(raw.slice(raw.indexOf('\n\n') + 2), `${lines}\ndata: after\n\n`);
    }
    close();
});

test('a payload of 1 MiB arrives whole on both gateways', async () => {
    const { channel, streams, close } = await listeners();
    const big = 'x'.repeat((1 << 20) - 6) + '\nlast.';
    await s.redis.publish(channel, big);
    for (const stream of streams)
        assert.equal((await stream.next(20000)).data, big);
    close();
});

test('a payload of 1 MiB of line breaks, seven times that on the wire, arrives whole when the queue allows it', async () => {
    const stack = await Stack.start({ publishers: 0, env: { QUEUE_BYTES: 16 << 20 } });
    const stream = await openStream(`${stack.gw[0].url}/post`);
    await stack.redis.subscribed('post');
    await stack.redis.publish('post', '\n'.repeat(1 << 20));
    await stack.redis.publish('post', 'after');
    const want = `:\nevent: message\n${'data: \n'.repeat((1 << 20) + 1)}\nevent: message\ndata: after\n\n`;
    await stream.waitBytes(want.length);
    assert.ok(stream.raw.toString('latin1') === want);
    stream.close();
});

// A payload that starts like a durable message is one, or it is dropped: what follows the header goes to clients as it stands.
const POSE = '\x1esse1 1700000000000-1 0-0\n';
const NEXT = '\x1esse1 1700000000000-2 1700000000000-1\n';
const GOOD = 'event: message\ndata: x\nid: 1\nretry: 6000\n\n';
const IMPOSTORS = {
    'the mark alone': '\x1e',
    'the mark and nothing after it': '\x1esse1 ',
    'no header': '\x1esse1 garbage',
    'a header without its line end': '\x1esse1 1700000000000-1 0-0',
    'an unknown version': `\x1esse4 1700000000000-1 0-0\n${GOOD}`,
    'a batch without its header': `\x1esse3 ${POSE}${GOOD}`,
    'a batch of none': '\x1esse3 0\n',
    'a batch that holds fewer than it says': `\x1esse3 2\n${POSE}${GOOD}`,
    'a batch that holds more than it says': `\x1esse3 1\n${POSE}${GOOD}${NEXT}${GOOD}`,
    'a batch with plain data behind a good event': `\x1esse3 2\n${POSE}${GOOD}data: evil\n\n`,
    'a batch whose second event is none': `\x1esse3 2\n${POSE}${GOOD}${NEXT}data: x\nid: 1\nid: evil\n\n`,
    'a batch whose events do not follow each other': `\x1esse3 2\n${POSE}${GOOD}${POSE}${GOOD}`,
    'a batch in a batch': `\x1esse3 2\n${POSE}${GOOD}\x1esse3 1\n${NEXT}${GOOD}`,
    'version 2 without a word': `\x1esse2 1700000000000-1 0-0\n${GOOD}`,
    'an unknown word': `\x1esse2 1700000000000-1 0-0 start\n${GOOD}`,
    'an end of another type': `\x1esse2 1700000000000-1 0-0 end\n${GOOD}`,
    'a position that is no number': `\x1esse1 x-1 0-0\n${GOOD}`,
    'a position above 64 bits': `\x1esse1 99999999999999999999-1 0-0\n${GOOD}`,
    'a position not above the one before': `\x1esse1 1-1 1-1\n${GOOD}`,
    'a position below the one before': `\x1esse1 1-1 2-1\n${GOOD}`,
    'a header of 100 KiB': `\x1esse1 ${'1'.repeat(100 << 10)}-1 0-0\n${GOOD}`,
    'no event': POSE,
    'an event without its end': `${POSE}event: message\ndata: x\n`,
    'two events': `${POSE}${GOOD}event: evil\ndata: evil\n\n`,
    'a second event line': `${POSE}event: message\nevent: evil\ndata: x\n\n`,
    'a second id': `${POSE}event: message\ndata: x\nid: 1\nid: evil\n\n`,
    'an id before the data': `${POSE}id: 1\nevent: message\ndata: x\n\n`,
    'a lone CR that hides a field': `${POSE}event: message\ndata: x\rid: evil\n\n`,
    'CRLF': `${POSE}event: message\r\ndata: x\r\n\r\n`,
    'a NUL in the id': `${POSE}event: message\ndata: x\nid: a\0b\n\n`,
    'an unknown field': `${POSE}event: message\ndata: x\nevil: 1\n\n`,
    'a retry that is no number': `${POSE}event: message\ndata: x\nretry: soon\n\n`,
    'a comment': `${POSE}: hello\n\n`,
};

test('a payload that only pretends to be our format is dropped and counted, and the stream goes on', async () => {
    const { channel, streams, close } = await listeners();
    for (const [what, payload] of Object.entries(IMPOSTORS)) {
        const before = await Promise.all(s.gw.map(gw => gw.metric('sse_bus_malformed_total')));
        const seen = streams.map(stream => stream.raw.length);
        await s.redis.publish(channel, Buffer.from(payload, 'latin1'));
        await s.redis.publish(channel, `after ${what}`);
        for (const [i, stream] of streams.entries()) {
            await stream.waitText(new RegExp(`data: after ${what}\n\n$`));
            assert.equal(stream.text.slice(seen[i]), `data: after ${what}\n\n`, what);
            assert.equal(await s.gw[i].metric('sse_bus_malformed_total'), before[i] + 1, what);
        }
    }
    assert.ok(s.gw.every(gw => gw.running));
    close();
});

test('malformed payloads are logged, but a flood of them does not flood the log', async () => {
    const { channel, streams, close } = await listeners();
    const lines = s.gw[0].lines.length;
    for (let i = 0; i < 500; ++i)
        await s.redis.publish(channel, '\x1esse1 garbage');
    await s.redis.publish(channel, 'end');
    await streams[0].waitText(/data: end\n\n$/);
    await quiet(50);
    const added = s.gw[0].lines.length - lines;
    assert.ok(added < 50, `${added} lines`);
    close();
});

test('events in and out are counted', async () => {
    const { channel, streams, close } = await listeners();
    const before = await Promise.all(['sse_events_received_total', 'sse_deliveries_total'].map(name => s.gw[0].metric(name)));
    const second = await openStream(`${s.gw[0].url}/channels/${channel}`);
    await second.nextFrame();
    for (let i = 0; i < 10; ++i)
        await s.redis.publish(channel, `${i}`);
    await streams[0].take(10);
    await second.take(10);
    await s.gw[0].waitMetric('sse_events_received_total', before[0] + 10);
    await s.gw[0].waitMetric('sse_deliveries_total', before[1] + 20);
    second.close();
    close();
});

test('an event of version 1 whose id no header carries goes out under an id that the bus makes, and resumes from it', async () => {
    const { channel, streams, close } = await listeners();
    const log = `{sse:${channel}}:log`;
    for (const [i, id] of ['a\x01b', ' a ', '\x7f'].entries()) {
        const at = `${1000 + i}-0`;
        const payload = `\x1esse1 ${at} ${i === 0 ? '0-0' : `${999 + i}-0`}\nevent: message\ndata: ${i}\nid: ${id}\nretry: 6000\n\n`;
        await s.redis.command(['XADD', log, at, 'm', payload]);
        await s.redis.command(['PUBLISH', `sse:${channel}`, payload]);
    }
    for (const stream of streams) {
        const events = [await stream.next(), await stream.next(), await stream.next()];
        assert.deepEqual(events.map(event => event.data), ['0', '1', '2']);
        for (const { lastEventId } of events)
            assert.match(lastEventId, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
        const again = await openStream(`${s.gw[1].url}/channels/${channel}`, { headers: { 'last-event-id': events[0].lastEventId } });
        assert.deepEqual([await again.next(), await again.next()], events.slice(1));
        again.close();
    }
    close();
});
