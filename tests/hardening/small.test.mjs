// The same attacks at small servers: a gateway with 256 MiB of address space and a publisher with 128 MiB. Where memory is asked for that is not there, a process ends.
// Two workers, as each has an arena of its own.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { SANITIZED, SCALE, until } from '../integration/stack.mjs';
import { DIGEST, missing, page, repeated, requests } from './costly.mjs';
import { Frames, setting } from './frames.mjs';
import { Stage, attack, costs, serves } from './stage.mjs';

const LIMIT = { timeout: 120000 * SCALE, skip: SANITIZED ? 'a sanitizer takes terabytes of addresses' : false };
const FLOOR = 30; // ms: two workers, the bus thread, Redis and the clients share two cores
const stage = await Stage.start({ gateway: { THREADS: 2 } });
const { gw, pub } = stage;
if (!SANITIZED)
    for (const [server, mebibytes] of [[gw, 256], [pub, 128]])
        execFileSync('prlimit', ['--pid', server.pid, `--as=${mebibytes << 20}`]);

for (const [name, server, path, status, small] of [['gateway', gw, '/', 200, '256 MiB'], ['publisher', pub, '/no-such-path', 404, '128 MiB']]) {
    test(`${name} of ${small}: heads that are decoded at each reference`, LIMIT, async t => {
        await costs(t, stage, server, { what: `of ${small}: cache-digest, 8,000 times in a head, 10 connections; 240 times in 900 heads`, bound: 'head fields; not decoded', floor: FLOOR }, async () => {
            const bombs = await requests(server, 10, 1, repeated('cache-digest', DIGEST, 8000), { end: false });
            const heads = await requests(server, 10, 90, repeated('cache-digest', DIGEST, 240), { end: true });
            return bombs.sent + heads.sent;
        });
    });

    test(`${name} of ${small}: answers that are not taken`, LIMIT, async t => {
        await costs(t, stage, server, { what: `of ${small}: 50,000 answers of which nothing is taken, 500 connections`, bound: 'requests under way', floor: FLOOR }, async () => {
            const all = await Promise.all(Array.from({ length: 500 }, () => Frames.connect(server.port, { settings: setting(4, 0) })));
            all.forEach((c, i) => c.send(i % 2 ? page : missing));
            await until('all is sent', () => all.every(c => c.closed || c.raw.socket.writableLength === 0), 20000);
            await serves(server, path, status);
            all.forEach(c => c.close());
            return 250 * (page.length + missing.length);
        });
    });

    test(`${name} of ${small}: bodies that never end`, LIMIT, async t => {
        await costs(t, stage, server, { what: `of ${small}: 100 request bodies that never end, again and again`, bound: 'request bodies, BODIES_LIMIT', floor: FLOOR }, async () => {
            await attack(server, 'bodies', { again: true });
            return null;
        });
    });
}

test('both still run and serve', LIMIT, async () => {
    assert.ok(gw.running && pub.running);
    await serves(gw, '/', 200);
    await serves(pub, '/no-such-path', 404);
});
