// What the head of one request can cost: fields that libh2o decodes at each reference, fields that its proxy joins one by one, and fields that must not
// stand where they stand. The inputs are ten times those that hurt version 1.0 (see the section "What one client can cost" of README.md).
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { SCALE, until } from '../integration/stack.mjs';
import { openStream } from '../integration/sse.mjs';
import { DIGEST, literal, repeated, requests } from './costly.mjs';
import { FLAG, Frames, TYPE, frame, statusOf } from './frames.mjs';
import { Stage, costs } from './stage.mjs';

const LIMIT = { timeout: 90000 * SCALE };
const stage = await Stage.start();
const { gw, pub } = stage;

for (const [name, server] of [['gateway', gw], ['publisher', pub]]) {
    test(`${name}: ten cache-digest bombs of 12 KB: closed before they are decoded`, LIMIT, async t => {
        const field = repeated('cache-digest', DIGEST, 8000);
        await costs(t, stage, server, { what: 'the field cache-digest, 8,000 times in a head of 12 KB, 10 connections', bound: '256 fields in a head: head fields' },
            async () => {
                const { sent, closed } = await requests(server, 10, 1, field, { end: false });
                assert.equal(closed, 10);
                return sent;
            });
    });

    test(`${name}: as many cache-digest fields as a head may hold cost no more than any other`, LIMIT, async t => {
        const field = repeated('cache-digest', DIGEST, 240);
        await costs(t, stage, server, { what: 'the field cache-digest, 240 times in each of 900 heads', bound: 'not decoded' },
            async () => (await requests(server, 10, 90, field, { end: true })).sent);
    });

    test(`${name}: 40 connections with 90 POSTs of 1,000 cookie fields: closed`, LIMIT, async t =>
        costs(t, stage, server, { what: '1,000 fields cookie in each of 3,600 POSTs', bound: '256 fields in a head: head fields' }, async () => {
            const { sent, closed } = await requests(server, 40, 90, repeated('cookie', 'a=bcdefghijklmnopqrstuvwxyz1234', 990), { end: true });
            assert.equal(closed, 40);
            return sent;
        }));
}

for (const field of ['cookie', 'via', 'x-forwarded-for'])
    test(`gateway: as many ${field} fields as a head may hold are joined in one pass`, LIMIT, async t =>
        costs(t, stage, gw, { what: `240 fields ${field} in each of 180 POSTs`, bound: 'joined in one pass' },
            async () => (await requests(gw, 2, 90, repeated(field, `1=${'c'.repeat(80)}`, 240), { end: true })).sent));

// [what, fields]
const ILLEGAL = [
    ['an empty name', [['', 'x']]],
    ['a value that begins with a blank', [['x-a', ' b']]],
    ['a value that ends with a tab', [['x-a', 'b\t']]],
    ['keep-alive', [['keep-alive', 'timeout=5']]],
    ['proxy-connection', [['proxy-connection', 'keep-alive']]],
    ['upgrade', [['upgrade', 'h2c']]],
];
for (const [name, server] of [['gateway', gw], ['publisher', pub]])
    test(`${name}: HTTP/2 fields that RFC 9113 does not allow are refused`, LIMIT, async () => {
        for (const [what, fields] of ILLEGAL) {
            const c = await Frames.connect(server.port);
            c.request('GET', '/channels/x', { fields: [['accept', 'text/event-stream'], ...fields] });
            const end = await until(what, () => c.find(TYPE.HEADERS) ?? c.find(TYPE.RST_STREAM) ?? c.find(TYPE.GOAWAY));
            assert.ok(end.type !== TYPE.HEADERS || statusOf(end) === 400, `${what}: ${end.type === TYPE.HEADERS ? statusOf(end) : 'closed'}`);
            c.close();
        }
    });

