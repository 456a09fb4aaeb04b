// HTTP/1.1: slow, large and ambiguous requests. What libh2o makes of shapes that proxies are known to disagree about is written down here, so
// that a change of it is noticed.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { SANITIZED, SCALE, binary, quiet, until } from '../integration/stack.mjs';
import { Raw } from '../integration/raw.mjs';
import { openStream } from '../integration/sse.mjs';
import { FLAG, Frames, TYPE, frame, statusOf } from './frames.mjs';
import { HARDENING_SCALE, Stage, costs, row } from './stage.mjs';

const run = promisify(execFile);
const LIMIT = { timeout: 90000 * SCALE };
const stage = await Stage.start();
const { gw, pub } = stage;
const SECONDS = { [gw.name]: 10, [pub.name]: 30 };
const name = server => server.name.replace(/ 0$/, '');
const statuses = raw => [...raw.text.matchAll(/HTTP\/1\.1 (\d+) /g)].map(match => Number(match[1]));

async function dripped(server, first, more) {
    const raw = await Raw.connect(server.port), start = performance.now();
    raw.send(first);
    while (!raw.ended) {
        raw.send(more);
        await quiet(500 / SCALE);
        if (performance.now() - start > 60000 * SCALE)
            break;
    }
    await raw.waitEnd(1000);
    return (performance.now() - start) / 1000;
}

describe('slow requests', { concurrency: true }, () => {
    for (const server of [gw, pub])
        for (const [what, first, more] of [
            ['a head of a byte every 0.5 s (slowloris)', 'GET /sse HTTP/1.1\r\nhost: x\r\nx-slow: ', 'a'],
            ['a header line every 0.5 s', 'GET /sse HTTP/1.1\r\nhost: x\r\n', 'a: b\r\n'],
            ['a body of a byte every 0.5 s', 'POST /post HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n', ' '],
            ['a chunked body of a byte every 0.5 s', 'POST /post HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n', '1\r\n \r\n'],
        ])
            test(`${name(server)}: ${what}: closed when the time for a request is over`, LIMIT, async t => {
                const limit = SECONDS[server.name], took = await dripped(server, first, more);
                assert.ok(took > limit - 1 && took < limit + 4 * SCALE, `${took} s`);
                row(t, `HTTP/1.1: ${what}`, name(server), `closed after ${limit} s`);
            });
});

