// What a client may send that it should not: each answered in one JSON sentence, none of it harms anybody.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack } from './stack.mjs';
import { openStream, request } from './sse.mjs';
import { Raw } from './raw.mjs';

const s = await Stack.start({ tls: true });
const [gw] = s.gw;
const STREAMS = ['/sse', '/post', '/events', '/exchange_rates/usd_eur', '/channels/x', '/subscribe?channel=x'];
const bystander = await openStream(`${gw.url}/channels/bystander`);
await s.redis.subscribed('bystander');
after(() => bystander.close());

async function refused(answer, status, what) {
    assert.equal(answer.status, status, `${what}: ${answer.body?.slice(0, 200)}`);
    assert.match(answer.headers['content-type'], /^application\/json/, what);
    const body = JSON.parse(answer.body);
    assert.deepEqual(Object.keys(body), ['error'], what);
    assert.ok(body.error.length > 5 && !body.error.includes('\n'), body.error);
    return body.error;
}

test('Accept that excludes text/event-stream is 406 on every stream', async () => {
    for (const accept of ['text/html', 'text/event-stream;q=0', '*/*;q=0', 'text/plain, image/*'])
        for (const path of STREAMS)
            await refused(await request(gw.url + path, { headers: { accept } }), 406, `${path} ${accept}`);
});

test('Accept that lets text/event-stream in opens the stream', async () => {
    for (const accept of ['text/event-stream', '*/*', 'text/*', 'TEXT/Event-Stream', 'text/html, text/event-stream;q=0.1', 'text/html;q=0.9, */*;q=0.1', undefined, '']) {
        const stream = await openStream(`${gw.url}/sse`, { headers: { accept } });
        assert.equal(stream.status, 200, accept);
        stream.close();
    }
});

test('Accept that excludes text/html is 406 on the page', async () => {
    await refused(await request(`${gw.url}/`, { headers: { accept: 'text/event-stream' } }), 406, '/');
    for (const accept of ['text/html', '*/*', 'text/html,application/xhtml+xml,*/*;q=0.8'])
        assert.equal((await request(`${gw.url}/`, { headers: { accept } })).status, 200);
});

test('an unknown path is 404', async () => {
    for (const path of ['/nope', '/sse/', '/sse/x', '/channel', '/exchange_rates', '/exchange_rates/eur_usd', '/subscribe/x', '/healthz', '/readyz', '/metrics', '/index.html', '//sse'])
        await refused(await request(gw.url + path), 404, path);
});

test('a wrong method is 405 and Allow names the right ones', async () => {
    for (const path of ['/', '/subscribe?channel=x'])
        for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
            const answer = await request(gw.url + path, { method });
            await refused(answer, 405, `${method} ${path}`);
            assert.match(answer.headers.allow, /\bGET\b/);
        }
    for (const path of ['/post', '/channels/x'])
        for (const method of ['PUT', 'DELETE', 'PATCH']) {
            const answer = await request(gw.url + path, { method });
            await refused(answer, 405, `${method} ${path}`);
            assert.deepEqual(answer.headers.allow.split(', ').sort(), ['GET', 'HEAD', 'OPTIONS', 'POST']);
        }
});

test('a channel name out of the grammar is 400 and the sentence says why', async () => {
    const names = ['', '/lead', 'a%20b', 'a%00b', 'a%0Ab', '%C3%A9', '%FF', 'a%2', 'a%zz', 'a*b', 'a{b}', '%22', 'a%5Cb', 'x'.repeat(201)];
    for (const name of names) {
        await refused(await request(`${gw.url}/channels/${name}`), 400, `/channels/${name}`);
        await refused(await request(`${gw.url}/subscribe?channel=good&channel=${name}`), 400, `channel=${name}`);
    }
    const stream = await openStream(`${gw.url}/channels/${'x'.repeat(200)}`);
    assert.equal(stream.status, 200);
    stream.close();
});

test('/subscribe takes 1 to 100 channels', async () => {
    const query = count => Array.from({ length: count }, (_, i) => `channel=c${i}`).join('&');
    await refused(await request(`${gw.url}/subscribe`), 400, 'none');
    await refused(await request(`${gw.url}/subscribe?other=1`), 400, 'none');
    assert.match(await refused(await request(`${gw.url}/subscribe?${query(101)}`), 400, '101'), /100/);
    const stream = await openStream(`${gw.url}/subscribe?${query(100)}`);
    assert.equal(stream.status, 200);
    await gw.waitMetric('sse_channels', value => value >= 100);
    await s.redis.subscribed('c99');
    await s.redis.publish('c99', 'from the last');
    assert.equal((await stream.next()).data, 'from the last');
    stream.close();
});

test('?last= that is no number is 400', async () => {
    for (const last of ['x', '0', '-1', '100001', '1.5', '1e3', '%20', '99999999999999999999', '0x10'])
        await refused(await request(`${gw.url}/channels/x?last=${last}`), 400, last);
});

