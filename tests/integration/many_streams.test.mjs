// Many streams at once: every one gets every post, in order. Sanitizer builds hold fewer.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { Agent } from 'node:http';
import { SANITIZED, SCALE, Stack, binary, within } from './stack.mjs';
import { H2, request } from './sse.mjs';

const POSTS = 100;
const STREAMS = SANITIZED ? 2000 : 10000;

async function post(url, count) {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let n = 1; n <= count; ++n) {
        const answer = await request(`${url}/post`, { method: 'POST', agent, headers: { 'content-type': 'application/json' }, body: `{"n":${n}}` });
        assert.equal(answer.status, 303, answer.body);
    }
    agent.destroy();
}

test(`${STREAMS} HTTP/1.1 streams each get ${POSTS} posts in order`, { timeout: 240000 * SCALE }, async () => {
    const s = await Stack.start({});
    const [gw] = s.gw;
    const client = spawn(binary('load'), ['127.0.0.1', gw.port, '/post', STREAMS, POSTS, 120 * SCALE].map(String), { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    const opened = new Promise(resolve => client.stdout.on('data', data => (out += data).includes('open ') && resolve()));
    client.stderr.on('data', data => (err += data));
    const ended = new Promise(resolve => client.on('close', resolve));
    try {
        await within('all streams open', Promise.race([opened, ended]), 60000);
        assert.equal(err, '');
        assert.equal(await gw.metric('sse_streams'), STREAMS);
        assert.equal(await gw.metric('sse_channels'), 1);
        await post(gw.url, POSTS);
        await within('the client is done', ended, 130000);
        assert.deepEqual(JSON.parse(out.trim().split('\n').pop()),
            { streams: STREAMS, complete: STREAMS, events: STREAMS * POSTS, lost: 0, out_of_order: 0, broken: 0 });
        assert.equal(await gw.metric('sse_deliveries_total'), STREAMS * POSTS);
        await gw.waitMetric('sse_streams', 0, { ms: 20000 });
    } finally {
        client.kill('SIGKILL');
    }
});

test(`900 streams on ten HTTP/2 connections over TLS each get ${POSTS} posts in order`, { timeout: 120000 * SCALE }, async () => {
    const s = await Stack.start({ tls: true });
    const [gw] = s.gw;
    const connections = await Promise.all(Array.from({ length: 10 }, () => H2.connect(gw.httpsUrl)));
    const streams = (await Promise.all(connections.map(h2 => Promise.all(Array.from({ length: 90 }, () => h2.open('/post')))))).flat();
    assert.deepEqual([...new Set(streams.map(stream => stream.status))], [200]);
    await gw.waitMetric('sse_streams', 900);
    await s.redis.subscribed('post');
    await post(gw.url, POSTS);
    const want = Array.from({ length: POSTS }, (_, i) => `{"n":${i + 1}}`);
    for (const stream of streams)
        assert.deepEqual((await stream.take(POSTS, 60000)).map(event => event.data), want);
    for (const h2 of connections)
        assert.equal((await h2.request('/post', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' })).status, 303);
    connections.forEach(h2 => h2.close());
    await gw.waitMetric('sse_streams', 0);
});
