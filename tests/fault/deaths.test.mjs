// kill -9, in the middle of the load.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { SCALE } from '../integration/stack.mjs';
import { AOF, Load, scaled } from './load.mjs';

const LIMIT = { timeout: 240000 };

test('kill -9 of a gateway loses nothing', LIMIT, async t => {
    const load = await Load.start(t, { gateways: 2 });
    const [victim] = load.stack.gw;
    await victim.kill('SIGKILL');
    const seconds = await load.recovery();
    await victim.start();
    await load.last(1000);
    const report = await load.finish(t, 'kill -9 a gateway', { seconds });
    assert.ok(report.reconnects >= report.streams / 2 - 1, 'its clients went to the other one');
});

test('kill -9 of a publisher loses nothing that it acknowledged, and what it did not is published once', LIMIT, async t => {
    const load = await Load.start(t, { publishers: 2 });
    const [victim] = load.stack.pub;
    load.author.url = 0;
    await load.last(200);
    await victim.kill('SIGKILL');
    const seconds = await load.recovery();
    await victim.start();
    await load.last(1000);
    const report = await load.finish(t, 'kill -9 a publisher', { seconds });
    assert.ok(load.author.failed > 0, 'requests were on their way');
    assert.equal(report.reconnects, 0);
});

test('kill -9 of Redis loses nothing: streams stay open, publishing waits', LIMIT, async t => {
    const load = await Load.start(t, { redis: AOF });
    const { redis, gw } = load.stack;
    await redis.kill('SIGKILL');
    await gw[0].wait('readiness goes down', async () => (await gw[0].ready()).status === 503);
    assert.match((await gw[0].ready()).body, /"bus":".+"/);
    await gw[0].waitMetric('sse_bus_up', 0);
    await load.last(2000);
    await redis.start();
    const seconds = await load.recovery();
    await Promise.all(gw.map(g => g.waitReady()));
    const report = await load.finish(t, 'kill -9 Redis (AOF, fsync always), 2 s down', { seconds });
    assert.ok(load.author.unavailable > 0, 'publishing answered 503');
    assert.equal(report.reconnects, 0);
    assert.ok(report.silence_ms < 3000, `keep-alive went on: ${report.silence_ms} ms of silence`);
});

test('kill -9 of a gateway loses nothing on streams of several channels; twins only of the millisecond of the last id', LIMIT, async t => {
    const load = await Load.start(t, { channels: 20, streams: scaled(200), rate: scaled(500), follow: { each: 5 } });
    for (const victim of load.stack.gw) {
        await victim.kill('SIGKILL');
        await load.recovery();
        await victim.start();
    }
    const seconds = await load.recovery();
    const report = await load.finish(t, 'kill -9 each gateway, 5 channels in each stream', { seconds });
    assert.ok(report.reconnects >= report.streams);
    assert.ok(report.twins < report.events * SCALE / 100, `${report.twins} twins`);
});

test('SIGTERM of publishers, one after the other, loses nothing', LIMIT, async t => {
    const load = await Load.start(t, { publishers: 2 });
    for (const pub of load.stack.pub) {
        assert.equal((await pub.kill('SIGTERM')).code, 0);
        await pub.start();
    }
    const seconds = await load.recovery();
    const report = await load.finish(t, 'rolling restart of 2 publishers', { seconds });
    assert.equal(report.reconnects, 0);
});
