// HTTP/2 by ALPN over TLS and by prior knowledge, its stream cap, and HTTP/1.1 over TLS.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import tls from 'node:tls';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Stack } from './stack.mjs';
import { H2, openStream, request } from './sse.mjs';
import { Raw } from './raw.mjs';
import { Frames, TYPE, frame, setting, u32 } from '../hardening/frames.mjs';

const run = promisify(execFile);
const JSON_TYPE = { 'content-type': 'application/json' };
const s = await Stack.start({ gateways: 2, tls: [0], gatewayEnv: [{}, { HTTP2_CLEARTEXT: 'on' }] });
const [secure, clear] = s.gw;

test('ALPN picks h2 or http/1.1, TLS 1.2 and 1.3 only', async () => {
    const alpn = (protocols, options = {}) => new Promise((resolve, reject) => {
        const socket = tls.connect({ host: '127.0.0.1', port: secure.ports.public, rejectUnauthorized: false, ALPNProtocols: protocols, ...options });
        socket.on('secureConnect', () => {
            resolve([socket.alpnProtocol, socket.getProtocol()]);
            socket.destroy();
        });
        socket.on('error', reject);
    });
    assert.deepEqual(await alpn(['h2', 'http/1.1']), ['h2', 'TLSv1.3']);
    assert.deepEqual(await alpn(['http/1.1']), ['http/1.1', 'TLSv1.3']);
    assert.deepEqual(await alpn(undefined), [false, 'TLSv1.3']);
    assert.deepEqual(await alpn(['h2'], { maxVersion: 'TLSv1.2' }), ['h2', 'TLSv1.2']);
    await assert.rejects(alpn(['h2'], { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }));
});

test('curl speaks HTTP/2 to the TLS port and gets the stream\'s exact bytes', async () => {
    const { stdout } = await run('curl', ['-skN', '--http2', '-i', '-m', '3', `${secure.httpsUrl}/sse`]).catch(error => error);
    assert.match(stdout, /^HTTP\/2 200 *\r\n/);
    assert.match(stdout, /\r\ncontent-type: text\/event-stream; charset=utf-8\r\n/);
    assert.match(stdout, /\r\n\r\n:\nevent: message\ndata: \{"msg":"a"\}\nid: [0-9a-f-]{36}\nretry: 6000\n\n/);
    assert.doesNotMatch(stdout, /\r\n(connection|transfer-encoding):/i);
});

test('HTTP/1.1 over TLS streams, posts, and carries a megabyte', async () => {
    const stream = await openStream(`${secure.httpsUrl}/post`);
    assert.equal(stream.status, 200);
    await s.redis.subscribed('post');
    assert.equal((await request(`${secure.httpsUrl}/post`, { method: 'POST', headers: JSON_TYPE, body: '{"a":1}' })).status, 303);
    assert.equal((await stream.next()).data, '{"a":1}');
    const big = 'y'.repeat(1 << 20);
    await s.redis.publish('post', big);
    assert.equal((await stream.next(20000)).data, big);
    stream.close();
});