// [what, path, fields, authority]; RFC 9113 sections 8.1.1 and 8.3.1, RFC 9110 section 8.6
const MALFORMED = [
    ['an empty :path', ''],
    ['a :path without a slash', 'channels/x'],
    ['a :path with a host', 'http://localhost/channels/x'],
    ['the :path of the whole server', '*'],
    ...Array.from({ length: 0x21 }, (_, c) => c).concat(0x7f).map(c =>
        [`a :path with the byte 0x${c.toString(16)}`, `/channels/x?event=a${String.fromCharCode(c)}b`]),
    ['an empty :authority', '/', [], ''],
    ['an :authority with a blank', '/', [], 'local host'],
    ['an :authority with a user', '/', [], 'u:p@localhost'],
    ['no host at all', '/', [], null],
    ['a host with a user', '/', [['host', 'u:p@localhost']], null],
    ['a host that is not :authority', '/', [['host', 'elsewhere']]],
    ['two hosts', '/', [['host', 'a'], ['host', 'b']], null],
    ['two equal content-length', '/', [['content-length', '1'], ['content-length', '1']]],
    ['two content-length', '/', [['content-length', '2'], ['content-length', '1']]],
];
const WELL_FORMED = [
    ['escaped bytes in the path', '/channels/x?event=a%20b%00'],
    ['host as :authority', '/', [['host', 'LOCALHOST:80']]],
    ['host in place of :authority', '/', [['host', 'localhost']], null],
];
for (const [name, server] of [['gateway', gw], ['publisher', pub]])
    test(`${name}: an HTTP/2 request whose path, host or length HTTP does not allow is refused with 400`, LIMIT, async () => {
        const answer = async (what, method, path, fields = [], authority = undefined) => {
            const c = await Frames.connect(server.port);
            c.request(method, path, { fields: [['content-type', 'text/plain'], ...fields], authority });
            const { payload } = await c.wait(`${what}, ${method}: the answer`, TYPE.DATA, one => one.payload.length !== 0);
            const status = statusOf(c.find(TYPE.HEADERS));
            c.close();
            return [status, payload.toString()];
        };
        for (const [what, ...head] of MALFORMED)
            for (const method of ['GET', 'POST'])
                assert.equal((await answer(what, method, ...head))[0], 400, `${what}, ${method}`);
        assert.match((await answer('a blank', 'POST', '/channels/x?event=a b'))[1], /:path is empty or holds a blank/); // said here, not by the publisher
        for (const [what, ...head] of WELL_FORMED)
            assert.doesNotMatch((await answer(what, 'POST', ...head))[1], /:path|:authority|host/, what);
    });

test('gateway: the fields behind a body (trailers) say nothing about the request', LIMIT, async () => {
    const stream = await openStream(`${gw.url}/channels/trailed`);
    await stage.stack.redis.subscribed('trailed');
    const c = await Frames.connect(gw.port);
    const id = c.request('POST', '/channels/trailed', { end: false, fields: [['content-type', 'text/plain']] });
    const trailer = [['sse-event', 'forged'], ['x-forwarded-for', '192.0.2.1'], ['idempotency-key', 'k']].map(([field, value]) => `\0${literal(field)}${literal(value)}`).join('');
    c.send(frame(TYPE.DATA, 0, id, 'x'), frame(TYPE.HEADERS, FLAG.END_HEADERS | FLAG.END_STREAM, id, trailer));
    assert.equal(statusOf(await c.wait('the answer', TYPE.HEADERS)), 200);
    assert.equal((await stream.next()).type, 'message');
    c.close();
    stream.close();
});

test('nothing but heads and what they hold was counted, and a client with 200 cookies is served', LIMIT, async () => {
    for (const server of [gw, pub]) // 90 heads of 240 fields, untaken answers and all, are 4 MiB
        assert.deepEqual(Object.keys(await stage.abuses(server)).filter(reason => reason !== 'requests under way'), ['head fields']);
    const c = await Frames.connect(gw.port);
    c.request('POST', '/channels/crumbs', { fields: [...Array.from({ length: 200 }, (_, i) => ['cookie', `c${i}=v`])] });
    assert.equal(statusOf(await c.wait('the answer', TYPE.HEADERS)), 200);
    c.close();
});
