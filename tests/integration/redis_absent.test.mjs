// A Redis that is absent, refuses us, or goes away: said clearly, waited for, and recovered from.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { SCALE, Stack, freePort, quiet, until } from './stack.mjs';
import { openStream, request } from './sse.mjs';

test('started without Redis, a gateway listens, reports what it waits for, and comes up with Redis', async () => {
    const s = await Stack.start({ gateways: 2, publishers: 1, redis: { start: false } });
    for (const gw of s.gw) {
        assert.equal((await fetch(`${gw.adminUrl}/healthz`)).status, 200);
        const { status, body } = await gw.ready();
        assert.equal(status, 503);
        const answer = JSON.parse(body);
        assert.equal(answer.status, 'not ready');
        assert.equal(typeof answer.checks.bus, 'string', body);
        assert.equal(await gw.metric('sse_bus_up'), 0);
        await gw.waitLogged({ level: /warn|error/ });
    }
    assert.equal((await request(`${s.gw[0].url}/post`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' })).status, 503);
    const early = await Promise.all(s.gw.map(gw => openStream(`${gw.url}/channels/early`)));
    const letters = await openStream(`${s.gw[0].url}/sse`);
    assert.deepEqual([...early, letters].map(stream => stream.status), [200, 200, 200]);
    await s.redis.start();
    await Promise.all([...s.gw, ...s.pub].map(server => server.waitReady()));
    for (const gw of s.gw) {
        await gw.waitLogged({ msg: 'ready' });
        await gw.waitMetric('sse_bus_up', 1);
    }
    await s.redis.subscribed('early', 2);
    await s.post('early', 'at last');
    for (const stream of early) {
        assert.equal((await stream.next()).data, 'at last');
        stream.close();
    }
    assert.match((await letters.next()).data, /^\{"msg":"[a-z]"\}$/);
    letters.close();
});

test('an absent Redis is logged, not shouted', async () => {
    const s = await Stack.start({ publishers: 0, redis: { start: false } });
    await s.gw[0].waitLogged({ level: /warn|error/ });
    const before = s.gw[0].lines.length;
    await quiet(2500);
    assert.ok(s.gw[0].lines.length - before <= 8 * SCALE, s.gw[0].tail()); // quiet() lasts so much longer, too
});

test('a wrong password is reported in a sentence that does not contain it, and corrected without a restart', async () => {
    const s = await Stack.start({ publishers: 0, redis: { start: false, requirepass: 'right-Pa55' } });
    const { gw: [gw], redis } = s;
    await gw.kill();
    gw.env.REDIS_URL = redis.urlFor('gateway').replace('right-Pa55', 'wr0ng-Pa55');
    await redis.start();
    await gw.start({ ready: false });
    await gw.waitLog(/password/i);
    let body; // it tells of one of two connections, and the other may have been first
    await gw.wait('/ready says that it is the password', async () => {
        const answer = await gw.ready();
        assert.equal(answer.status, 503);
        return /password/i.test(JSON.parse(body = answer.body).checks.bus);
    });
    assert.doesNotMatch(gw.log + body, /wr0ng-Pa55/);
    await redis.command(['ACL', 'SETUSER', 'gateway', '>wr0ng-Pa55']);
    await gw.waitReady();
    assert.doesNotMatch(gw.log, /Pa55/);
});

test('user, password and database of REDIS_URL are used', async () => {
    const s = await Stack.start({ publishers: 0, redis: { start: false } });
    const { gw: [gw], redis } = s;
    await gw.kill();
    await redis.start();
    await redis.command(['ACL', 'SETUSER', 'g@te:way', 'on', '>p@ss:/word', '~*', '&*', '+@all']);
    gw.env.REDIS_URL = `unix://g%40te%3Away:p%40ss%3A%2Fword@${redis.socket}?db=3`;
    gw.env.REDIS_PREFIX = 'third:';
    await gw.start();
    const clients = await redis.command(['CLIENT', 'LIST']);
    assert.match(clients, /name=sse-gateway:\S+ .* db=3 .*user=g@te:way/);
    assert.doesNotMatch(gw.log, /p@ss|p%40ss/);
});

test('Redis over TCP works, and a name is looked up', async () => {
    const port = await freePort();
    const s = await Stack.start({ redis: { port, bind: '127.0.0.1' }, env: { REDIS_URL: `redis://localhost:${port}` } });
    const stream = await openStream(`${s.gw[0].url}/channels/tcp`);
    await s.redis.subscribed('tcp');
    await s.post('tcp', 'over TCP');
    assert.equal((await stream.next()).data, 'over TCP');
    stream.close();
});

test('after a Redis restart open streams get events again, without being closed', async () => {
    const s = await Stack.start({ gateways: 2 });
    const streams = await Promise.all(s.gw.map(gw => openStream(`${gw.url}/channels/r`)));
    await s.redis.subscribed('r', 2);
    await s.redis.publish('r', 'before');
    await Promise.all(streams.map(stream => stream.next()));
    await s.redis.kill('SIGKILL');
    for (const gw of s.gw) {
        await gw.waitMetric('sse_bus_up', 0);
        assert.equal((await gw.ready()).status, 503);
    }
    await s.redis.start();
    await s.redis.subscribed('r', 2);
    await s.redis.publish('r', 'after');
    for (const stream of streams) {
        assert.equal((await stream.next()).type, 'gap'); // all that Redis held is gone: what was published meanwhile would be, too
        assert.equal((await stream.next()).data, 'after');
        assert.equal(stream.ended, null);
        stream.close();
    }
});

test('a connection that Redis drops is made again', async () => {
    const s = await Stack.start({});
    const stream = await openStream(`${s.gw[0].url}/channels/k`);
    await s.redis.subscribed('k');
    for (let i = 0; i < 3; ++i) {
        await s.redis.command(['CLIENT', 'KILL', 'TYPE', 'pubsub']);
        await s.redis.subscribed('k');
        await s.redis.publish('k', `round ${i}`);
        await stream.waitEvent(`round ${i}`, event => event.data === `round ${i}`);
    }
    stream.close();
});

test('a Redis that stops answering is noticed after REDIS_TIMEOUT_MS, and taken up again', async () => {
    const s = await Stack.start({ publishers: 0, env: { REDIS_TIMEOUT_MS: 400 } });
    const stream = await openStream(`${s.gw[0].url}/channels/hang`);
    await s.redis.subscribed('hang');
    s.redis.pause();
    await s.gw[0].waitMetric('sse_bus_up', 0);
    s.redis.resume();
    await s.gw[0].waitMetric('sse_bus_up', 1);
    await s.redis.subscribed('hang', 1);
    await s.redis.publish('hang', 'awake');
    assert.equal((await stream.next()).data, 'awake');
    stream.close();
});

test('a Redis that answers something else than Redis is refused, not believed', async () => {
    const sockets = new Set();
    const fake = createServer(socket => {
        sockets.add(socket);
        socket.on('error', () => {});
        socket.write('HTTP/1.1 400 Bad Request\r\n\r\n');
    });
    const s = await Stack.start({ publishers: 0, redis: { start: false } });
    const path = join(s.folder, 'fake.sock');
    await new Promise(resolve => fake.listen(path, resolve));
    await s.gw[0].kill();
    s.gw[0].env.REDIS_URL = `unix://${path}`;
    await s.gw[0].start({ ready: false });
    await until('it tried more than once', () => sockets.size > 1);
    assert.equal((await s.gw[0].ready()).status, 503);
    assert.ok(s.gw[0].running);
    sockets.forEach(socket => socket.destroy());
    fake.close();
});
