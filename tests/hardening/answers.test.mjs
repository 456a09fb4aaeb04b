// Answers that are asked for and not taken: a request of 13 bytes, a hundred on each connection, and no window to send the answers into, or nobody who reads them.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { SCALE, until } from '../integration/stack.mjs';
import { FLAG, Frames, TYPE, frame, setting } from './frames.mjs';
import { Stage, costs, serves } from './stage.mjs';

const LIMIT = { timeout: 120000 * SCALE };
const REQUESTS = 100;
const stage = await Stage.start();
const { gw, pub } = stage;

// `head`: a header block that puts the whole of the path into the table; then the same request again and again.
function flood(first, again) {
    const frames = Array.from({ length: REQUESTS }, (_, i) => frame(TYPE.HEADERS, FLAG.END_HEADERS | FLAG.END_STREAM, 2 * i + 1, i === 0 ? first : again));
    return Buffer.concat(frames);
}
const literal = text => String.fromCharCode(text.length) + text;
const AUTHORITY = `\x41${literal('localhost')}`;
const page = flood(`\x82\x86\x84${AUTHORITY}`, '\x82\x86\x84\xbe');
const long = `/${'p'.repeat(110)}`;
const missing = flood(`\x82\x86${AUTHORITY}\x44${literal(long)}`, '\x82\x86\xbf\xbe');

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
