// What deploy/security.md says a stream of many channels takes: the sums for a gateway's container (tests/lint/memory.test.mjs) stand on it.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { SANITIZED, Stack, until } from './stack.mjs';

const STREAMS = 2000, CHANNELS = 100;
const STREAM = 1000, CHANNEL = 60; // bytes; the kernel's part is not counted here

test('a channel of a stream takes less than 60 bytes', { skip: SANITIZED && 'a sanitizer takes more' }, async () => {
    const s = await Stack.start({ publishers: 0, gatewayEnv: [{ THREADS: 1 }] });
    const [gw] = s.gw, sockets = [];
    after(() => sockets.forEach(socket => socket.destroy()));
    const names = Array.from({ length: CHANNELS }, (_, i) => `channel=room/${i}`).join('&');
    const resident = () => 1024 * Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${gw.pid}/status`, 'latin1'))[1]);
    const open = async count => {
        const all = sockets.length + count;
        for (let i = 0; i < count; ++i) {
            const socket = connect(gw.port, '127.0.0.1', () => socket.write(`GET /subscribe?${names} HTTP/1.1\r\nhost: x\r\n\r\n`));
            sockets.push(socket.on('error', () => {}).resume());
            if (i % 100 === 99)
                await gw.waitMetric('sse_streams', n => n >= sockets.length - 50);
        }
        await gw.waitMetric('sse_streams', all);
    };
    await open(10);
    const before = resident();
    await open(STREAMS);
    const most = STREAMS * (STREAM + CHANNELS * CHANNEL);
    await until(`less than ${most} bytes more`, () => resident() - before < most, 8000, () => `; it is ${resident() - before}`);
    assert.ok(resident() - before > STREAMS * CHANNELS * 8, 'there are pointers at least');
});
