// sse-publisher when Redis is away, refuses it or stands still; its tickers; and how it starts and ends.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Stack, binary, quiet, tempFolder, until } from './stack.mjs';
import { request } from './sse.mjs';
import { Raw } from './raw.mjs';

const post = (server, path = '/post', headers = {}, body = null) => request(server.url + path, { method: 'POST', headers, body });
const entries = (s, channel) => s.redis.command(['XRANGE', `{sse:${channel}}:log`, '-', '+']);
const dataOf = payload => /^data: (.*)$/m.exec(payload)[1];

async function assertDown(server, why = /./) {
    const answer = await post(server);
    assert.equal(answer.status, 503, answer.body);
    assert.equal(answer.headers['retry-after'], '1');
    assert.match(JSON.parse(answer.body).error, why);
    const ready = await server.ready();
    assert.equal(ready.status, 503);
    assert.match(JSON.parse(ready.body).checks.bus, why);
    assert.equal((await request(`${server.adminUrl}/healthz`)).status, 200);
}

test('Redis absent at start: it listens, says so, and comes up when Redis does', async () => {
    const s = await Stack.start({ gateways: 0, redis: { start: false } });
    const [pub] = s.pub;
    await assertDown(pub);
    assert.equal(pub.logged({ msg: 'ready' }).length, 0);
    assert.equal(await pub.metric('sse_bus_up'), 0);
    await s.redis.start();
    await pub.waitReady();
    await pub.waitLogged({ msg: 'ready' });
    assert.equal((await post(pub)).status, 303);
    assert.equal(await pub.metric('sse_bus_up'), 1);
    assert.equal((await entries(s, 'post')).length, 1, 'what was answered 503 is not published later');
});

test('a refused password: it says so without telling it, and comes up when the password is right', async () => {
    const s = await Stack.start({ gateways: 0, publishers: 0, redis: { requirepass: 'right-secret' } });
    const { pub: [pub] } = await Stack.start({ gateways: 0, redis: { start: false },
        env: { REDIS_URL: `unix://:wrong-secret@${s.redis.socket}` } });
    await until('the password is refused', async () => /password/.test((await pub.ready()).body));
    await assertDown(pub, /password/);
    await s.redis.command(['CONFIG', 'SET', 'requirepass', 'wrong-secret']);
    await pub.waitReady();
    assert.equal((await post(pub)).status, 303);
    assert.ok(!pub.logContains(/wrong-secret/), pub.log);
});

test('a Redis without functions: one clear sentence, and the publisher stays up', async () => {
    const settings = join(tempFolder(), 'old.conf');
    writeFileSync(settings, 'rename-command FUNCTION ""\nrename-command FCALL ""\n');
    const s = await Stack.start({ gateways: 0, ready: false, redis: { include: settings } });
    const [pub] = s.pub;
    await until('it says why', async () => /Redis|function/i.test(JSON.parse((await pub.ready()).body).checks?.bus ?? '') &&
        /7|function/i.test((await pub.ready()).body));
    await assertDown(pub, /7|function/i);
    assert.ok(pub.logContains(/level="?(warn|error)"?.*(7|function)/i), pub.log);
    assert.equal(pub.logged({ msg: 'ready' }).length, 0);
});

test('Redis killed while running: 503, then 200 when it is back', async () => {
    const s = await Stack.start({ gateways: 0 });
    const [pub] = s.pub;
    assert.equal((await post(pub)).status, 303);
    await pub.waitLogged({ msg: 'ready' });
    await s.redis.kill('SIGKILL');
    await pub.waitMetric('sse_bus_up', 0);
    await assertDown(pub);
    await pub.waitLogged({ msg: 'not ready', why: /.+/ });
    assert.ok(await pub.metric('sse_publish_total', { outcome: 'bus_down' }) >= 1);
    await s.redis.start();
    await pub.waitReady();
    assert.equal((await post(pub, '/channels/a', { 'content-type': 'text/plain' }, 'x')).status, 200);
    assert.equal((await entries(s, 'a')).length, 1);
    await until('ready is said again', () => pub.logged({ msg: 'ready' }).length === 2);
    assert.equal(pub.logged({ msg: 'not ready' }).length, 1, 'each change is said once');
});