for (const [what, address] of [['TLS', () => secure.httpsUrl], ['prior knowledge', () => clear.url]]) {
    test(`HTTP/2 with ${what}: 90 streams on one connection, a POST beside them, and the 91st stream is 429`, async () => {
        const h2 = await H2.connect(address());
        const streams = await Promise.all(Array.from({ length: 90 }, () => h2.open('/post')));
        assert.deepEqual([...new Set(streams.map(stream => stream.status))], [200]);
        for (const name of ['connection', 'transfer-encoding', 'keep-alive'])
            assert.equal(streams[0].headers[name], undefined);
        await s.redis.subscribed('post');
        for (let i = 0; i < 3; ++i) {
            const answer = await h2.request('/post', { method: 'POST', headers: JSON_TYPE, body: `{"n":${i}}` });
            assert.equal(answer.status, 303);
            assert.equal(answer.body, 'broadcasted');
        }
        for (const stream of streams)
            assert.deepEqual((await stream.take(3)).map(event => event.data), ['{"n":0}', '{"n":1}', '{"n":2}']);
        const refused = await h2.request('/sse', { headers: { accept: 'text/event-stream' } });
        assert.equal(refused.status, 429);
        assert.equal(typeof JSON.parse(refused.body).error, 'string');
        streams[0].close();
        await streams[0].closed;
        const again = await (async () => {
            for (;;) { // the server hears of the reset a moment later
                const stream = await h2.open('/post');
                if (stream.status === 200)
                    return stream;
            }
        })();
        assert.equal(again.status, 200);
        h2.close();
    });

    test(`HTTP/2 with ${what}: a megabyte passes flow control, other streams of the connection go on`, async () => {
        const h2 = await H2.connect(address());
        const [big, small] = [await h2.open('/channels/big'), await h2.open('/channels/small')];
        await s.redis.subscribed('big');
        await s.redis.subscribed('small');
        const data = 'z'.repeat(1 << 20);
        await s.redis.publish('big', data);
        await s.redis.publish('small', 'tiny');
        assert.equal((await small.next()).data, 'tiny');
        assert.equal((await big.next(20000)).data, data);
        h2.close();
    });

    test(`HTTP/2 with ${what}: windows and frame sizes of every kind, and all events whole and in order`, async () => {
        const windows = [2000, 16384, 65535, 1 << 20];
        const clients = await Promise.all(windows.map(initialWindowSize => H2.connect(address(), { settings: { initialWindowSize } })));
        const streams = (await Promise.all(clients.map(h2 => Promise.all([1, 2, 3].map(() => h2.open('/channels/sizes')))))).flat();
        await s.redis.subscribed('sizes');
        const sizes = [1, 270, 300, 5000, 16300, 16384, 16400, 2, 40000, 81900, 82000, 3, 1, 150000, 4];
        const events = sizes.map((n, i) => String.fromCharCode(97 + i).repeat(n));
        for (const round of [1, 2]) {
            await Promise.all(events.map(data => s.redis.publish('sizes', data)));
            for (const stream of streams)
                assert.ok((await stream.take(events.length, 20000)).every((event, i) => event.data === events[i]), `round ${round}`);
        }
        for (const h2 of clients)
            h2.close();
    });

    test(`HTTP/2 with ${what}: HEAD, errors and the page work beside a stream`, async () => {
        const h2 = await H2.connect(address());
        const stream = await h2.open('/channels/x');
        assert.equal((await h2.request('/nope')).status, 404);
        assert.equal((await h2.request('/sse', { headers: { accept: 'text/html' } })).status, 406);
        const head = await h2.request('/sse', { method: 'HEAD' });
        assert.deepEqual([head.status, head.body, head.headers['content-type']], [200, '', 'text/event-stream; charset=utf-8']);
        assert.match((await h2.request('/', { headers: { accept: 'text/html' } })).body, /<html/i);
        assert.equal(stream.ended, null);
        h2.close();
    });
}

// RFC 9113 section 5.2: a window is a promise of the client to take so many bytes, and of nobody to take one more.
for (const [whose, settings, stream, window] of [['a stream', setting(4, 5000), 1, 5000], ['a connection', setting(4, 1 << 24), 0, 65535]]) {
    test(`what the window of ${whose} allows is sent to the byte, and the rest when it opens`, async () => {
        const client = await Frames.connect(clear.ports.public, { settings });
        const data = () => client.frames.filter(one => one.type === TYPE.DATA).map(one => one.payload);
        const bytes = () => data().reduce((sum, payload) => sum + payload.length, 0);
        client.request('GET', '/channels/windows');
        await client.wait('a head', TYPE.HEADERS, () => true);
        await s.redis.subscribed('windows');
        const events = Array.from({ length: 100 }, (_, i) => `${i} ${'w'.repeat(2000)}`);
        for (const event of events)
            await s.redis.publish('windows', event);
        await client.wait('the window is used up', TYPE.DATA, () => bytes() >= window);
        client.send(frame(TYPE.PING, 0, 0, '12345678'));
        await client.wait('an answer behind the data', TYPE.PING, () => true);
        assert.equal(bytes(), window);
        client.send(frame(TYPE.WINDOW_UPDATE, 0, stream, u32(1 << 20)), frame(TYPE.WINDOW_UPDATE, 0, 1 - stream, u32(1 << 20)));
        await client.wait('the last event', TYPE.DATA, () => Buffer.concat(data()).includes(`${events.at(-1)}\n`));
        const got = Buffer.concat(data()).toString().split('\n').filter(line => line.startsWith('data: ')).map(line => line.slice(6));
        assert.deepEqual(got, events);
        assert.ok(data().every(payload => payload.length <= 16384));
        client.close();
    });
}

test('prior knowledge is off unless HTTP2_CLEARTEXT=on', async () => {
    const session = http2.connect(secure.url);
    const failed = new Promise(resolve => {
        session.on('error', resolve);
        session.on('close', resolve);
    });
    const stream = session.request({ ':path': '/sse' });
    let status = null;
    stream.on('response', head => (status = head[':status']));
    stream.on('error', () => {});
    await failed;
    assert.equal(status, null);
    session.destroy();
});

test('an Upgrade: h2c header is not taken, the request is answered as HTTP/1.1', async () => {
    const raw = await Raw.connect(secure.port);
    raw.send('GET /sse HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n');
    const { status, version } = await raw.head();
    assert.deepEqual([version, status], ['HTTP/1.1', 200]);
    raw.close();
});

test('plain HTTP to the TLS port is closed, and the port still works', async () => {
    const raw = await Raw.connect(secure.ports.public);
    raw.send('GET /sse HTTP/1.1\r\nhost: x\r\n\r\n');
    await raw.waitEnd();
    assert.doesNotMatch(raw.text, /200/);
    const stream = await openStream(`${secure.httpsUrl}/sse`);
    assert.equal(stream.status, 200);
    stream.close();
});
