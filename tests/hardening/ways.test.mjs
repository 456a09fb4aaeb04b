// The guard stands before HTTP/2 whichever way a connection came to it.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { SCALE, until } from '../integration/stack.mjs';
import { Raw } from '../integration/raw.mjs';
import { Frames, PREFACE, TYPE, frame } from './frames.mjs';
import { Stage, row } from './stage.mjs';

const stage = await Stage.start({ tls: [0] });
const { gw, pub } = stage;
const PINGS = Buffer.concat(Array.from({ length: 1100 }, () => frame(TYPE.PING, 0, 0, '12345678')));

// A GET that asks for HTTP/2 by a header; the answer comes on stream 1. What it sends at once with the head is read in another place of libh2o.
async function upgraded(port, more = '') {
    const raw = await Raw.connect(port);
    raw.send(`GET /no-such-path HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAA\r\n\r\n${more}`);
    const { status } = await raw.head();
    assert.equal(status, 101);
    return raw;
}

const WAYS = {
    'prior knowledge': async port => (await Frames.connect(port)).send(PINGS).raw,
    'Upgrade: h2c': async port => (await upgraded(port)).send(PREFACE).send(frame(TYPE.SETTINGS, 0, 0)).send(PINGS),
    'Upgrade: h2c, with the flood behind the head': async port =>
        upgraded(port, Buffer.concat([Buffer.from(PREFACE), frame(TYPE.SETTINGS, 0, 0), PINGS]).toString('latin1')),
};

async function closes(t, server, name, way, raw) {
    const before = (await stage.abuses(server)).pings ?? 0;
    const connection = await raw();
    await connection.waitEnd();
    await until('it is counted', async () => (await stage.abuses(server)).pings === before + 1);
    row(t, `1,100 PINGs, HTTP/2 by ${way}`, name, 'closed: pings');
    connection.close();
}

for (const [way, connect] of Object.entries(WAYS))
    for (const [name, server] of [['gateway', gw], ['publisher', pub]])
        test(`${name}: a flood over HTTP/2 by ${way} is closed`, { timeout: 20000 * SCALE }, t =>
            closes(t, server, name, way, () => connect(server.port)));

test('gateway: a flood over HTTP/2 by ALPN is closed', { timeout: 20000 * SCALE }, t =>
    closes(t, gw, 'gateway', 'ALPN', async () =>
        (await Frames.connect(gw.ports.public, { secure: true, alpn: ['h2'] })).send(PINGS).raw));

test('an Upgrade: h2c that is refused leaves the connection to HTTP/1.1, and the next one is guarded', { timeout: 20000 * SCALE }, async () => {
    const raw = await Raw.connect(gw.port);
    const head = 'GET /no-such-path HTTP/1.1\r\nhost: x\r\nconnection: upgrade, keep-alive\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAA\r\n\r\n';
    for (let i = 1; i <= 3; ++i) {
        raw.send(head);
        await until('an answer', () => [...raw.text.matchAll(/HTTP\/1\.1 404/g)].length === i);
    }
    raw.close();
    const next = (await upgraded(gw.port)).send(PREFACE).send(frame(TYPE.SETTINGS, 0, 0)).send(PINGS);
    await next.waitEnd();
});