for (const [what, setting, value, why] of [['is out of memory', 'maxmemory', 1, /out of memory/], ['has too few replicas', 'min-replicas-to-write', 1, /too few replicas/]])
    test(`Redis ${what} and refuses writes: 503, /readyz and the log say so, with and without a publish, and it ends by itself`, async () => {
        const s = await Stack.start({ gateways: 0 });
        const [pub] = s.pub;
        const said = () => pub.logged({ msg: /^redis (refuses writes|accepts writes again)$/ }).map(line => line.msg);
        await s.redis.command(['CONFIG', 'SET', setting, value]);
        const answer = await post(pub);
        assert.equal(answer.status, 503);
        assert.match(answer.body, why);
        await assertDown(pub, why);
        assert.ok(await pub.metric('sse_publish_total', { outcome: 'unwritable' }) >= 1);
        assert.equal(await pub.metric('sse_publish_total', { outcome: 'bus_down' }), 0);
        await pub.waitMetric('sse_bus_up', 0);
        assert.match((await pub.waitLogged({ msg: 'redis refuses writes' })).why, why);
        await s.redis.command(['CONFIG', 'SET', setting, 0]);
        await pub.waitReady();
        await pub.waitMetric('sse_bus_up', 1);
        await s.redis.command(['CONFIG', 'SET', setting, value]);
        await until('it is found out without a publish', async () => why.test((await pub.ready()).body));
        await s.redis.command(['CONFIG', 'SET', setting, 0]);
        await pub.waitReady();
        assert.equal((await post(pub)).status, 303);
        assert.deepEqual(said(), ['redis refuses writes', 'redis accepts writes again', 'redis refuses writes', 'redis accepts writes again']);
    });

test('a Redis user who may publish nowhere: not ready with the reason, said once, and ready when the right is back', async () => {
    const s = await Stack.start({ gateways: 0, env: { STATUS_MS: 100, TICKERS: 'letters:50' } });
    const [pub] = s.pub;
    const acl = (...rules) => s.redis.command(['ACL', 'SETUSER', 'publisher', ...rules]);
    const said = () => pub.logged({ level: /^(warn|error|info)$/, msg: /^((not )?ready|redis refuses writes|redis accepts writes again|tick refused|publish failed)$/ }).map(line => line.msg);
    await pub.waitLogged({ msg: 'ready' });
    await acl('resetchannels');
    await until('it says why', async () => /the Redis user may not publish/.test((await pub.ready()).body));
    await pub.waitLogged({ msg: 'not ready', why: /the Redis user may not publish/ });
    await assertDown(pub, /the Redis user may not publish/);
    const lines = said().length;
    await quiet(1500); // thirty ticks, and the probes between
    assert.deepEqual(said().slice(lines), []);
    assert.equal(pub.logged({ msg: 'redis refuses writes' }).length, 1);
    await acl('&sse:news', '&sse:!nodes');
    await pub.waitReady();
    assert.equal((await post(pub)).status, 500, 'one channel that is not allowed concerns nobody else');
    await quiet(500);
    assert.equal((await pub.ready()).status, 200);
    await acl('&sse:*');
    assert.equal((await post(pub)).status, 303);
});

test('a Redis user who may not load functions: the log names the right at each attempt, and says nothing of a connection that is ready', async () => {
    const s = await Stack.start({ gateways: 0 });
    const [pub] = s.pub;
    const links = () => pub.logged({ msg: /^redis / });
    await s.redis.command(['ACL', 'SETUSER', 'publisher', '-function|load']);
    await s.redis.command(['CLIENT', 'KILL', 'USER', 'publisher']);
    await until('it has tried twice', () => links().length >= 4);
    assert.deepEqual(links().map(({ msg }) => msg).slice(0, 4), ['redis ready', 'redis lost', 'redis unreachable', 'redis unreachable']);
    assert.equal(links().at(-1).why, 'the Redis user may not load functions (needs +function|load)');
    await s.redis.command(['ACL', 'SETUSER', 'publisher', '+function|load']);
    await pub.waitReady();
    assert.equal(links().at(-1).msg, 'redis ready');
});

test('Redis that stands still: a post waits for the acknowledgement and is 503 after the time-out', async () => {
    const s = await Stack.start({ gateways: 0, env: { REDIS_TIMEOUT_MS: 500 } });
    const [pub] = s.pub;
    s.redis.pause();
    try {
        assert.equal((await post(pub)).status, 503);
    } finally {
        s.redis.resume();
    }
    await pub.waitReady();
    assert.equal((await post(pub)).status, 303);
});

test('Redis that may not write now (out of memory, replica) is 503, not 400', async () => {
    const s = await Stack.start({ gateways: 0 });
    const [pub] = s.pub;
    await s.redis.command(['CONFIG', 'SET', 'maxmemory', '1']);
    const answer = await post(pub);
    assert.equal(answer.status, 503, answer.body);
    assert.equal(answer.headers['retry-after'], '1');
    await s.redis.command(['CONFIG', 'SET', 'maxmemory', '0']);
    assert.equal((await post(pub)).status, 303);
    await s.redis.command(['REPLICAOF', '127.0.0.1', '1']);
    assert.equal((await post(pub)).status, 503);
    await s.redis.command(['REPLICAOF', 'NO', 'ONE']);
    await until('it writes again', async () => (await post(pub)).status === 303);
});

