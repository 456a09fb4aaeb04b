// Redis answers, but won't: streams stay open, publishing says 503 with Retry-After, and afterwards nothing is missing.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { request } from '../integration/sse.mjs';
import { SCALE } from '../integration/stack.mjs';
import { AOF, Load } from './load.mjs';

const LIMIT = { timeout: 240000 };
const FILLERS = 16000; // a Redis that loads looks at its clients after each 1,024 commands: so it does a few times a second

async function refused(load) {
    const before = load.author.unavailable;
    await load.stack.pub[0].wait('publishing answers 503', () => load.author.unavailable > before);
    const answer = await request(`${load.stack.pub[0].url}/channels/other`, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'x' });
    assert.equal(answer.status, 503, answer.body);
    assert.match(answer.headers['retry-after'], /^\d+$/);
    assert.ok(JSON.parse(answer.body).error.length > 10);
}

async function finish(t, load, fault, seconds) {
    const report = await load.finish(t, fault, { seconds });
    assert.equal(report.reconnects, 0);
    assert.ok(report.silence_ms < 3000, `keep-alive went on: ${report.silence_ms} ms of silence`);
}

test('-LOADING: a Redis that still loads loses nothing, and readiness says so', LIMIT, async t => {
    const load = await Load.start(t, { redis: AOF });
    const { redis, gw, pub } = load.stack;
    await redis.command(['EVAL', "for i = 1, tonumber(ARGV[1]) do redis.call('SET', 'filler', i) end", '0', String(FILLERS)]);
    const commands = FILLERS + load.author.acknowledged * 6; // an event is about six commands in the AOF
    await redis.kill('SIGKILL');
    redis.argv.push('--key-load-delay', String(Math.round(4e6 * SCALE / commands)));
    const up = redis.start();
    await Promise.all([gw[0], pub[0]].map(server =>
        server.wait(`${server.name} says that Redis loads`, async () => /load/i.test((await server.ready()).body), 20000)));
    assert.equal((await gw[0].ready()).status, 503);
    await refused(load);
    await up;
    const seconds = await load.recovery();
    await Promise.all(gw.map(g => g.waitReady()));
    await finish(t, load, 'kill -9 Redis, then -LOADING for 4 s', seconds);
});

test('-READONLY: a Redis that became a replica loses nothing', LIMIT, async t => {
    const load = await Load.start(t, {});
    const { redis } = load.stack;
    await redis.command(['REPLICAOF', '127.0.0.1', '1']); // nobody is there, so it keeps what it has
    await refused(load);
    await load.last(1000);
    await redis.command(['REPLICAOF', 'NO', 'ONE']);
    await finish(t, load, '-READONLY for 1 s', await load.recovery());
});

test('-OOM: a Redis that is full loses nothing', LIMIT, async t => {
    const load = await Load.start(t, {});
    const { redis } = load.stack;
    await redis.command(['CONFIG', 'SET', 'maxmemory', '1']);
    await refused(load);
    await load.last(1000);
    await redis.command(['CONFIG', 'SET', 'maxmemory', '0']);
    await finish(t, load, '-OOM for 1 s', await load.recovery());
});

test('FUNCTION FLUSH: publishers put the function back and lose nothing', LIMIT, async t => {
    const load = await Load.start(t, {});
    for (let i = 0; i < 5; ++i) {
        await load.stack.redis.command(['FUNCTION', 'FLUSH']);
        await load.last(200);
    }
    await finish(t, load, 'FUNCTION FLUSH, five times', await load.recovery());
});
