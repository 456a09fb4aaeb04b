// Connections and descriptors: a full server says so before clients hang, and what it keeps for itself nobody can take.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { connect } from 'node:net';
import { SCALE, Server, Stack, binary, tempFolder, until } from './stack.mjs';
import { openStream } from './sse.mjs';

const open = port => new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket));
    socket.on('error', reject);
});
const fill = (port, n) => Promise.all(Array.from({ length: n }, () => open(port)));
const checks = async server => JSON.parse((await server.ready()).body).checks ?? null;

test('not ready from 98 % of the connections on; the sentence and the log name the limit and its setting', async () => {
    const s = await Stack.start({ env: { MAX_CONNECTIONS: 50 }, gatewayEnv: [{ THREADS: 1 }] });
    for (const server of [s.gw[0], s.pub[0]]) {
        const sockets = await fill(server.port, 48);
        await server.waitMetric('sse_connections', 48);
        assert.equal(await checks(server), null, 'at 96 % it is ready');
        sockets.push(...await fill(server.port, 1));
        await server.waitMetric('sse_connections', 49);
        assert.deepEqual(await checks(server), { connections: '49 of 50 connections of PORT are open (MAX_CONNECTIONS)' });
        sockets.push(...await fill(server.port, 3));
        const line = await server.waitLogged({ msg: 'connection limit reached; not accepting' });
        assert.deepEqual([line.level, line.listener, line.open, line.limit, line.setting], ['warn', 'public', '50', '50', 'MAX_CONNECTIONS']);
        sockets.splice(0, 10).forEach(socket => socket.destroy());
        await server.waitReady();
        sockets.forEach(socket => socket.destroy());
    }
});

test('a full plain port beside TLS is reported, too, though half of all connections are free', async () => {
    const s = await Stack.start({ tls: true, publishers: 0, env: { MAX_CONNECTIONS: 100, THREADS: 1 } });
    const sockets = await fill(s.gw[0].ports.plain, 49);
    await s.gw[0].waitMetric('sse_plain_connections', 49);
    assert.deepEqual(await checks(s.gw[0]), { 'plain connections': '49 of 50 connections of HTTP_PORT are open (MAX_CONNECTIONS)' });
    sockets.forEach(socket => socket.destroy());
    await s.gw[0].waitReady();
});

// {code, err} of a start with that many descriptors.
const start = (program, files, args = []) => new Promise(resolve => execFile('prlimit', [`--nofile=${files}`, binary(program), ...args],
    { env: { PORT: 0, ADMIN_PORT: 0, THREADS: 1, REDIS_URL: `unix://${tempFolder()}/none` }, timeout: 5000 * SCALE }, (error, _, err) => resolve({ code: error?.code ?? 0, err })));

test('below 300 descriptors nothing starts, and --check-config says so', async () => {
    for (const program of ['sse-gateway', 'sse-publisher'])
        for (const args of [[], ['--check-config']]) {
            const { code, err } = await start(program, 299, args);
            assert.equal(code, 1, err);
            assert.match(err, /the limit on open files is 299 and must be at least 300 \(ulimit -n, LimitNOFILE\)/);
        }
    assert.equal((await start('sse-gateway', 300, ['--check-config'])).code, 0);
});

test('with 300 descriptors and every connection taken the admin port answers, and Redis can come back', async () => {
    const s = await Stack.start({ gateways: 0, publishers: 0 });
    for (const [program, user] of [['sse-gateway', 'gateway'], ['sse-publisher', 'publisher']]) {
        const server = new Server(program, program, { PORT: 0, ADMIN_PORT: 0, HOST: '127.0.0.1', THREADS: 1, DRAIN_SECONDS: 0, TICKERS: 'off',
            REDIS_URL: s.redis.urlFor(user) }, { public: 'PORT', admin: 'ADMIN_PORT' });
        server.argv = ['prlimit', '--nofile=300', ...server.argv];
        await server.start();
        const sockets = await fill(server.port, 300);
        await server.waitLogged({ msg: 'connection limit reached; not accepting' });
        const admin = await fill(server.ports.admin, 8);
        await s.redis.kill();
        await server.waitMetric('sse_bus_up', 0);
        await s.redis.start();
        await server.waitMetric('sse_bus_up', 1);
        assert.match((await checks(server)).connections, /connections of PORT are open/);
        [...sockets, ...admin].forEach(socket => socket.destroy());
        await server.waitReady();
        if (program === 'sse-gateway')
            (await openStream(`${server.url}/channels/a`)).close();
        assert.equal(await server.end(), null);
    }
    await until('Redis answers', () => s.redis.cli('PING'));
});