test('an error that no retry can fix is 500 without Retry-After, for its channel only', async () => {
    const s = await Stack.start({ gateways: 0 });
    const [pub] = s.pub;
    await s.redis.command(['SET', '{sse:news}:log', 'x']);
    const answer = await post(pub, '/channels/news');
    assert.equal(answer.status, 500, answer.body);
    assert.match(JSON.parse(answer.body).error, /^a key of this channel in Redis holds something else: delete it there$/);
    assert.equal(answer.headers['retry-after'], undefined);
    await s.redis.command(['SET', '{sse:post}:key:k', '']);
    await s.redis.command(['DEL', '{sse:post}:key:k']);
    await s.redis.command(['RPUSH', '{sse:post}:key:k', 'x']);
    assert.equal((await post(pub, '/post', { 'idempotency-key': 'k' })).status, 500);
    assert.equal((await post(pub)).status, 303);
    await s.redis.command(['XADD', '{sse:far}:log', '281474976710655-16777215', 'by', 'hand']);
    assert.match((await post(pub, '/channels/far')).body, /too far in the future/);
    assert.equal(await pub.metric('sse_publish_total', { outcome: 'failed' }), 3);
    assert.equal((await pub.ready()).status, 200);
    assert.ok(pub.logged({ msg: 'publish failed' }).length >= 1);
});

test('a publisher that finds an older function library loads its own again', async () => {
    const s = await Stack.start({ gateways: 0 });
    const [pub] = s.pub;
    await s.redis.command(['FUNCTION', 'LOAD', 'REPLACE', `#!lua name=sse
redis.register_function('sse_publish', function() return redis.error_reply('ERR sse_publish: unknown option; the options are few') end)`]);
    assert.equal((await post(pub)).status, 303);
    assert.equal((await entries(s, 'post')).length, 1);
});

test('two publishers make exactly one event per tick', async () => {
    const s = await Stack.start({ gateways: 0, publishers: 2, env: { TICKERS: 'letters:50,counter:50,usd_eur:10' } });
    await until('forty letters', async () => (await entries(s, 'letters')).length >= 40);
    await Promise.all(s.pub.map(pub => pub.kill()));

    for (const ticker of ['letters', 'counter']) {
        const events = await entries(s, ticker);
        const keys = await s.redis.command(['KEYS', `{sse:${ticker}}:key:ticker ${ticker}:*`]);
        const numbers = keys.map(key => Number(key.split(':').at(-1))).sort((a, b) => a - b);
        assert.equal(events.length, numbers.length, `${ticker}: one event for each tick number`);
        const skipped = numbers.at(-1) - numbers[0] + 1 - numbers.length;
        assert.ok(skipped <= numbers.length / 2, `${ticker}: ${skipped} of ${numbers.length} ticks were left out`);
        for (const [i, [position]] of events.entries()) {
            const ms = Number(position.split('-')[0]);
            assert.ok(ms >= numbers[i] * 50 - 5, `${ticker}: tick ${numbers[i]} came before its time, at ${ms}`);
        }
    }
    for (const [, [, payload]] of await entries(s, 'letters'))
        assert.match(payload, /\ndata: \{"msg":"[a-z]"\}\nid: [0-9a-f-]{36}\n\n$/);
    const counts = (await entries(s, 'counter')).map(([, [, payload]]) => Number(dataOf(payload)));
    assert.deepEqual(counts, counts.map((_, i) => i + 1));
    const rates = (await entries(s, 'usd_eur')).map(([, [, payload]]) => dataOf(payload));
    assert.ok(rates.length >= 2, 'the rate moved');
    for (const [i, rate] of rates.entries()) {
        assert.match(rate, /^\{"pair":"USD\/EUR","rate":0\.\d{4}\}$/);
        assert.notEqual(rate, rates[i - 1], 'only a rate that changed is published');
    }
});

test('each replica asks for every tick; Redis answers one of them with "duplicate"', async () => {
    const s = await Stack.start({ gateways: 0, publishers: 2, env: { TICKERS: 'letters:50' } });
    for (const pub of s.pub)
        await pub.waitMetric('sse_ticks_total', value => value >= 20, { labels: { ticker: 'letters' } });
    const sum = async outcome => (await s.pub[0].metric('sse_publish_total', { outcome })) + (await s.pub[1].metric('sse_publish_total', { outcome }));
    assert.ok(await sum('duplicate') >= 10);
    assert.ok(await sum('done') >= 10);
});