const big = n => 'x'.repeat(n);
for (const server of [gw, pub])
    for (const [what, text, expected] of [
        ['a path of 9,000 bytes', `GET /${big(9000)} HTTP/1.1\r\nhost: x\r\n\r\n`, [414]],
        ['headers of 40,000 bytes', `GET /sse HTTP/1.1\r\nhost: x\r\na: ${big(40000)}\r\n\r\n`, [431]],
        ['100,000 header lines', `GET /sse HTTP/1.1\r\nhost: x\r\n${'a: b\r\n'.repeat(100000)}\r\n`, [400]],
        ['a head of 500,000 bytes without an end', `GET /sse HTTP/1.1\r\nhost: x\r\na: ${big(500000)}`, [400]],
        ['1,000 pipelined requests, then garbage', `${'GET /no-such-path HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(1000)}\x00\xff\x16\r\n\r\n`, [...Array(1000).fill(404), 400]],
        ['garbage', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', [400]],
    ])
        test(`${name(server)}: ${what}: ${[...new Set(expected)].join(', then ')}`, LIMIT, async t => {
            const calm = await stage.calm(server);
            const noticed = await stage.during(server, async () => {
                const raws = await Promise.all(Array.from({ length: 10 }, () => Raw.connect(server.port)));
                raws.forEach(raw => raw.send(Buffer.from(text, 'latin1')));
                await Promise.all(raws.map(raw => until('an answer', () => statuses(raw).length === expected.length || raw.ended, 8000)));
                // who closes with bytes unread resets the connection, and the reset may overtake the answer (RFC 9112 section 9.6)
                const overtaken = raw => text.length > 400000 && raw.ended && statuses(raw).length === 0;
                raws.filter(raw => !overtaken(raw)).forEach(raw => assert.deepEqual(statuses(raw), expected));
                raws.forEach(raw => raw.close());
            });
            assert.ok(SANITIZED || noticed.peak < noticed.before + 30000, `${noticed.before} KB grew to ${noticed.peak}`);
            row(t, `HTTP/1.1: ${what}, 10 at once`, name(server), [...new Set(expected)].join(', then '), calm, noticed);
        });

// A megabyte on each of ten connections. Every request is answered, but in turn with everybody else.
for (const server of [gw, pub])
    test(`${name(server)}: 300,000 pipelined requests on 10 connections hold nobody up`, LIMIT, async t => {
        const connections = 10, requests = Math.round(30000 * HARDENING_SCALE);
        await costs(t, stage, server, { what: `${connections * requests} pipelined requests, ${connections} connections`, bound: '2 ms of a turn' }, async () => {
            const { stdout } = await run(binary('pipeline'), [server.port, connections, requests]);
            const { bytes, answers } = JSON.parse(stdout);
            assert.equal(answers, connections * requests);
            return bytes;
        });
    });

test('gateway: a client that goes on sending on its open stream is closed, and not read', LIMIT, async t => {
    const calm = await stage.calm(gw);
    const noticed = await stage.during(gw, async () => {
        const raw = await Raw.connect(gw.port);
        raw.send('GET /channels/watched HTTP/1.1\r\nhost: x\r\n\r\n');
        assert.equal((await raw.head()).status, 200);
        raw.send(Buffer.alloc(8 << 20, 'x'));
        await raw.waitEnd();
    });
    assert.equal(await gw.metric('sse_stream_closes_total', { reason: 'client sent data' }), 1);
    assert.equal(noticed.open, 100);
    row(t, 'HTTP/1.1: 8 MB sent on an open stream', 'gateway', 'closed: client sent data', calm, noticed);
});

// Smuggling needs two parties that see another end, or another host, of one request. Each shape here is a POST followed by a request that is
// hidden from whoever sees the other end. Refused means: one answer, 400, and the connection is closed, so that nothing hidden is ever looked at.
const POST = 'POST /channels/smuggled HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n';
const HIDDEN = 'GET /no-such-path HTTP/1.1\r\nhost: x\r\n\r\n';
const CHUNKED = '2\r\n{}\r\n0\r\n\r\n';
const REFUSED = {
    'Content-Length and Transfer-Encoding': `${POST}content-length: ${5 + HIDDEN.length}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    'Transfer-Encoding and Content-Length': `${POST}transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n${CHUNKED}`,
    'two Content-Length that differ': `${POST}content-length: 2\r\ncontent-length: ${2 + HIDDEN.length}\r\n\r\n{}`,
    'two Content-Length that differ, the longer first': `${POST}content-length: ${2 + HIDDEN.length}\r\ncontent-length: 2\r\n\r\n{}`,
    'two Content-Length, alike': `${POST}content-length: 2\r\ncontent-length: 2\r\n\r\n{}`,
    'Content-Length: 2, 2': `${POST}content-length: 2, 2\r\n\r\n{}`,
    'Content-Length: +2': `${POST}content-length: +2\r\n\r\n{}`,
    'Content-Length: 0x2': `${POST}content-length: 0x2\r\n\r\n{}`,
    'Content-Length: -1': `${POST}content-length: -1\r\n\r\n{}`,
    'a Content-Length above 2^64': `${POST}content-length: 18446744073709551618\r\n\r\n{}`,
    'a space before the colon': `${POST}content-length : 2\r\n\r\n{}`,
    'Transfer-Encoding on a folded line': `${POST}transfer-encoding:\r\n chunked\r\n\r\n${CHUNKED}`,
    'a folded line': `${POST}content-length: 2\r\nx-a: b\r\n content-length: 99\r\n\r\n{}`,
    'a line that begins with a space': `${POST} content-length: 2\r\n\r\n{}`,
    'Transfer-Encoding: gzip, chunked': `${POST}transfer-encoding: gzip, chunked\r\n\r\n${CHUNKED}`,
    'Transfer-Encoding: xchunked': `${POST}transfer-encoding: xchunked\r\n\r\n${CHUNKED}`,
    'Transfer-Encoding: identity': `${POST}transfer-encoding: identity\r\n\r\n{}`,
    'Transfer-Encoding twice': `${POST}transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n\r\n${CHUNKED}`,
    'Transfer-Encoding after a vertical tab': `${POST}transfer-encoding: \x0bchunked\r\n\r\n${CHUNKED}`,
    'Transfer-Encoding in HTTP/1.0': `${POST.replace('1.1', '1.0')}transfer-encoding: chunked\r\nconnection: keep-alive\r\n\r\n${CHUNKED}`,
    'lines that end with LF alone': `${POST}content-length: 2\r\n\r\n{}`.replaceAll('\r\n', '\n'),
    'one line that ends with LF alone': `${POST}x: a\ntransfer-encoding: chunked\r\n\r\n${CHUNKED}`,
    'a CR within a line': `${POST}x: a\rtransfer-encoding: chunked\r\n\r\n{}`,
    'a NUL within a line': `${POST}x: a\0b\r\ncontent-length: 2\r\n\r\n{}`,
    'a chunk whose size line ends with LF alone': `${POST}transfer-encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n`,
    'a chunk whose extension ends with LF alone': `${POST}transfer-encoding: chunked\r\n\r\n2;x\n{}\r\n0\r\n\r\n`,
    'a chunk size above 2^64': `${POST}transfer-encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n`,
    'a chunk size of -2': `${POST}transfer-encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n`,
    'a chunk size of 0x2': `${POST}transfer-encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n`,
    'a chunk longer than its size': `${POST}transfer-encoding: chunked\r\n\r\n2\r\n{}xx\r\n0\r\n\r\n`,
    'two Host': `${POST}host: y\r\ncontent-length: 2\r\n\r\n{}`,
    'no Host': `${POST.replace('host: x\r\n', '')}content-length: 2\r\n\r\n{}`,
    'a Host with a blank': `${POST.replace('host: x', 'host: x y')}content-length: 2\r\n\r\n{}`,
    'a Host with a user': `${POST.replace('host: x', 'host: u:p@x')}content-length: 2\r\n\r\n{}`,
    'no method': ` ${POST.slice('POST '.length)}content-length: 2\r\n\r\n{}`,
    'no path': `${POST.replace('/channels/smuggled', '')}content-length: 2\r\n\r\n{}`,
    'HTTP/0.9': 'GET /no-such-path\r\n\r\n',
};
// Taken, with the hidden request as one of its own: every recipient sees these ends.
const TAKEN = {
    'Content-Length': `${POST}content-length: 2\r\n\r\n{}`,
    chunked: `${POST}transfer-encoding: chunked\r\n\r\n${CHUNKED}`,
    'CHUNKED, with an extension and trailers': `${POST}Transfer-Encoding: CHUNKED\r\n\r\n1 ;a="b"\r\n{\r\n01\r\n}\r\n000\r\ncontent-length: 50\r\nx: y\r\n\r\n`,
    'an empty line before the request': `\r\n${POST}content-length: 2\r\n\r\n{}`,
    'a header whose name only looks like one': `${POST}content_length: 99\r\ncontent-length: 2\r\n\r\n{}`,
};

async function answered(server, text, count) {
    const raw = await Raw.connect(server.port);
    raw.send(Buffer.from(text + HIDDEN, 'latin1'));
    await until('an answer', () => statuses(raw).length >= count || raw.ended);
    await quiet(50);
    return raw;
}

for (const server of [gw, pub]) {
    test(`${name(server)}: requests whose end or host could be seen in two ways are refused, and the connection closed`, LIMIT, async t => {
        for (const [what, text] of Object.entries(REFUSED)) {
            const raw = await answered(server, text, 1);
            assert.deepEqual([what, statuses(raw), raw.ended], [what, [400], true]);
            row(t, `HTTP/1.1, smuggling: ${what}`, name(server), '400, closed');
        }
    });

    test(`${name(server)}: requests with one meaning are taken, byte by byte too`, LIMIT, async () => {
        for (const [what, text] of Object.entries(TAKEN)) {
            const raw = await answered(server, text, 2);
            assert.deepEqual([what, statuses(raw)], [what, [200, 404]]);
            raw.close();
            const slowly = await Raw.connect(server.port);
            for (const byte of text + HIDDEN) {
                slowly.send(byte);
                await new Promise(resolve => setImmediate(resolve));
            }
            await until('both answers', () => statuses(slowly).length === 2, 8000, () => slowly.text);
            assert.deepEqual([what, statuses(slowly)], [what, [200, 404]]);
            slowly.close();
        }
    });
}

// The gateway passes HTTP/2 requests on over HTTP/1.1.
test('gateway: HTTP/2 fields that would end a line on the way to the publisher are refused', LIMIT, async t => {
    const cases = [
        ['a header value with CRLF', 'POST', '/channels/smuggled', [['x-a', 'b\r\nsse-event: forged']]],
        ['a header name with CRLF', 'POST', '/channels/smuggled', [['x-a: b\r\nsse-event', 'forged']]],
        ['a header name with a colon', 'POST', '/channels/smuggled', [['sse-event: forged', 'x']]],
        ['a path with CRLF', 'POST', '/channels/smuggled HTTP/1.1\r\nsse-event: forged\r\nx: ', []],
        ['a path with a space', 'POST', '/channels/smuggled HTTP/1.1 ', []],
        ['a method with CRLF', 'POST /channels/smuggled HTTP/1.1\r\nsse-event: forged\r\nx: y\r\n\r\nPOST', '/channels/smuggled', []],
        ['Transfer-Encoding', 'POST', '/channels/smuggled', [['transfer-encoding', 'chunked']]],
        ['Connection', 'POST', '/channels/smuggled', [['connection', 'sse-event']]],
    ];
    const stream = await openStream(`${gw.url}/channels/smuggled`);
    await stage.stack.redis.subscribed('smuggled');
    for (const [what, method, path, fields] of cases) {
        const c = await Frames.connect(gw.port);
        const id = c.request(method, path, { end: false, fields: [['content-type', 'text/plain'], ...fields] });
        c.send(frame(TYPE.DATA, FLAG.END_STREAM, id, 'x'));
        const end = await until(what, () => c.find(TYPE.HEADERS) ?? c.find(TYPE.RST_STREAM) ?? c.find(TYPE.GOAWAY));
        const verdict = end.type === TYPE.HEADERS ? `status ${statusOf(end)}` : end.type === TYPE.GOAWAY ? 'closed' : 'stream reset';
        assert.match(verdict, /status 4\d\d|closed|stream reset/, what);
        row(t, `HTTP/2 to HTTP/1.1, smuggling: ${what}`, 'gateway', verdict);
        c.close();
    }
    await stage.stack.post('smuggled', 'the first');
    assert.deepEqual(await stream.next(), { type: 'message', data: 'the first', lastEventId: stream.parser.lastEventId });
    stream.close();
});
