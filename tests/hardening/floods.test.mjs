// What an HTTP/2 client can send without end. Each attacker comes back the moment it was closed, for two seconds (HARDENING_SCALE), on the one worker that
// the well-behaved clients are on as well.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { SANITIZED, SCALE } from '../integration/stack.mjs';
import { HARDENING_SCALE, Stage, attack, row } from './stage.mjs';

const ENHANCE_YOUR_CALM = 11;

// kind of attack.c, words for the table, the reason it is closed for, frames (or requests) that are let in before
const FLOODS = [
    ['rapid-reset', 'rapid reset (CVE-2023-44487)', 'resets'],
    ['rapid-reset-streams', 'rapid reset of event streams', 'resets'],
    ['window-zero', 'resets provoked by WINDOW_UPDATE of 0 (CVE-2025-8671)', 'resets'],
    ['window-overflow', '… by window overflow', 'resets'],
    ['data-after-end', '… by DATA after END_STREAM', 'resets'],
    ['data-on-closed', '… by DATA on a closed stream', 'resets'],
    ['too-many', '… by more streams than allowed', 'resets'],
    ['wrong-length', '… by a wrong content-length', 'resets'],
    ['no-pseudo', '… by heads without pseudo-headers', 'resets'],
    ['reset-on-closed', 'RST_STREAM on a closed stream', 'resets'],
    ['pings', 'PING', 'pings'],
    ['settings', 'SETTINGS that resize 90 windows', 'settings'],
    ['priorities', 'PRIORITY that turns a tree of 90 streams round', 'priorities'],
    ['window-updates', 'WINDOW_UPDATE of 1', 'window updates'],
    ['empty-data', 'empty DATA', 'small data'],
    ['padding', 'DATA of padding only', 'small data'],
    ['tiny-data', 'DATA of one byte', 'small data'],
    ['unknown', 'frames of a reserved type', 'other frames'],
    ['goaways', 'GOAWAY', 'other frames'],
    ['empty-continuations', 'empty CONTINUATION', 'continuations'],
    ['big-head', 'a header block that never ends', 'head bytes'],
    ['header-bomb', 'header bomb: 12,000 references to a 4 KB field in a frame', 'head fields'],
    ['small-fields', '4,000 header fields of a byte', 'head fields'],
    ['table-sizes', 'HPACK table emptied and filled 2,000 times in a block', 'head fields'],
    ['bodies', '100 request bodies that never end', 'resets'], // BODIES_LIMIT, of which an address has a quarter, resets its streams first
];

const stage = await Stage.start();

for (const [name, server] of [['gateway', stage.gw], ['publisher', stage.pub]])
    for (const [kind, words, reason] of FLOODS)
        test(`${name}: ${words}: the connection is closed, others keep their latency`, { timeout: 60000 * SCALE }, async t => {
            const calm = await stage.calm(server), before = await stage.abuses(server);
            const noticed = await stage.during(server, () => attack(server, kind, { again: true }));
            const result = noticed.value;
            assert.ok(server.running, server.tail(5));
            const after = await stage.abuses(server);
            assert.ok(result.closed >= result.connections - 1, `${result.closed} of ${result.connections} connections were closed`);
            assert.ok(result.connections > 3, 'it was closed more than once');
            assert.ok(result.goodbyes === 0 || result.code === ENHANCE_YOUR_CALM, `GOAWAY with ${result.code}`);
            const counted = after[reason] - (before[reason] ?? 0);
            assert.ok(counted >= result.closed && counted <= result.connections, `${counted} counted, ${result.closed} closed`);
            assert.deepEqual({ ...after, [reason]: 0 }, { ...before, [reason]: 0 }, 'and for no other reason');
            assert.equal(noticed.open, 100, 'nobody else was closed');
            assert.ok(SANITIZED || noticed.peak < noticed.before + 65536, // a sanitizer keeps what was freed
                `${noticed.before} KB grew to ${noticed.peak}`);
            row(t, words, name, `closed: ${reason}; ${Math.round(result.connections / 2).toLocaleString('en')} attackers a second`, calm, noticed);
        });

test('the log has a line about it at most once a second, with the address and without what was sent', () => {
    for (const server of [stage.gw, stage.pub]) {
        const lines = server.logged({ msg: /HTTP\/2 connection closed/ });
        assert.ok(lines.length > 0 && lines.length < 250, `${lines.length} lines`);
        assert.ok(lines.every(line => line.client === '127.0.0.1' && line.abuse !== undefined));
        assert.equal(server.lines.filter(line => line.includes('skipping frame')).length, 0, 'and the library none');
    }
});
