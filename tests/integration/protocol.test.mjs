// What the standards of HTTP ask of any server, beside what bad_input.test.mjs has: targets, connections, interim answers, malformed requests.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { Stack, until } from './stack.mjs';
import { Raw } from './raw.mjs';
import { openStream } from './sse.mjs';

const s = await Stack.start({ env: { CORS_ORIGINS: '' }, gatewayEnv: [{ HTTP2_CLEARTEXT: 'on' }], publisherEnv: [{}] });
const [gw] = s.gw, [pub] = s.pub;
const PROGRAMS = [['gateway', gw], ['publisher', pub]];

async function answer(port, text) {
    const raw = await Raw.connect(port);
    raw.send(text);
    const head = await raw.head();
    raw.close();
    return head;
}
const post = (target, { host = 'x', fields = '' } = {}) =>
    `POST ${target} HTTP/1.1\r\nhost: ${host}\r\ncontent-type: text/plain\r\ncontent-length: 1\r\n${fields}\r\nx`;

for (const [name, server] of PROGRAMS) {
    test(`${name}: a target in the absolute form is taken (RFC 9112 section 3.2.2), and its host counts`, async () => {
        const stream = await openStream(`${gw.url}/channels/absolute`);
        await s.redis.subscribed('absolute');
        for (const target of ['http://example.com/channels/absolute', 'HTTP://127.0.0.1:80/channels/absolute', 'https://[::1]:8443/channels/absolute?event=typed']) {
            assert.equal((await answer(server.port, post(target, { host: 'other' }))).status, 200, target);
            await stream.next();
        }
        const own = await answer(server.port, post('http://example.com/channels/absolute', { host: 'other', fields: 'origin: http://example.com\r\n' }));
        assert.equal(own.status, 200, 'the origin is that of the target');
        const foreign = await answer(server.port, post('http://example.com/channels/absolute', { host: 'other', fields: 'origin: http://other\r\n' }));
        assert.equal(foreign.status, 403);
        for (const target of ['http://user@example.com/channels/absolute', 'http:///channels/absolute', 'http://exa mple/channels/absolute'])
            assert.equal((await answer(server.port, post(target))).status, 400, target);
        stream.close();
    });

    test(`${name}: a Host with the port of the scheme is the host of the origin without it`, async () => {
        for (const [host, origin, status] of [['example.com:443', 'https://example.com', 200], ['example.com:80', 'http://example.com', 200],
            ['example.com', 'https://example.com:443', 200], ['example.com:443', 'http://example.com', 403], ['example.com:8443', 'https://example.com', 403]]) {
            const { status: got } = await answer(server.port, post('/channels/hosts', { host, fields: `origin: ${origin}\r\n` }));
            assert.equal(got, status, `${host} ${origin}`);
        }
    });

    test(`${name}: a request that is no HTTP gets one JSON sentence`, async () => {
        for (const text of ['GET /sse HTTP/1.1\r\nhost : x\r\n\r\n', 'nonsense\r\n\r\n', 'GET /sse HTTP/1.1\r\n\r\n', 'GET /sse HTTP/1.1\nhost: x\n\n', '\x16\x03\x01\r\n\r\n']) {
            const raw = await Raw.connect(server.port);
            raw.send(Buffer.from(text, 'latin1'));
            const { status, headers } = await raw.head();
            await raw.waitEnd();
            const { rest } = await raw.head();
            assert.equal(status, 400);
            assert.equal(headers['content-type'], 'application/json');
            assert.equal(Number(headers['content-length']), rest.length);
            assert.match(JSON.parse(rest).error, /^this is not a well-formed HTTP\/1\.1 request$/);
        }
    });
}

test('a stream over HTTP/1.1 says Connection: close to a client that asked for it', async () => {
    for (const [asked, said] of [['close', 'close'], ['keep-alive', 'keep-alive']]) {
        const { headers } = await answer(gw.port, `GET /channels/closing HTTP/1.1\r\nhost: x\r\nconnection: ${asked}\r\n\r\n`);
        assert.deepEqual([headers.connection, headers['transfer-encoding']], [said, 'chunked']);
    }
});

test('100 Continue is sent over HTTP/2 to a client that waits for it, by both programs', async () => {
    for (const [name, server] of PROGRAMS) {
        const session = http2.connect(server.url);
        const request = session.request({ ':method': 'POST', ':path': '/channels/waits', 'content-type': 'text/plain', expect: '100-continue' }, { endStream: false });
        let status = 0;
        request.on('continue', () => request.end('x'));
        request.on('response', headers => (status = headers[':status']));
        await until(`${name} answers`, () => status !== 0);
        assert.equal(status, 200);
        session.destroy();
    }
});
