// The host's clock is set while the programs run: nothing that lasts a while may notice; what goes by the time of day must.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import { ROOT, SANITIZED, SCALE, Stack, quiet, tempFolder, until } from './stack.mjs';
import { openStream, request } from './sse.mjs';

const HOUR = 3600;
const folder = tempFolder(), clock = join(folder, 'clock'), keyFile = join(folder, 'key');
const KEY = 'a secret of thirty-two bytes or more';
const skip = SANITIZED ? 'a sanitizer must be the first library' : false;

const set = seconds => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(seconds));
    writeFileSync(clock, bytes, { flag: 'r+' });
};
writeFileSync(clock, Buffer.alloc(8));
writeFileSync(keyFile, KEY);

async function start(env = {}, options = {}) {
    const shim = join(folder, 'clock_step.so');
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', shim, join(ROOT, 'tests/integration/clock_step.c')]);
    set(0);
    return Stack.start({ ...options, env: { LD_PRELOAD: shim, CLOCK_STEP: clock, KEEPALIVE_MS: 150, DRAIN_SECONDS: 1, ...env } });
}

function token(seconds) {
    const part = value => Buffer.from(JSON.stringify(value)).toString('base64url');
    const text = `${part({ alg: 'HS256' })}.${part({ exp: Math.floor(Date.now() / 1000) + seconds, sse: { subscribe: ['*'] } })}`;
    return `${text}.${createHmac('sha256', KEY).update(text).digest('base64url')}`;
}

// A stream gets its keep-alives, publishing works, both programs are ready, and the Date header says what the clock says.
async function works(s, stream, step) {
    const [gw] = s.gw, [pub] = s.pub, comments = stream.parser.comments.length;
    await until('keep-alives go on', () => stream.parser.comments.length > comments + 5, 5000);
    const posted = await request(`${gw.url}/channels/stepped`, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: `at ${step}` });
    assert.equal(posted.status, 200);
    assert.equal((await stream.next()).data, `at ${step}`);
    for (const server of [gw, pub]) {
        assert.equal((await server.ready()).status, 200, server.name);
        const { headers } = await request(`${server.url}/no-such-path`);
        const off = (new Date(headers.date) - Date.now()) / 1000 - step;
        assert.ok(Math.abs(off) < 3 * SCALE, `${server.name}: the Date header is ${off} s off`);
    }
}

test('a clock that is set back and forth: keep-alives, publishing and readiness go on, a stream stays open, a drain ends', { skip }, async () => {
    const s = await start();
    const stream = await openStream(`${s.gw[0].url}/channels/stepped`);
    await s.redis.subscribed('stepped');
    await works(s, stream, 0);
    for (const step of [-10, -HOUR, HOUR, 100 * 24 * HOUR, -HOUR]) {
        set(step);
        await works(s, stream, step);
        await quiet(300); // a timer that runs late or early would
    }
    assert.equal(stream.ended, null);
    const drained = s.gw[0].kill('SIGTERM', 10000);
    await quiet(100);
    set(-2 * HOUR);
    assert.deepEqual(await drained, { code: 0, signal: null }, 'the drain ends');
    stream.close();
});

test('a token ends by the time of day', { skip }, async () => {
    const s = await start({ JWT_KEY_FILE: keyFile });
    const open = () => openStream(`${s.gw[0].url}/channels/timed`, { headers: { authorization: `Bearer ${token(600)}` } });
    const good = await open();
    assert.equal(good.status, 200);
    good.close();
    set(HOUR);
    const late = await open();
    assert.equal(late.status, 401);
    late.close();
});

test('tickers go on, once for each interval, when the clock is set back and forth; two publishers agree', { skip }, async () => {
    const s = await start({ TICKERS: 'letters:100' }, { gateways: 0, publishers: 2 });
    const positions = async () => (await s.redis.command(['XRANGE', '{sse:letters}:log', '-', '+'])).map(([position]) => Number(position.split('-')[0]));
    let seen = 0;
    // As if they had run for 30 s.
    for (let now = Math.floor(Date.now() / 100), number = now - 300; number < now; ++number)
        await s.redis.command(['SET', `{sse:letters}:key:ticker letters:${number}`, 'x 1-1', 'EX', 300]);
    for (const step of [0, -20, -250, -200, 0, -HOUR, 0]) {
        set(step);
        await until(`fifteen ticks at ${step}`, async () => (await positions()).length >= seen + 15);
        const fresh = (await positions()).slice(seen);
        seen += fresh.length;
        // One may come twice as the clock is set, between the two publishers' turns.
        assert.ok(fresh.at(-1) - fresh[0] >= 100 * (fresh.length - 3), `${step}: ${fresh.length} ticks in ${fresh.at(-1) - fresh[0]} ms`);
    }
});
