// What a channel's marker, an author's id and an Idempotency-Key take of Redis's memory: the figures of deploy/security.md, within a factor of 1.5.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack } from './stack.mjs';

const s = await Stack.start({ gateways: 0 });
const COUNT = 2000;
const used = async () => Number(/used_memory:(\d+)/.exec(await s.redis.command(['INFO', 'memory']))[1]);
const named = (prefix, i, length) => `${prefix}${i}`.padEnd(length, '.');

// Bytes that each of COUNT calls left in Redis.
async function cost(call) {
    const before = await used();
    for (let i = 0; i < COUNT; ++i)
        await call(i);
    return (await used() - before) / COUNT;
}

function holds(what, bytes, kilobytes) {
    assert.ok(bytes > kilobytes * 1000 / 1.5 && bytes < kilobytes * 1000 * 1.5, `${what}: ${Math.round(bytes)} bytes`);
}

test('a marker takes 0.2 to 0.4 KB', async () => {
    for (const [length, kilobytes] of [[8, 0.20], [200, 0.39]])
        holds(`a name of ${length} bytes`, await cost(async i => {
            const name = named('m', i, length);
            await s.redis.command(['FCALL', 'sse_publish', '1', `sse:${name}`, 'x']);
            await s.redis.command(['DEL', `{sse:${name}}:log`]);
        }), kilobytes);
});

test('an id together with an Idempotency-Key takes 1.3 KB when both are long', async () => {
    const publish = options => i => s.redis.command(['FCALL', 'sse_publish', '1', 'sse:keys', 'x', 'maxlen', '1', ...options(i)]);
    const without = await cost(publish(() => []));
    holds('both of 200 bytes', await cost(publish(i => ['id', named('i', i, 200), 'key', named('k', i, 200)])) - without, 1.3);
});
