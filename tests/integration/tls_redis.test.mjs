// rediss://: who Redis is gets checked before anything is said to it, and what is wrong stands in /readyz.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis, Stack, freePort, tempFolder, until } from './stack.mjs';
import { Authority } from './authority.mjs';
import { openStream } from './sse.mjs';

const folder = tempFolder();
const ca = new Authority(folder), other = new Authority(folder, 'other');
const server = ca.issue('redis', { names: ['DNS:localhost', 'IP:127.0.0.1'] });
const ours = ca.issue('gateway');
const foreign = other.issue('foreign');
const named = ca.issue('named', { names: ['DNS:elsewhere.example', 'IP:127.0.0.9'] });
const old = await ca.expired('old', { names: ['DNS:localhost'] });
const wild = ca.issue('wild', { names: ['DNS:*host', 'DNS:local*', 'DNS:*.localhost'] });

let started = 0;
const servers = [];
after(() => Promise.all(servers.map(redis => redis.end())));

async function secureRedis({ cert, key }, settings = {}) {
    const redis = new Redis(join(folder, `redis-${started++}`), { bind: '127.0.0.1', 'tls-port': await freePort(), 'tls-cert-file': cert, 'tls-key-file': key,
        'tls-ca-cert-file': ca.file, 'tls-auth-clients': 'no', ...settings });
    redis.tlsPort = redis.argv[redis.argv.indexOf('--tls-port') + 1];
    servers.push(redis);
    await redis.start();
    return redis;
}

const place = (redis, host = 'localhost') => `rediss://${host}:${redis.tlsPort}`;
const stackOn = (redis, env, options = {}) => Stack.start({ redis: { start: false }, ready: false, ...options, env: { REDIS_URL: place(redis), REDIS_CA: ca.file, ...env } });

async function works(s, redis) {
    await Promise.all([...s.gw, ...s.pub].map(server => server.waitReady()));
    const stream = await openStream(`${s.gw[0].url}/channels/tls`);
    await redis.subscribed('tls');
    await s.post('tls', 'over TLS');
    assert.equal((await stream.next()).data, 'over TLS');
    stream.close();
}

for (const version of ['TLSv1.2', 'TLSv1.3'])
    for (const host of ['localhost', '127.0.0.1'])
        test(`both programs, ${version}, ${host}, a certificate of REDIS_CA`, async () => {
            const redis = await secureRedis(server, { 'tls-protocols': version });
            await works(await stackOn(redis, { REDIS_URL: place(redis, host) }), redis);
            const clients = await redis.command(['CLIENT', 'LIST']);
            assert.match(clients, /user=gateway/);
            assert.match(clients, /user=publisher/);
        });

const BAD = [
    ['of an authority nobody named', foreign, /certificate verify failed: (unable to get local issuer certificate|self-signed certificate in certificate chain)/, {}],
    ['for another host', named, /certificate verify failed: hostname mismatch/i, {}],
    ['for another address', named, /certificate verify failed: IP address mismatch/, { host: '127.0.0.1' }],
    ['with half a name in the wildcard', wild, /certificate verify failed: hostname mismatch/i, {}],
    ['that has run out', old, /certificate verify failed: certificate has expired/, {}],
];
for (const version of ['TLSv1.2', 'TLSv1.3'])
    for (const [fact, certificate, why, { host }] of BAD)
        test(`a certificate ${fact} is refused (${version}): /readyz says so, no password is sent, and it goes on trying`, async () => {
            const redis = await secureRedis(certificate, { 'tls-protocols': version });
            const s = await stackOn(redis, { REDIS_URL: place(redis, host) });
            for (const program of [...s.gw, ...s.pub]) {
                await until('it is told', async () => why.test(JSON.parse((await program.ready()).body).checks.bus));
                await program.waitLogged({ level: 'warn', msg: 'redis unreachable', why });
            }
            for (const program of [...s.gw, ...s.pub])
                await until('another attempt', () => program.logged({ msg: 'redis unreachable' }).length > 1);
            assert.doesNotMatch(await redis.command(['INFO', 'commandstats']), /cmdstat_(auth|client|subscribe)/);
        });

