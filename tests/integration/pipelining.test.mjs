// Many HTTP/1.1 requests on a connection that does not wait for the answers. One turn of the loop begins but some of them; each is answered, in its place.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { Stack, until, within } from './stack.mjs';
import { Raw } from './raw.mjs';

const ROUNDS = 300;
const s = await Stack.start({ tls: true, gatewayEnv: [{ THREADS: 1 }], publishers: 1 });
const [gw] = s.gw;
const WAYS = [{ port: gw.port }, { port: Number(new URL(gw.httpsUrl).port), secure: true }];

const CHUNKED = 'POST /no-such-path HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n';
const POST = 'POST /channels/pipelined HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n';
const ROUND = [
    ['GET /no-such-path HTTP/1.1\r\nhost: x\r\n\r\n', [404]],
    ['GET /subscribe HTTP/1.1\r\nhost: x\r\n\r\n', [400]],
    [`${CHUNKED}2\r\n{}\r\n0\r\n\r\n`, [404]],
    ['DELETE /sse HTTP/1.1\r\nhost: x\r\n\r\n', [405]],
    ['HEAD /no-such-path HTTP/1.1\r\nhost: x\r\n\r\n', [404]],
    [`${POST.replace('/channels/pipelined', '/no-such-path')}expect: 100-continue\r\n\r\nhello`, [100, 404]],
];
const FORWARDED = [`${POST}\r\nhello`, [200]];
const LAST = ['GET /subscribe HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n', [400]];
const ALL = [...Array.from({ length: ROUNDS }, (_, i) => (i % 50 === 0 ? [FORWARDED, ...ROUND] : ROUND)).flat(), LAST];
const TEXT = ALL.map(([text]) => text).join('');
const STATUSES = ALL.flatMap(([, statuses]) => statuses);

const connect = ({ port, secure }) => Raw.connect(port, { secure });
const statuses = raw => [...raw.text.matchAll(/HTTP\/1\.1 (\d+) /g)].map(match => Number(match[1]));

test('six connections at once with 1,800 pipelined requests each, half of them over TLS: each is answered, in its place', async () => {
    const raws = await Promise.all([0, 1, 0, 1, 0, 1].map(way => connect(WAYS[way])));
    raws.forEach(raw => raw.send(TEXT));
    for (const raw of raws) {
        await raw.waitEnd(30000);
        assert.deepEqual(statuses(raw), STATUSES);
    }
});

test('beside them ten HTTP/2 connections with 90 requests each: all are answered', async () => {
    const raws = await Promise.all([0, 1].map(way => connect(WAYS[way])));
    const sessions = Array.from({ length: 10 }, () => http2.connect(gw.httpsUrl, { rejectUnauthorized: false }));
    await Promise.all(sessions.map(session => once(session, 'remoteSettings')));
    raws.forEach(raw => raw.send(TEXT));
    const answers = sessions.flatMap(session => Array.from({ length: 90 }, async () => {
        const [headers] = await once(session.request({ ':path': '/no-such-path' }).resume(), 'response');
        return headers[':status'];
    }));
    assert.deepEqual(new Set(await within('answers over HTTP/2', Promise.all(answers), 30000)), new Set([404]));
    for (const raw of raws) {
        await raw.waitEnd(30000);
        assert.deepEqual(statuses(raw), STATUSES);
    }
    sessions.forEach(session => session.destroy());
});

test('clients that leave while their requests wait are forgotten', async () => {
    for (let i = 0; i < 5; ++i) {
        const raws = await Promise.all([0, 1, 0, 1].map(way => connect(WAYS[way])));
        raws.forEach(raw => raw.send(TEXT));
        await Promise.all(raws.slice(2).map(raw => raw.wait('the first answer', () => raw.text !== '')));
        raws.forEach(raw => raw.close());
    }
    await until('their connections are closed', async () => await gw.metric('sse_connections') === 0, 20000);
    const raw = await connect(WAYS[1]);
    raw.send(LAST[0]);
    await raw.waitEnd();
    assert.deepEqual(statuses(raw), [400]);
});
