// REDIS_PREFIX: several deployments on one Redis, each with names of its own, under users that may touch no others'.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { Stack, binary, quiet } from './stack.mjs';
import { documentedUsers } from './redis.mjs';
import { openStream, request } from './sse.mjs';

const PREFIXES = ['blue:', 'green:'];
const s = await Stack.start({ gateways: 2, publishers: 2, ready: false,
    gatewayEnv: PREFIXES.map(prefix => ({ REDIS_PREFIX: prefix })), publisherEnv: PREFIXES.map(prefix => ({ REDIS_PREFIX: prefix })) });

// Each deployment's two users, as the contract says to make them with another prefix.
for (const [i, prefix] of PREFIXES.entries()) {
    for (const [user, servers] of [['gateway', s.gw], ['publisher', s.pub]]) {
        const name = `${user}-${prefix.slice(0, -1)}`;
        const rules = documentedUsers()[user].map(rule => rule.replace('sse:', prefix));
        await s.redis.command(['ACL', 'SETUSER', name, 'on', `>${s.redis.userPassword}`, ...rules]);
        await servers[i].kill();
        servers[i].env.REDIS_URL = `unix://${name}:${s.redis.userPassword}@${s.redis.socket}`;
        if (user === 'gateway')
            servers[i].env.PUBLISHER_URL = s.pub[i].url;
        await servers[i].start();
    }
}

const post = (gw, channel, body, headers = {}) =>
    request(`${gw.url}/channels/${channel}`, { method: 'POST', headers: { 'content-type': 'text/plain', ...headers }, body });

test('two deployments on one Redis do not hear each other, not even by their histories and keys', async () => {
    const streams = await Promise.all(s.gw.map(gw => openStream(`${gw.url}/channels/news`)));
    for (const [i, prefix] of PREFIXES.entries())
        assert.equal((await post(s.gw[i], 'news', `for ${prefix}`, { 'idempotency-key': 'same' })).status, 200);
    for (const [i, prefix] of PREFIXES.entries())
        assert.equal((await streams[i].next()).data, `for ${prefix}`);
    await quiet(300);
    for (const [i, stream] of streams.entries()) {
        assert.equal(stream.events.length, 1, PREFIXES[i]);
        stream.close();
        const late = await openStream(`${s.gw[i].url}/channels/news?last=10`);
        assert.equal((await late.next()).data, `for ${PREFIXES[i]}`);
        late.close();
    }
    const keys = await s.redis.command(['KEYS', '*']);
    assert.deepEqual(keys.filter(key => !PREFIXES.some(prefix => key.startsWith(`{${prefix}news}:`) || key.startsWith(`{${prefix}!born`))), []);
    assert.deepEqual(keys.filter(key => key.endsWith(':log')).sort(), PREFIXES.map(prefix => `{${prefix}news}:log`));
});

test('nor do their nodes', async () => {
    const nodes = await Promise.all(s.gw.map(async gw => {
        const stream = await openStream(`${gw.adminUrl}/status/events`);
        const seen = new Set();
        while (seen.size < 2)
            seen.add(JSON.parse((await stream.next()).data).id);
        stream.close();
        return seen;
    }));
    assert.deepEqual([...nodes[0]].filter(id => nodes[1].has(id)), []);
});

test('redis-cli publishes to the deployment whose prefix it names, with ids of the same form', async () => {
    const stream = await openStream(`${s.gw[1].url}/channels/by:hand`);
    await stream.nextFrame();
    const [id] = await s.redis.command(['FCALL', 'sse_publish', 1, 'green:by:hand', 'x']);
    assert.deepEqual(await stream.next(), { type: 'message', data: 'x', lastEventId: id });
    stream.close();
    const [two] = await s.redis.command(['FCALL', 'sse_publish', 1, 'green:by:hand', 'y']);
    const back = await openStream(`${s.gw[1].url}/channels/by:hand`, { headers: { 'last-event-id': id } });
    assert.deepEqual(await back.next(), { type: 'message', data: 'y', lastEventId: two });
    back.close();
});

for (const program of ['sse-gateway', 'sse-publisher'])
    test(`${program} refuses a bad prefix, and a database that only a prefix keeps apart`, () => {
        const start = env => {
            try {
                execFileSync(binary(program), [], { env: { PORT: '0', ADMIN_PORT: '0', ...env }, stdio: 'pipe', timeout: 10000 });
            } catch (error) {
                return `${error.stderr}${error.stdout}`;
            }
            return '';
        };
        for (const prefix of ['sse', 'a:b:', '{x}:', `${'p'.repeat(33)}:`])
            assert.match(start({ REDIS_PREFIX: prefix }), /REDIS_PREFIX: (must be letters|is longer)/, prefix);
        for (const url of ['redis://127.0.0.1:1/1', 'unix:///no/such.sock?db=2', 'redis-sentinel://127.0.0.1:1/name/3'])
            assert.match(start({ REDIS_URL: url }), /REDIS_URL: names a database other than 0.* set REDIS_PREFIX/, url);
    });
