// Clients of HTTP/2 that begin and don't go on. They wait side by side, since each takes its time limit.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { SCALE, quiet, until } from '../integration/stack.mjs';
import { FLAG, Frames, TYPE, frame, setting, u32 } from './frames.mjs';
import { Stage, row } from './stage.mjs';

const LIMIT = { timeout: 150000 * SCALE };
const stage = await Stage.start({ gateway: { WRITE_TIMEOUT: 3 } });
const { gw, pub } = stage;
const HEAD_SECONDS = { [gw.name]: 10, [pub.name]: 30 };
const PING = frame(TYPE.PING, 0, 0, '12345678');

const seconds = since => Number(((performance.now() - since) / 1000).toFixed(1));
const name = server => server.name.replace(/ 0$/, '');

// Sends `one` every `ms` until the connection is closed or `done()`.
async function drip(connection, one, ms, done = () => false) {
    while (!connection.closed && !done()) {
        connection.send(one);
        await quiet(ms / SCALE);
    }
}

async function closedAfter(connection, start, limit) {
    await connection.waitEnd(limit * 1000 / SCALE + 20000);
    return seconds(start);
}

describe('slow clients', { concurrency: true }, () => {
    for (const server of [gw, pub]) {
        const limit = HEAD_SECONDS[server.name];

        test(`${name(server)}: a head that never ends is closed when the time for a request is over`, LIMIT, async t => {
            const c = await Frames.connect(server.port), start = performance.now();
            c.request('GET', '/no-such-path', { flags: 0 });
            drip(c, frame(TYPE.CONTINUATION, 0, 1), 2000);
            const took = await closedAfter(c, start, limit);
            assert.ok(took >= limit - 1 && took < limit + 5 * SCALE, `${took} s`);
            row(t, 'HEADERS without END_HEADERS, an empty CONTINUATION every 2 s', name(server), `closed after ${limit} s: slow request`);
        });

        test(`${name(server)}: a body that drips is reset when the time for a request is over, other streams of the connection go on`, LIMIT, async t => {
            const c = await Frames.connect(server.port), start = performance.now();
            const stream = c.request('POST', '/post', { end: false, fields: [['content-type', 'application/json']] });
            let over = false;
            drip(c, Buffer.concat([frame(TYPE.DATA, 0, stream, ' '), PING]), 1000, () => over);
            await c.wait('a reset', TYPE.RST_STREAM, one => one.stream === stream, limit * 1000 + 20000);
            const took = seconds(start);
            over = true;
            const later = c.request('GET', '/no-such-path');
            await c.wait('an answer', TYPE.HEADERS, one => one.stream === later);
            c.close();
            assert.ok(took >= limit - 1 && took < limit + 5 * SCALE, `${took} s`);
            row(t, 'a request body of a byte a second', name(server), `stream reset after ${limit} s: slow request`);
        });

        test(`${name(server)}: PINGs alone don't keep a connection open`, LIMIT, async t => {
            const c = await Frames.connect(server.port), start = performance.now();
            c.request('GET', '/no-such-path');
            drip(c, PING, 3000);
            const took = await closedAfter(c, start, 60);
            assert.ok(took >= 60 && took < 66 * SCALE, `${took} s`);
            assert.ok(c.find(TYPE.GOAWAY, one => one.payload.readUInt32BE(4) === 0), 'it is told with GOAWAY, NO_ERROR');
            row(t, 'no request, but a PING every 3 s', name(server), 'closed after 60 s: idle');
        });
    }

    test('gateway: a page that is not taken (stream window 0) is reset after WRITE_TIMEOUT + 5 s', LIMIT, async t => {
        const c = await Frames.connect(gw.port, { settings: setting(4, 0) }), start = performance.now();
        const stream = c.request('GET', '/');
        let over = false;
        drip(c, PING, 1000, () => over);
        await c.wait('a reset', TYPE.RST_STREAM, one => one.stream === stream, 40000);
        over = true;
        c.close();
        row(t, 'an answer that is never taken: window 0', 'gateway', `stream reset after ${seconds(start)} s (WRITE_TIMEOUT 3): slow answer`);
    });

    test('gateway: an event stream whose window stays 0 is closed by WRITE_TIMEOUT, as any slow stream', LIMIT, async t => {
        const c = await Frames.connect(gw.port, { settings: setting(4, 0) });
        const stream = c.request('GET', '/channels/watched'), start = performance.now();
        let over = false;
        drip(c, PING, 1000, () => over);
        await c.wait('a reset', TYPE.RST_STREAM, one => one.stream === stream, 40000);
        const took = seconds(start);
        over = true;
        c.close();
        assert.ok(took < 7 * SCALE, `${took} s`);
        assert.equal(await gw.metric('sse_stream_closes_total', { reason: 'write timeout' }), 1);
        row(t, 'an event stream that is never taken: window 0', 'gateway', `stream reset after ${took} s: write timeout (WRITE_TIMEOUT 3)`);
    });

    test('gateway: an answer taken a byte at a time is reset', LIMIT, async t => {
        const c = await Frames.connect(gw.port, { settings: setting(4, 0) }), start = performance.now();
        const stream = c.request('GET', '/');
        let over = false;
        drip(c, frame(TYPE.WINDOW_UPDATE, 0, stream, u32(1)), 1000, () => over);
        await c.wait('a reset', TYPE.RST_STREAM, one => one.stream === stream, 40000);
        over = true;
        c.close();
        row(t, 'an answer that is taken a byte a second', 'gateway', `stream reset after ${seconds(start)} s: slow answer`);
    });

    test('publisher: answers to POSTs that are never taken (stream window 0) are reset after 30 s', LIMIT, async t => {
        const c = await Frames.connect(pub.port, { settings: setting(4, 0) }), start = performance.now();
        const streams = Array.from({ length: 20 }, () => {
            const stream = c.request('POST', '/channels/posted', { end: false, fields: [['content-type', 'application/json']] });
            c.send(frame(TYPE.DATA, FLAG.END_STREAM, stream, '{}'));
            return stream;
        });
        let over = false;
        drip(c, PING, 1000, () => over);
        await until('all are reset', () => streams.every(stream => c.find(TYPE.RST_STREAM, one => one.stream === stream)), 60000);
        const took = seconds(start);
        over = true;
        c.close();
        assert.ok(took >= 25 && took < 45 * SCALE, `${took} s`);
        row(t, 'answers to POSTs that are never taken: window 0', 'publisher', `streams reset after ${Math.round(took)} s: slow answer`);
    });

    test('gateway: answers blocked by the connection\'s window alone are reset too, and an event stream that takes what it gets is left alone', LIMIT, async () => {
        const c = await Frames.connect(gw.port); // 65,535 bytes for all streams together
        const healthy = await Frames.connect(gw.port);
        const stream = healthy.request('GET', '/channels/watched');
        const pages = Array.from({ length: 20 }, () => c.request('GET', '/'));
        let over = false;
        drip(c, PING, 1000, () => over);
        await until('the last is reset', () => c.find(TYPE.RST_STREAM, one => one.stream === pages.at(-1)), 60000);
        over = true;
        c.close();
        await until('events go on', () => healthy.frames.filter(one => one.type === TYPE.DATA && one.stream === stream).length > 100);
        assert.equal(healthy.find(TYPE.RST_STREAM), undefined);
        healthy.close();
    });
});

test('each was counted, and nothing else', async () => {
    assert.deepEqual(await stage.abuses(gw), { 'slow request': 2, 'slow answer': 3, idle: 1 });
    assert.deepEqual(await stage.abuses(pub), { 'slow request': 2, 'slow answer': 1, idle: 1 });
});
