// The birth of the data in Redis, {sse:!born.0}: who notes it, and what a gateway does that may not.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack, until } from './stack.mjs';
import { eventId } from './resume_matrix.mjs';
import { openStream } from './sse.mjs';

const KEY = '{sse:!born.0}';
const near = (text, ms) => Math.abs(Number(text) - ms) < 60000;

test('a publisher notes it when it connects, and leaves one that is there', async () => {
    const s = await Stack.start({ gateways: 0 });
    const born = await until('it is noted', () => s.redis.command(['GET', KEY]));
    assert.ok(near(born, Date.now()), born);
    await s.redis.command(['SET', KEY, '5']);
    await s.pub[0].kill('SIGTERM');
    await s.pub[0].start();
    assert.equal(await s.redis.command(['GET', KEY]), '5');
});

test('a gateway notes it, and again within a second or so when Redis was emptied', async () => {
    const s = await Stack.start({ publishers: 0 });
    assert.ok(near(await until('it is noted', () => s.redis.command(['GET', KEY])), Date.now()));
    await s.redis.command(['FLUSHALL']);
    assert.ok(near(await until('it is noted anew', () => s.redis.command(['GET', KEY])), Date.now()));
    const stream = await openStream(`${s.gw[0].url}/channels/a`);
    assert.match(await stream.nextFrame(), /^id: /);
    stream.close();
});

// The rights of version 1.0, and those of somebody who added one of the two.
for (const [lacks, rules, noted] of [['both rights', ['clearselectors', '-get'], false], ['the right to read', ['-get'], true], ['the right to set', ['clearselectors'], false]])
    test(`a gateway without ${lacks} works, logs it once, and treats events from before its own first look as unknown`, async () => {
        const s = await Stack.start({ publishers: 0 });
        await s.redis.command(['ACL', 'SETUSER', 'gateway', ...rules]);
        await s.redis.command(['DEL', KEY]);
        await s.gw[0].kill('SIGTERM');
        await s.gw[0].start();
        await until('it says so', () => s.gw[0].logContains(/may not read or set the birth of the data/));
        const fresh = await openStream(`${s.gw[0].url}/channels/a`);
        const id = /^id: (\S+)\n/.exec(await fresh.nextFrame())[1];
        fresh.close();
        for (const [from, want] of [[id, 'message'], [eventId('', Date.now() - 3600000), 'gap']]) {
            const stream = await openStream(`${s.gw[0].url}/channels/a`, { headers: { 'last-event-id': from } });
            await s.redis.subscribed('a');
            await s.redis.publish('a', 'x');
            assert.equal((await stream.next()).type, want);
            stream.close();
        }
        assert.equal(s.gw[0].logged({ msg: /birth of the data/ }).length, 1);
        assert.equal(await s.redis.command(['GET', KEY]) !== null, noted);
    });
