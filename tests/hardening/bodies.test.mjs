// Bodies that never end: what all of them together may take, however many there are and wherever they come from.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { HARDENING_SCALE, Stage, costs, giveWay } from './stage.mjs';
import { until } from '../integration/wait.mjs';

const SIZE = 1 << 20, BATCH = 20, PAUSE_MS = 40; // between batches: who attacks must not be what the good client waits for
const PIECE = Buffer.alloc(65536, 'x');

// POSTs of SIZE bytes of which the last never comes; `head` tells their length or not. Gives the bytes that were taken, and what was answered.
async function attack({ port, posts, addresses, head }) {
    const sockets = [], statuses = new Set();
    let sent = 0;
    for (let i = 0; i < posts; ++i) {
        const socket = createConnection({ port, host: '127.0.0.1', localAddress: `127.0.1.${1 + i % addresses}` });
        socket.on('error', () => {}).on('data', data => statuses.add(/^HTTP\/1.1 (\d+)/.exec(data)?.[1] ?? 'more'));
        socket.write(`POST /channels/slow HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n${head}\r\n\r\n`);
        for (let left = SIZE - 1; left > 0; left -= PIECE.length)
            socket.write(left < PIECE.length ? PIECE.subarray(0, left) : PIECE, error => (sent += error ? 0 : PIECE.length));
        sockets.push(socket);
        if (i % BATCH === BATCH - 1)
            await sleep(PAUSE_MS);
    }
    await until('each is refused or waits', () => sockets.every(socket => socket.destroyed || socket.writableLength === 0), 60000);
    sockets.forEach(socket => socket.destroy());
    return { sent, statuses: [...statuses] };
}

if (!isMainThread) {
    giveWay();
    parentPort.postMessage(await attack(workerData));
} else {
    const posts = Math.round(2430 * HARDENING_SCALE);
    for (const [name, space] of [['publisher', 128], ['gateway', 256]])
        for (const [form, head, from, addresses] of [
            ['that tell their length', `Content-Length: ${SIZE}`, '200 addresses', 200],
            ['that tell their length', `Content-Length: ${SIZE}`, 'one address', 1],
            ['in chunks', `Transfer-Encoding: chunked\r\n\r\n${(SIZE + 2).toString(16)}`, '200 addresses', 200]])
            test(`${name}: POSTs ${form} and never end, from ${from}`, { timeout: 150000 }, async t => {
                const stage = await Stage.start({ last: false });
                const server = name === 'gateway' ? stage.gw : stage.pub;
                execFileSync('prlimit', ['--pid', String(server.pid), `--as=${space << 20}`]);
                let told;
                await costs(t, stage, server, { what: `${posts} POSTs of 1 MiB ${form}, without the last byte, from ${from}; ${space} MiB of address space`, bound: 'BODIES_LIMIT: 503, 429 or the connection' }, async () => {
                    const worker = new Worker(new URL(import.meta.url), { workerData: { port: server.port, posts, addresses, head } });
                    const [{ sent, statuses }] = await once(worker, 'message');
                    told = statuses;
                    return sent;
                });
                await until('all is given back', async () => await server.metric('sse_bodies_bytes') === 0, 30000);
                assert.deepEqual(told.filter(status => !['429', '503', 'more'].includes(status)), []);
                assert.ok(await server.metric('sse_bodies_refused_total', { reason: addresses === 1 ? 'limit of the address' : 'limit' }) > 0);
            });
}
