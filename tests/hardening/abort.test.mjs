// Where libh2o 2.2.5 itself breaks: it aborts, turns in a circle, or reads into memory without end.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { SANITIZED, SCALE, until } from '../integration/stack.mjs';
import { openStream } from '../integration/sse.mjs';
import { FLAG, Frames, TYPE, block, frame } from './frames.mjs';
import { Stage, attack, cpuSeconds, row, serves } from './stage.mjs';

const LIMIT = { timeout: 60000 * SCALE };
const stage = await Stage.start({ gateway: { DRAIN_SECONDS: 6 } });

for (const [kind, words] of [
    ['window-abort', 'SETTINGS that close and open the windows of answers that are being written'],
    ['window-abort-update', '… and WINDOW_UPDATE that opens them'],
])
    test(`${words}: no abort`, LIMIT, async t => {
        const calm = await stage.calm(stage.gw);
        const noticed = await stage.during(stage.gw, async () => {
            for (let i = 0; i < 5; ++i) {
                await attack(stage.gw, kind, { seconds: 0.5 });
                assert.ok(stage.gw.running, stage.gw.tail(3));
            }
        });
        await serves(stage.gw, '/', 200);
        assert.equal(noticed.open, 100);
        row(t, words, 'gateway', 'goes on', calm, noticed);
    });

test('a connection that is closing because of an error takes in nothing more', LIMIT, async t => {
    const calm = await stage.calm(stage.gw);
    const noticed = await stage.during(stage.gw, () => attack(stage.gw, 'closing', { seconds: 2, again: true }));
    assert.ok(noticed.value.closed >= noticed.value.connections - 1, JSON.stringify(noticed.value));
    assert.ok(noticed.value.connections > 3, JSON.stringify(noticed.value));
    assert.ok(SANITIZED || noticed.peak < noticed.before + 20000, `${noticed.before} KB grew to ${noticed.peak}`);
    row(t, 'bytes without end after a protocol error, while nothing is read', 'gateway', 'closed', calm, noticed);
});

test('CONTINUATION while draining, after the second GOAWAY: the connection is closed, no circle, the drain goes on', LIMIT, async t => {
    const attacker = await Frames.connect(stage.gw.port);
    const streams = Array.from({ length: 80 }, () => attacker.request('GET', '/channels/attacked')); // some outlive the first second of the drain
    await attacker.wait('the heads', TYPE.HEADERS, one => one.stream === streams.at(-1));
    const other = await openStream(`${stage.gw.url}/channels/drained`);
    attacker.request('GET', '/channels/attacked', { flags: 0 }); // a header block that goes on
    stage.gw.expected = true;
    stage.gw.signal('SIGTERM');
    await until('two GOAWAYs', () => attacker.frames.filter(one => one.type === TYPE.GOAWAY).length === 2);
    const before = cpuSeconds(stage.gw), start = performance.now();
    assert.equal(attacker.closed, false);
    attacker.send(frame(TYPE.CONTINUATION, FLAG.END_HEADERS, attacker.stream, block('GET', '/')));
    await attacker.waitEnd(500);
    assert.equal((await stage.abuses(stage.gw)).continuations, 1);
    await stage.stack.redis.publish('drained', 'still here');
    await until('others get events', () => other.text.includes('still here') || other.ended !== null);
    assert.match(other.text, /still here/);
    let used = before;
    await until('it ends', () => {
        if (stage.gw.running)
            used = cpuSeconds(stage.gw);
        return !stage.gw.running;
    }, 12000);
    const share = (used - before) / ((performance.now() - start) / 1000);
    assert.ok(share < 0.5, `${share} of a core while it drained`);
    assert.deepEqual(await stage.gw.exited, { code: 0, signal: null });
    row(t, 'CONTINUATION after the second GOAWAY of a drain', 'gateway', 'closed: continuations; the drain ends as it should');
});
