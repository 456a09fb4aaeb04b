// Streams that lag: large events close nobody who reads, and memory counts an event once. Who is closed when, to the byte, is in unit/test_lag.c.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack, until } from './stack.mjs';
import { H2, openStream } from './sse.mjs';

const MIB = 1 << 20;
const s = await Stack.start({ tls: true, env: { MEMORY_LIMIT: 8 * MIB, THREADS: 2, HTTP2_CLEARTEXT: 'on' } });
const [gw] = s.gw;

async function forced() {
    let sum = 0;
    for (const reason of ['queue full', 'memory limit', 'write timeout'])
        sum += await gw.metric('sse_stream_closes_total', { reason });
    return sum;
}

test('an event of 1 MiB that 24 streams wait for counts once: none is closed, and all get it', async () => {
    const streams = await Promise.all(Array.from({ length: 24 }, () => openStream(`${gw.url}/channels/big`)));
    await Promise.all(streams.map(stream => stream.nextFrame()));
    streams.forEach(stream => stream.readable.pause());
    await s.redis.publish('big', 'x'.repeat(4 * MIB)); // more than the sockets take
    await s.post('big', 'y'.repeat(MIB - 1));
    await gw.waitMetric('sse_streams_waiting', 24);
    assert.ok(await gw.metric('sse_queued_bytes') < 6 * MIB);
    streams.forEach(stream => stream.readable.resume());
    for (const stream of streams)
        assert.deepEqual((await stream.take(2, 30000)).map(event => event.data.length), [4 * MIB, MIB - 1]);
    await gw.waitMetric('sse_queued_bytes', 0);
    await gw.waitMetric('sse_streams_waiting', 0);
    assert.equal(await forced(), 0);
    streams.forEach(stream => stream.close());
});

test('five events of 600 KB in a row close no stream that reads, on each transport', async () => {
    const h2 = await H2.connect(gw.httpsUrl);
    const opened = [gw.url, gw.httpsUrl].flatMap(url => Array.from({ length: 8 }, () => openStream(`${url}/channels/row`)));
    const streams = await Promise.all([...opened, ...Array.from({ length: 4 }, () => h2.open('/channels/row'))]);
    await Promise.all(streams.map(stream => stream.nextFrame()));
    for (let i = 0; i < 5; ++i)
        await s.redis.publish('row', String(i).repeat(600000));
    for (const stream of streams)
        assert.deepEqual((await stream.take(5, 30000)).map(event => event.data[0]), ['0', '1', '2', '3', '4']);
    assert.equal(await forced(), 0);
    streams.forEach(stream => stream.close());
    h2.close();
});

test('above MEMORY_LIMIT the streams that hold much are closed, with the reason, and one that holds little stays', async () => {
    const small = await openStream(`${gw.url}/channels/small`), many = Array.from({ length: 12 }, (_, i) => `own/${i}`);
    const streams = await Promise.all(many.map(name => openStream(`${gw.url}/channels/${name}`)));
    await Promise.all([small, ...streams].map(stream => stream.nextFrame()));
    [small, ...streams].forEach(stream => stream.readable.pause());
    const closed = () => gw.metric('sse_stream_closes_total', { reason: 'memory limit' }), heard = () => gw.metric('sse_events_received_total');
    for (let i = 0; await closed() === 0; ++i) { // events of its own for each, more than the sockets take
        assert.ok(i < 12 * many.length, 'some are closed');
        const before = await heard();
        await s.redis.publish(many[i % many.length], 'x'.repeat(2 * MIB));
        await until('it came', async () => await heard() > before || await closed() > 0); // else Redis thinks the gateway too slow
    }
    await s.redis.publish('small', 'still here');
    await gw.waitMetric('sse_queued_bytes', value => value <= 8 * MIB);
    assert.ok(await gw.metric('sse_streams') > 1, 'not all');
    small.readable.resume();
    assert.equal((await small.next()).data, 'still here');
    [small, ...streams].forEach(stream => stream.close());
});
