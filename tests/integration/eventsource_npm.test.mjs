// npm packages that real services use, against a gateway: the eventsource client understands us and comes back after a gateway's death, and a proxy that has
// Express's compression passes each event on at once.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import compression from 'compression';
import { EventSource } from 'eventsource';
import { openStream } from './sse.mjs';
import { ROOT, Stack, until } from './stack.mjs';

const s = await Stack.start({ gateways: 1, publishers: 1, env: { TICKERS: 'letters:200', RETRY_MS: 100 } });

function listen(path, types = ['message']) {
    const source = new EventSource(s.gw[0].url + path);
    const events = [];
    for (const type of types)
        source.addEventListener(type, event => events.push({ type, data: event.data, id: event.lastEventId }));
    return { source, events, open: until('open', () => source.readyState === EventSource.OPEN) };
}

test('letters arrive as message events with ids', async () => {
    const { source, events } = listen('/sse');
    await until('four letters', () => events.length >= 4);
    source.close();
    assert.deepEqual(JSON.parse(events[0].data), { msg: 'a' });
    for (const event of events) {
        assert.match(JSON.parse(event.data).msg, /^[a-z]$/);
        assert.match(event.id, /^[0-9a-f-]{36}$/);
    }
});

test('the position frame fires no event, named events reach their listeners, lines come whole', async () => {
    const { source, events, open } = listen('/channels/es', ['message', 'greet', 'gap']);
    await open;
    await s.redis.subscribed('es');
    await fetch(`${s.pub[0].url}/channels/es?event=greet&id=my-id`, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'one\ntwo\n\nthree' });
    await until('the event', () => events.length === 1);
    assert.deepEqual(events, [{ type: 'greet', data: 'one\ntwo\n\nthree', id: 'my-id' }]);
    source.close();
});

test('it reconnects by itself after the gateway was killed and hears what follows', async () => {
    const { source, events, open } = listen('/channels/again');
    await open;
    await s.redis.subscribed('again');
    await s.post('again', 'before');
    await until('the first', () => events.length === 1);
    await s.gw[0].kill('SIGKILL');
    await s.gw[0].start();
    await s.redis.subscribed('again');
    await s.post('again', 'after');
    await until('the second', () => events.some(event => event.data === 'after'));
    assert.deepEqual(events.map(event => event.data), ['before', 'after']);
    source.close();
});

test('an error status ends it for good', async () => {
    const source = new EventSource(`${s.gw[0].url}/channels/a%20b`);
    const error = await new Promise(resolve => source.addEventListener('error', resolve));
    assert.equal(error.code, 400);
    assert.equal(source.readyState, EventSource.CLOSED);
});

test('behind the npm package compression, the head and each event of a stream pass at once', async () => {
    const compress = compression();
    const proxy = http.createServer((request, response) => compress(request, response, () => {
        const onward = http.request(s.gw[0].url + request.url, { headers: request.headers, agent: false }, answer => {
            response.writeHead(answer.statusCode, answer.headers);
            answer.pipe(response);
        });
        response.on('close', () => onward.destroy());
        onward.on('error', () => response.destroy()).end();
    }));
    await new Promise(resolve => proxy.listen(0, '127.0.0.1', resolve));
    const stream = await openStream(`http://127.0.0.1:${proxy.address().port}/channels/compressed`, { headers: { 'accept-encoding': 'gzip, deflate, br' } });
    assert.equal(stream.headers['content-encoding'], undefined);
    await stream.nextFrame();
    await s.redis.subscribed('compressed');
    for (let i = 0; i < 3; ++i) {
        await s.post('compressed', `event ${i}`);
        assert.equal((await stream.next()).data, `event ${i}`);
    }
    stream.close();
    proxy.close();
});

// What the library finds in a browser.
function likeBrowser() {
    globalThis.window ??= globalThis;
    globalThis.document ??= { hidden: false, addEventListener() {}, removeEventListener() {} };
}

test('fetch-event-source takes an orderly end for good, and comes back with the line of the how-to', async t => {
    likeBrowser();
    const { fetchEventSource } = await import('@microsoft/fetch-event-source');
    const line = /onclose\(\) \{ (.*?;) \}/.exec(readFileSync(join(ROOT, 'deploy/howto.md'), 'utf8'))[1];
    const drained = await Stack.start({ gateways: 1, publishers: 1, env: { RETRY_MS: 100, DRAIN_SECONDS: 1 } });
    const [gw] = drained.gw;
    const away = new AbortController();
    t.after(() => away.abort());
    const read = options => {
        const heard = [];
        const ended = fetchEventSource(`${gw.url}/channels/ended`, { signal: away.signal, onmessage: ({ data }) => data !== '' && heard.push(data), ...options });
        return { heard, ended };
    };
    const plain = read({}), mended = read({ onclose: new Function(line) });
    await gw.waitMetric('sse_streams', 2);
    await drained.post('ended', 'before');
    await until('both have it', () => plain.heard.length === 1 && mended.heard.length === 1);
    await gw.kill('SIGTERM');
    await plain.ended; // it calls that success
    await drained.post('ended', 'while it is away');
    await gw.start();
    await until('it is back', () => mended.heard.length === 2);
    await drained.post('ended', 'after');
    await until('it hears', () => mended.heard.length === 3);
    assert.deepEqual(mended.heard, ['before', 'while it is away', 'after']);
    assert.deepEqual(plain.heard, ['before']);
    away.abort();
    await mended.ended;
});