test('ticks that fall while Redis is away are left out, not kept', async () => {
    const s = await Stack.start({ gateways: 0, env: { TICKERS: 'counter:20' } });
    const [pub] = s.pub;
    await until('it ticks', async () => (await entries(s, 'counter')).length >= 3);
    await s.redis.kill('SIGKILL');
    await pub.waitMetric('sse_bus_up', 0);
    const before = await pub.metric('sse_ticks_total', { ticker: 'counter' });
    await quiet(500);
    assert.equal(await pub.metric('sse_ticks_total', { ticker: 'counter' }), before);
    const back = Date.now();
    await s.redis.start();
    await until('it ticks again', async () => (await entries(s, 'counter')).length >= 5);
    const positions = (await entries(s, 'counter')).map(([position]) => Number(position.split('-')[0]));
    assert.ok(positions[0] >= back - 5);
    assert.ok(positions[4] - positions[0] >= 3 * 20, `five ticks at once: ${positions}`);
});

test('SIGTERM: not ready, no new connections, the answer under way is sent, exit 0', async () => {
    const s = await Stack.start({ gateways: 0 });
    const [pub] = s.pub;
    const idle = await Raw.connect(pub.port);
    s.redis.pause();
    let status, ended;
    try {
        const answer = post(pub).then(got => (status = got.status));
        await until('the post is on its way', async () => (await pub.metric('sse_connections')) === 2);
        ended = pub.kill('SIGTERM');
        await pub.waitLogged({ msg: 'draining' });
        assert.match((await pub.ready()).body, /shutting down/);
        await assert.rejects(Raw.connect(pub.port), /ECONNREFUSED/);
        await quiet(200);
        assert.ok(pub.running, 'it waits for the answer');
        assert.equal(status, undefined, 'not answered before Redis did');
        s.redis.resume();
        await answer;
    } finally {
        s.redis.resume();
    }
    assert.equal(status, 303);
    assert.deepEqual(await ended, { code: 0, signal: null });
    idle.close();
    assert.equal((await entries(s, 'post')).length, 1);
});

test('SIGTERM: a request that never gets its answer holds the end up for five seconds at most', async () => {
    const s = await Stack.start({ gateways: 0, env: { REDIS_TIMEOUT_MS: 60000 } });
    const [pub] = s.pub;
    const raw = await Raw.connect(pub.port);
    raw.send('POST /post HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nhalf');
    await until('it is connected', async () => (await pub.metric('sse_connections')) === 1);
    const start = performance.now();
    assert.deepEqual(await pub.kill('SIGTERM'), { code: 0, signal: null });
    const took = performance.now() - start;
    assert.ok(took > 3000 && took < 8000, `${took} ms`);
    raw.close();
});

// Runs to its end: {code, out, err}.
const run = (args, env) => new Promise(done => execFile(binary('sse-publisher'), args, { env: { PATH: process.env.PATH, ...env }, timeout: 20000 },
    (error, out, err) => done({ code: error?.code ?? 0, out, err })));

test('a bad setting ends the start with one sentence that names it', async () => {
    const rows = [
        [{ PORT: '70000' }, /PORT/], [{ ADMIN_PORT: 'x' }, /ADMIN_PORT/], [{ BODY_LIMIT: '0' }, /BODY_LIMIT/], [{ BODY_LIMIT: '67108865' }, /BODY_LIMIT/],
        [{ REDIS_URL: 'http://:secret@x' }, /REDIS_URL/], [{ TICKERS: 'letters' }, /TICKERS.*letters:5000/], [{ TICKERS: 'news:100' }, /TICKERS/],
        [{ LOG_LEVEL: 'loud' }, /LOG_LEVEL.*debug, info, warn or error/], [{ RETRY_MS: '-1' }, /RETRY_MS/], [{ HISTORY_LEN: '1e3' }, /HISTORY_LEN/],
    ];
    for (const [env, match] of rows) {
        const { code, err } = await run([], env);
        assert.equal(code, 1, JSON.stringify(env));
        assert.match(err, match);
        assert.equal(err.trim().split('\n').length, 1, err);
        assert.doesNotMatch(err, /secret/);
    }
    assert.equal((await run(['--check-config'], { TICKERS: 'off' })).code, 0);
});

test('a port in use is one clear sentence', async () => {
    const s = await Stack.start({ gateways: 0 });
    const { code, err } = await run([], { PORT: String(s.pub[0].port), HOST: '127.0.0.1', ADMIN_PORT: '0', REDIS_URL: s.redis.urlFor('publisher'), TICKERS: 'off' });
    assert.equal(code, 1);
    assert.match(err, new RegExp(`port ${s.pub[0].port} is in use`));
});