test('a URL of 100 KiB is 414, a header of 100 KiB is 431, many small ones that add up too', async () => {
    for (const url of [gw.url, gw.httpsUrl]) {
        await refused(await request(`${url}/channels/${'x'.repeat(100 << 10)}`), 414, 'path');
        await refused(await request(`${url}/sse?${'x'.repeat(100 << 10)}`), 414, 'query');
        await refused(await request(`${url}/sse`, { headers: { 'x-big': 'y'.repeat(100 << 10) } }), 431, 'header');
        await refused(await request(`${url}/sse`, { headers: { 'last-event-id': 'y'.repeat(100 << 10) } }), 431, 'Last-Event-ID');
        const many = Object.fromEntries(Array.from({ length: 90 }, (_, i) => [`x-${i}`, 'z'.repeat(1000)]));
        await refused(await request(`${url}/sse`, { headers: many }), 431, 'many headers');
    }
});

test('HEAD on a stream answers its head alone and opens no stream', async () => {
    const opened = await gw.metric('sse_streams_opened_total');
    for (const path of STREAMS) {
        const answer = await request(gw.url + path, { method: 'HEAD', headers: { accept: 'text/event-stream' } });
        assert.deepEqual([answer.status, answer.headers['content-type'], answer.body], [200, 'text/event-stream; charset=utf-8', ''], path);
    }
    assert.equal(await gw.metric('sse_streams_opened_total'), opened);
    const head = await request(`${gw.url}/channels/a%20b`, { method: 'HEAD' });
    assert.deepEqual([head.status, head.body], [400, '']);
});

test('an HTTP/1.0 client gets the stream unchunked', async () => {
    const raw = await Raw.connect(gw.port);
    raw.send('GET /sse HTTP/1.0\r\n\r\n');
    const { status, headers } = await raw.head();
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'text/event-stream; charset=utf-8');
    assert.equal(headers['transfer-encoding'], undefined);
    await raw.waitText(/\r\n\r\n:\nevent: message\ndata: \{"msg":"a"\}\nid: [0-9a-f-]{36}\nretry: 6000\n\n$/);
    raw.close();
});

test('a request in dribs and drabs is still one request', async () => {
    const raw = await Raw.connect(gw.port);
    for (const byte of 'GET /sse HTTP/1.1\r\nHost: x\r\n\r\n') {
        raw.send(byte);
        await new Promise(resolve => setImmediate(resolve));
    }
    assert.equal((await raw.head()).status, 200);
    raw.close();
});

test('garbage on the wire is answered or closed, and hurts no other stream', async () => {
    const garbage = ['\r\n\r\n\r\n', 'GET\r\n\r\n', 'GET /sse\r\n\r\n', `${'\x00'.repeat(1000)}\r\n\r\n`, 'GET /sse HTTP/9.9\r\n\r\n',
        'GET /sse HTTP/1.1\r\nbroken header\r\n\r\n', 'GET /sse HTTP/1.1\r\n: x\r\n\r\n', 'GET http://evil/sse HTTP/1.1\r\n\r\n',
        'POST /post HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n',
        'POST /post HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n', 'POST /post HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n',
        'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', '\x16\x03\x01\x02\x00\x01\x00\x01', '\xff'.repeat(500000),
        'GET /channels/x HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n', 'CONNECT evil:80 HTTP/1.1\r\nhost: x\r\n\r\n',
        'GET %zz HTTP/1.1\r\nhost: x\r\n\r\n', 'GET /channels/%00 HTTP/1.1\r\nhost: x\r\n\r\n', 'OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n'];
    for (const port of [gw.port, gw.ports.public])
        for (const bytes of garbage) {
            const raw = await Raw.connect(port);
            raw.socket.end(Buffer.from(bytes, 'latin1'));
            await raw.waitEnd(15000).catch(() => raw.close()); // a stream it may have opened ends with our half-close
            raw.close();
        }
    assert.ok(gw.running);
    await s.redis.publish('bystander', 'unharmed');
    assert.equal((await bystander.next()).data, 'unharmed');
    await gw.waitMetric('sse_streams', 1);
});

test('a body over the limit is 413 at the gateway already, with or without Content-Length', async () => {
    const stack = await Stack.start({ env: { BODY_LIMIT: 1000 } });
    const url = `${stack.gw[0].url}/post`;
    const json = { 'content-type': 'application/json' };
    const body = `{"x":"${'y'.repeat(2000)}"}`;
    await refused(await request(url, { method: 'POST', headers: { ...json, 'content-length': body.length }, body }), 413, 'content-length');
    await refused(await request(url, { method: 'POST', headers: { ...json, 'transfer-encoding': 'chunked' }, body }), 413, 'chunked');
    assert.equal((await request(url, { method: 'POST', headers: json, body: `{"x":"${'y'.repeat(900)}"}` })).status, 303);
});

test('no request writes a line of its own into the log', async () => {
    await request(`${gw.url}/channels/x%0Alevel=error%20msg=%22forged%22`);
    await request(`${gw.url}/post`, { method: 'POST', headers: { 'content-type': 'x"\\forged' }, body: 'x' });
    assert.ok(!gw.lines.some(line => /^level=error msg="forged"/.test(line)));
});