test('REDIS_CA empty: the system vouches, and not for this one', async () => {
    const redis = await secureRedis(server);
    const s = await stackOn(redis, { REDIS_CA: '' });
    await until('it is told', async () => /certificate verify failed: self-signed certificate in certificate chain/.test((await s.gw[0].ready()).body));
});

test('a plain port is not a TLS port, and the error says so', async () => {
    const port = await freePort();
    const s = await Stack.start({ ready: false, redis: { port, bind: '127.0.0.1' }, env: { REDIS_URL: `rediss://localhost:${port}`, REDIS_CA: ca.file, REDIS_TIMEOUT_MS: 500 } });
    for (const program of [...s.gw, ...s.pub])
        await until('it is told', async () => /TLS port/.test((await program.ready()).body));
});

test('Redis demands a certificate: refused without one, in its own words; with REDIS_CERT it works', async () => {
    const redis = await secureRedis(server, { 'tls-auth-clients': 'yes' });
    const without = await stackOn(redis, {});
    for (const program of [...without.gw, ...without.pub])
        await until('it is told', async () => /refused the TLS session: certificate required/.test((await program.ready()).body));
    const wrong = await stackOn(redis, { REDIS_CERT: foreign.cert, REDIS_KEY: foreign.key });
    for (const program of [...wrong.gw, ...wrong.pub])
        await until('it is told', async () => /refused the TLS session: unknown CA/.test((await program.ready()).body));
    await works(await stackOn(redis, { REDIS_CERT: ours.cert, REDIS_KEY: ours.key }), redis);
});

test('put right and SIGHUP: it comes up without a restart', async () => {
    const redis = await secureRedis(server);
    const mine = new Authority(folder, 'mine');
    const s = await stackOn(redis, { REDIS_CA: mine.file });
    for (const program of [...s.gw, ...s.pub])
        await until('it is told', async () => /certificate verify failed/.test((await program.ready()).body));
    copyFileSync(ca.file, mine.file);
    for (const program of [...s.gw, ...s.pub]) {
        program.signal('SIGHUP');
        await program.waitLogged({ msg: 'certificate reloaded' });
    }
    await works(s, redis);
});

test('of two certificates one can\'t be read again: that is logged and counted as failed, and the other one is taken', async () => {
    const redis = await secureRedis(server);
    const mine = new Authority(folder, 'broken later'), own = ca.issue('own');
    copyFileSync(ca.file, mine.file);
    const s = await stackOn(redis, { REDIS_CA: mine.file, TLS_CERT: own.cert, TLS_KEY: own.key });
    const expires = program => program.metric('sse_certificate_not_after_timestamp_seconds', { setting: 'TLS_CERT' });
    const both = [...s.gw, ...s.pub], before = [];
    for (const program of both) {
        await program.waitReady();
        before.push(await expires(program));
    }
    writeFileSync(mine.file, 'no certificate');
    ca.issue('own', { days: 60 });
    for (const [i, program] of both.entries()) {
        program.signal('SIGHUP');
        const reloads = outcome => program.metric('sse_reloads_total', { what: 'certificates', outcome });
        await until('it is counted', async () => await reloads('failed') === 1);
        assert.equal(await reloads('done'), 0);
        assert.deepEqual(program.logged({ msg: /^certificate/ }).map(({ level, msg, why }) => [level, msg, why.replace(/:.*/, '')]), [['error', 'certificate not reloaded', 'REDIS_CA']]);
        assert.ok(await expires(program) > before[i]);
        copyFileSync(ca.file, mine.file);
        program.signal('SIGHUP');
        await program.waitLogged({ msg: 'certificate reloaded' });
        assert.deepEqual([await reloads('done'), await reloads('failed')], [1, 1]);
        writeFileSync(mine.file, 'no certificate');
    }
    copyFileSync(ca.file, mine.file);
    await Promise.all(both.map(program => program.waitReady()));
});
