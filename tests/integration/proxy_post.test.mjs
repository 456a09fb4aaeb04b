// POST through a gateway: passed on to the publisher, answered as the publisher answers, heard on every gateway.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack } from './stack.mjs';
import { openStream, request } from './sse.mjs';

const ORIGIN = 'http://localhost:3000';
const JSON_TYPE = { 'content-type': 'application/json' };
const s = await Stack.start({ gateways: 2, publishers: 2 });

test('POST /post to either gateway answers 303 broadcasted and reaches the clients of both', async () => {
    const streams = await Promise.all(s.gw.map(gw => openStream(`${gw.url}/post`)));
    await s.redis.subscribed('post', 2);
    for (const [i, gw] of s.gw.entries()) {
        const answer = await request(`${gw.url}/post?a=1&b=x%20y`, { method: 'POST', headers: JSON_TYPE, body: `{"from": ${i}, "list": [1, {"k": null}]}` });
        assert.equal(answer.status, 303);
        assert.equal(answer.body, 'broadcasted');
        for (const stream of streams)
            assert.deepEqual(JSON.parse((await stream.next()).data), { a: '1', b: 'x y', from: i, list: [1, { k: null }] });
    }
    assert.equal(streams[0].text, streams[1].text, 'same bytes on both');
    streams.forEach(stream => stream.close());
});

test('a POST passed on carries the CORS headers of an allowed origin, and none for another', async () => {
    const allowed = await request(`${s.gw[0].url}/post`, { method: 'POST', headers: { ...JSON_TYPE, origin: ORIGIN }, body: '{}' });
    assert.equal(allowed.status, 303);
    assert.equal(allowed.headers['access-control-allow-origin'], ORIGIN);
    assert.match(allowed.headers.vary ?? '', /origin/i);
    const refused = await request(`${s.gw[0].url}/post`, { method: 'POST', headers: { ...JSON_TYPE, origin: 'https://evil.example' }, body: '{}' });
    assert.equal(refused.headers['access-control-allow-origin'], undefined);
});

test('POST /channels/{name} answers the id that the clients of both gateways get', async () => {
    const streams = await Promise.all(s.gw.map(gw => openStream(`${gw.url}/channels/deep/er`)));
    await s.redis.subscribed('deep/er', 2);
    const answer = await request(`${s.gw[1].url}/channels/deep/er?event=greet&retry=123`,
        { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'hello\nworld' });
    assert.equal(answer.status, 200);
    assert.match(answer.headers['content-type'], /^application\/json/);
    const { id } = JSON.parse(answer.body);
    for (const stream of streams) {
        await stream.nextFrame();
        assert.equal(await stream.nextFrame(), `event: greet\ndata: hello\ndata: world\nid: ${id}\nretry: 123\n\n`);
        stream.close();
    }
});

test('the publisher\'s errors come through as they are', async () => {
    const cases = [
        ['/post', 'POST', JSON_TYPE, '{"broken', 400],
        ['/post', 'POST', { 'content-type': 'image/png' }, 'x', 415],
        ['/channels/x%20y', 'POST', JSON_TYPE, '{}', 400],
    ];
    for (const [path, method, headers, body, status] of cases) {
        const answer = await request(s.gw[0].url + path, { method, headers: { origin: ORIGIN, ...headers }, body });
        assert.equal(answer.status, status, `${method} ${path}: ${answer.body}`);
        assert.equal(typeof JSON.parse(answer.body).error, 'string', answer.body);
        assert.equal(answer.headers['access-control-allow-origin'], ORIGIN, `${method} ${path}`);
    }
});

test('an unknown path is 404 for a POST too, and a stream-only path takes none', async () => {
    for (const path of ['/nope', '/channel', '/sse/x']) {
        const answer = await request(s.gw[0].url + path, { method: 'POST', headers: JSON_TYPE, body: '{}' });
        assert.equal(answer.status, 404, `${path}: ${answer.body}`);
        assert.equal(typeof JSON.parse(answer.body).error, 'string');
    }
    for (const path of ['/', '/subscribe?channel=a']) {
        const answer = await request(s.gw[0].url + path, { method: 'POST', headers: JSON_TYPE, body: '{}' });
        assert.equal(answer.status, 405, `${path}: ${answer.body}`);
        assert.ok(answer.headers.allow?.includes('GET'), `Allow: ${answer.headers.allow}`);
    }
});

test('a hundred POSTs on one kept connection arrive in their order on both gateways', async () => {
    const { Agent } = await import('node:http');
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const streams = await Promise.all(s.gw.map(gw => openStream(`${gw.url}/post`)));
    await s.redis.subscribed('post', 2);
    for (let i = 0; i < 100; ++i)
        assert.equal((await request(`${s.gw[0].url}/post`, { method: 'POST', headers: JSON_TYPE, body: `{"n":${i}}`, agent })).status, 303);
    for (const stream of streams) {
        assert.deepEqual((await stream.take(100)).map(event => JSON.parse(event.data).n), [...Array(100).keys()]);
        stream.close();
    }
    agent.destroy();
});

test('with the publisher gone a POST is a JSON error at once, and streams go on', async () => {
    const stack = await Stack.start({ gateways: 1, publishers: 1 });
    const stream = await openStream(`${stack.gw[0].url}/post`);
    await stack.redis.subscribed('post');
    await stack.pub[0].kill('SIGKILL');
    const answer = await request(`${stack.gw[0].url}/post`, { method: 'POST', headers: { ...JSON_TYPE, origin: ORIGIN }, body: '{}' });
    assert.ok([502, 503].includes(answer.status), `${answer.status}`);
    assert.equal(typeof JSON.parse(answer.body).error, 'string', answer.body);
    assert.equal(answer.headers['access-control-allow-origin'], ORIGIN);
    await stack.redis.publish('post', 'still here');
    assert.equal((await stream.next()).data, 'still here');
    await stack.pub[0].start();
    assert.equal((await request(`${stack.gw[0].url}/post`, { method: 'POST', headers: JSON_TYPE, body: '{"back":1}' })).status, 303);
    assert.equal((await stream.next()).data, '{"back":1}');
    stream.close();
});
