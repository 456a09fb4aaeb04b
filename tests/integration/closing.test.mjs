// A client that goes is noticed at once, also on a stream without traffic; nothing of it stays.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { SCALE, Stack, until } from './stack.mjs';
import { H2, openStream } from './sse.mjs';
import { Raw } from './raw.mjs';

const s = await Stack.start({ publishers: 0, tls: true, gatewayEnv: [{ HTTP2_CLEARTEXT: 'on' }] });
const [gw] = s.gw;
const GET = 'GET /channels/idle HTTP/1.1\r\nhost: x\r\n\r\n';

async function rawStream(options) {
    const raw = await Raw.connect(options?.secure ? gw.ports.public : gw.port, options);
    raw.send(GET);
    assert.equal((await raw.head()).status, 200);
    await raw.waitText(/retry: /);
    return raw;
}

const kinds = {
    'HTTP/1.1 closed': async () => { const raw = await rawStream(); return () => raw.socket.destroy(); },
    'HTTP/1.1 reset': async () => { const raw = await rawStream(); return () => raw.socket.resetAndDestroy(); },
    'HTTP/1.1 half-closed': async () => { const raw = await rawStream(); return () => raw.socket.end(); },
    'TLS closed': async () => { const raw = await rawStream({ secure: true }); return () => raw.socket.end(); },
    'TLS cut off': async () => { const raw = await rawStream({ secure: true }); return () => raw.socket.destroy(); },
    'HTTP/2 stream reset': async () => { const h2 = await H2.connect(gw.url); const stream = await h2.open('/channels/idle'); return () => stream.close(); },
    'HTTP/2 connection closed': async () => { const h2 = await H2.connect(gw.url); await h2.open('/channels/idle'); return () => h2.close(); },
    'HTTP/2 over TLS reset': async () => { const h2 = await H2.connect(gw.httpsUrl); const stream = await h2.open('/channels/idle'); return () => stream.close(); },
};

for (const [what, open] of Object.entries(kinds))
    test(`${what}: the stream is gone within a second, and so is the Redis subscription`, async () => {
        const opened = await gw.metric('sse_streams_opened_total');
        const closes = await gw.metric('sse_stream_closes_total') ?? 0;
        const leave = await open();
        await gw.waitMetric('sse_streams', 1);
        assert.equal(await gw.metric('sse_streams_opened_total'), opened + 1);
        await gw.waitMetric('sse_channels', 1);
        await s.redis.subscribed('idle', 1);
        leave();
        await gw.waitMetric('sse_streams', 0, { ms: 1000 });
        await gw.waitMetric('sse_stream_closes_total', closes + 1);
        await s.redis.subscribed('idle', 0);
        await gw.waitMetric('sse_channels', 0);
    });

test('streams that come and go leave no file descriptor behind', async () => {
    const before = await gw.metric('process_open_fds');
    for (let round = 0; round < 5; ++round) {
        const streams = await Promise.all(Array.from({ length: 50 }, () => openStream(`${gw.url}/channels/churn${round}`)));
        await gw.waitMetric('sse_streams', 50);
        streams.forEach(stream => stream.close());
        await gw.waitMetric('sse_streams', 0);
    }
    await until('the descriptors are back', async () => (await gw.metric('process_open_fds')) <= before + 5);
});

test('one subscriber connection serves any number of streams and channels', async () => {
    const streams = await Promise.all(Array.from({ length: 40 }, (_, i) => openStream(`${gw.url}/channels/many${i}`)));
    await until('40 channels are subscribed', async () => (await s.redis.command(['PUBSUB', 'CHANNELS', 'sse:many*'])).length === 40);
    const clients = (await s.redis.command(['CLIENT', 'LIST'])).trim().split('\n').filter(line => /name=sse-gateway/.test(line));
    assert.equal(clients.filter(line => !/ sub=0 /.test(line)).length, 1, clients.join('\n'));
    assert.ok(clients.length <= 2, clients.join('\n'));
    streams.forEach(stream => stream.close());
    await until('no channel is subscribed', async () => (await s.redis.command(['PUBSUB', 'CHANNELS', 'sse:many*'])).length === 0);
});

test('a client that pipelines bytes after its request does no harm', async () => {
    const raw = await rawStream();
    raw.send('x'.repeat(100000));
    await s.redis.subscribed('idle', 1);
    await s.redis.publish('idle', 'hello');
    await Promise.race([raw.waitText(/data: hello\n/), raw.waitEnd()]).catch(() => {});
    assert.ok(gw.running);
    raw.close();
    await gw.waitMetric('sse_streams', 0);
});

test('a second request on the connection of a stream is not answered inside it', async () => {
    const raw = await rawStream();
    raw.send(GET);
    await s.redis.subscribed('idle', 1);
    await s.redis.publish('idle', 'hello');
    await until('an answer', () => /data: hello\n/.test(raw.text) || raw.ended);
    assert.equal(raw.text.match(/HTTP\/1\.1/g).length, 1);
    raw.close();
    await gw.waitMetric('sse_streams', 0);
});

test('busy HTTP/2 connections that close in the midst of events, again and again, harm nothing', { timeout: 120000 * SCALE }, async () => {
    const stack = await Stack.start({ publishers: 1, tls: true, env: { THREADS: 2 } });
    const [busy] = stack.gw;
    for (let round = 0; round < 10; ++round) {
        const connections = await Promise.all(Array.from({ length: 10 }, () => H2.connect(busy.httpsUrl)));
        const streams = (await Promise.all(connections.map(h2 => Promise.all(Array.from({ length: 90 }, () => h2.open('/post')))))).flat();
        await busy.waitMetric('sse_streams', 900);
        assert.ok(streams.every(stream => stream.status === 200));
        for (let n = 0; n < 20; ++n)
            await stack.post('post', `${n}`);
        connections.forEach(h2 => h2.close());
        await busy.waitMetric('sse_streams', 0);
    }
});

test('SIGTERM ends the gateway with status 0 while streams are open', async () => {
    const stack = await Stack.start({ publishers: 0 });
    const streams = await Promise.all(Array.from({ length: 20 }, () => openStream(`${stack.gw[0].url}/sse`)));
    assert.deepEqual(await stack.gw[0].kill('SIGTERM'), { code: 0, signal: null });
    await Promise.all(streams.map(stream => stream.closed));
});
