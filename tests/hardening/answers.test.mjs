// Answers that are asked for and not taken: a request of 13 bytes, a hundred on each connection, and no window to send the answers into, or nobody who reads them.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { SCALE, until } from '../integration/stack.mjs';
import { REQUESTS, missing, page } from './costly.mjs';
import { Frames, setting } from './frames.mjs';
import { Stage, costs, serves } from './stage.mjs';

const LIMIT = { timeout: 120000 * SCALE };
const stage = await Stage.start();
const { gw, pub } = stage;

for (const [name, server, connections, what, bytes, windows, path, status] of [
    ['gateway', gw, 1000, 'pages of which nothing is taken (stream windows of 0)', page, setting(4, 0), '/', 200],
    ['gateway', gw, 100, 'pages that nobody reads', page, setting(4, 0x7fffffff), '/', 200],
    ['gateway', gw, 500, 'errors of which nothing is taken', missing, setting(4, 0), '/', 200],
    ['publisher', pub, 200, 'errors of which nothing is taken', missing, setting(4, 0), '/no-such-path', 404],
])
    test(`${name}: ${connections} connections with ${REQUESTS} ${what}`, LIMIT, async t => {
        const before = (await stage.abuses(server))['requests under way'] ?? 0;
        await costs(t, stage, server, { what: `${connections * REQUESTS} ${what}, ${connections} connections`, bound: '16 MiB in sum, 4 MiB a connection: requests under way' }, async () => {
            const all = await Promise.all(Array.from({ length: connections }, () => Frames.connect(server.port, { settings: windows })));
            if (what.includes('reads'))
                all.forEach(c => c.raw.socket.pause());
            all.forEach(c => c.send(bytes));
            await until('all is sent', () => all.every(c => c.closed || c.raw.socket.writableLength === 0), 20000);
            await serves(server, path, status);
            if (!what.includes('reads'))
                await until('it is too much', async () => ((await stage.abuses(server))['requests under way'] ?? 0) > before, 20000);
            all.forEach(c => c.close());
            return bytes.length * connections;
        });
        const closed = ((await stage.abuses(server))['requests under way'] ?? 0) - before;
        assert.ok(what.includes('reads') || (closed > 0 && closed <= connections), `${closed} connections were closed`);
    });
