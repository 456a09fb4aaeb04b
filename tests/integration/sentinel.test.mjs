// redis-sentinel://: the primary is found, its failovers are followed, and nobody is believed who knows less than another.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, binary, quiet, tempFolder, until } from './stack.mjs';
import { Authority } from './authority.mjs';
import { SentinelSet } from './sentinel.mjs';
import { openStream, request } from './sse.mjs';

const MOVED = { msg: 'the sentinels name a new primary' };
const set = await SentinelSet.start();

const bus = async program => JSON.parse((await program.ready()).body).checks?.bus;
const connections = async node => [...(await node.command(['CLIENT', 'LIST'])).matchAll(/ name=(sse-\S*) /g)].map(([, name]) => name).sort();
const OURS = ['sse-gateway:commands', 'sse-gateway:sse-gateway:commands', 'sse-gateway:sse-gateway:subscriber'];

// Sends it again and again, as an author should.
async function publish(s, channel, data, key = `${channel} ${data}`.replaceAll(' ', '-')) {
    let id;
    await until(`"${data}" is acknowledged`, async () => {
        const answer = await request(`${s.pub[0].url}/channels/${channel}`, { method: 'POST', headers: { 'content-type': 'text/plain', 'idempotency-key': key }, body: data });
        id = answer.status === 200 ? JSON.parse(answer.body).id : undefined;
        return id;
    }, 20000);
    return id;
}

const all = s => [...s.gw, ...s.pub];
const allReady = s => Promise.all(all(s).map(program => program.waitReady()));

test('a sentinel that is away, at the start or later, is not missed', async () => {
    await set.sentinels[0].kill('SIGKILL');
    const s = await set.stack();
    await set.sentinels[0].start();
    await set.settled();
    await set.sentinels[1].kill('SIGKILL');
    await quiet(2500); // some polls
    await allReady(s);
    assert.equal(await s.gw[0].metric('sse_bus_lost_total'), 0);
    await set.sentinels[1].start();
    await set.settled();
    await s.stop();
});

test('all sentinels are away: connected programs work on, starting ones report it and come up with the sentinels', async () => {
    const s = await set.stack();
    await Promise.all(set.sentinels.map(sentinel => sentinel.kill('SIGKILL')));
    const late = await set.stack({ ready: false });
    for (const program of all(late))
        await until('it is told', async () => await bus(program) === 'no sentinel names the primary: connection refused');
    await publish(s, 'alone', 'one');
    await allReady(s);
    await Promise.all(set.sentinels.map(sentinel => sentinel.start()));
    await allReady(late);
    assert.equal(await s.gw[0].metric('sse_bus_lost_total'), 0);
    await s.stop();
    await late.stop();
    await set.settled();
});

test('a Redis that is no primary is not used, whatever a sentinel says, and /readyz tells it', async () => {
    const [replica] = await set.replicas();
    const stranger = await set.stranger(replica, 'elsewhere');
    const s = await set.stack({ ready: false, env: { REDIS_URL: set.url([stranger], 'elsewhere') } });
    for (const program of all(s))
        await until('it is told', async () => await bus(program) === 'the node that the sentinels name as the primary is not a primary');
    assert.deepEqual(await connections(replica), []);
    await s.stop();
    await stranger.kill();
});

test('/readyz names the fault: an unknown name, no sentinel at the address, not a sentinel', async () => {
    const { nodes, sentinels } = set;
    for (const [url, why] of [
        [set.url(sentinels, 'other'), /^the sentinels know no primary of that name$/],
        [set.url([{ port: 1 }, { port: 2 }]), /^no sentinel names the primary: connection refused$/],
        [set.url([nodes[0]]), /^(a node that REDIS_URL names as a sentinel is not a sentinel|the sentinels' user may not ask where the primary is)$/]]) {
        const s = await set.stack({ ready: false, env: { REDIS_URL: url } });
        for (const program of all(s))
            await until(`it is told: ${why}`, async () => why.test(await bus(program)), 15000);
        await s.stop();
    }
});

test('a planned failover: all connections follow, the streams go on, the function is there', async () => {
    const s = await set.stack();
    const old = await set.primary();
    assert.deepEqual(await connections(old), OURS);
    const stream = await openStream(`${s.gw[0].url}/channels/planned`);
    await set.subscribed('planned');
    await publish(s, 'planned', 'one');
    const next = await set.failover();
    await until('all connections are at the new one', async () => String(await connections(next)) === String(OURS));
    await publish(s, 'planned', 'two');
    await set.subscribed('planned');
    await publish(s, 'planned', 'three');
    assert.deepEqual((await stream.take(3)).map(event => event.data), ['one', 'two', 'three']);
    assert.match(String(await next.command(['FUNCTION', 'LIST'])), /sse_publish/);
    await until('none is left at the old one', async () => (await connections(old)).length === 0);
    stream.close();
    await s.stop();
});

test('the primary is killed: its replica takes over; when it comes back nobody uses it', async () => {
    await set.inStep();
    const s = await set.stack();
    const old = await set.primary(), epoch = await set.epoch();
    const stream = await openStream(`${s.gw[0].url}/channels/killed`);
    await set.subscribed('killed');
    await publish(s, 'killed', 'one');
    const others = set.nodes.filter(node => node !== old);
    await until('a replica has it', async () => (await Promise.all(others.map(node => node.command(['XLEN', '{sse:killed}:log'])))).includes(1));
    await old.kill('SIGKILL');
    await publish(s, 'killed', 'two');
    assert.deepEqual((await stream.take(2)).map(event => event.data), ['one', 'two']);
    await set.moved(old);
    await old.start();
    await quiet(2500); // some polls
    await allReady(s);
    assert.deepEqual(await connections(old), []);
    // one on a machine that keeps up; a slow one may see Sentinel change its mind
    const failovers = await set.epoch() - epoch, moves = all(s).flatMap(program => program.logged(MOVED)).length;
    assert.ok(moves >= 2 && moves <= 2 * failovers, `${moves} moves of two programs for ${failovers} failovers`);
    stream.close();
    await s.stop();
});

test('a sentinel that has missed a failover is not believed', async () => {
    await set.settled();
    const old = await set.primary();
    old.pause();
    const stranger = await set.stranger(old);
    try {
        const next = await set.moved(old);
        assert.equal((await stranger.command(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'events']))[1], String(old.port), 'the stranger still names the old one');
        const s = await set.stack({ env: { REDIS_URL: set.url([stranger, ...set.sentinels]) } });
        await quiet(2500); // some polls
        assert.deepEqual(await connections(next), OURS);
        for (const program of all(s)) {
            assert.ok(program.logged(MOVED).length <= 1, 'it was not led astray again');
            assert.equal((await program.ready()).status, 200);
        }
        await s.stop();
    } finally {
        old.resume();
    }
    await stranger.kill();
});

test('a setting that can\'t be right ends the start in a sentence that names it', async () => {
    const good = { REDIS_URL: 'redis-sentinel://a/n' };
    const rows = [[{ REDIS_URL: 'redis-sentinel://a' }, /why="REDIS_URL: the name of the primary is missing/], [{ REDIS_URL: 'redis-sentinel://1,2,3,4,5,6,7,8,9/n' }, /why="REDIS_URL: .* more than 8/],
        [{ REDIS_SENTINEL_PASSWORD: 'geheim' }, /why="REDIS_SENTINEL_PASSWORD: is for redis-sentinel/], [{ ...good, REDIS_SENTINEL_PASSWORD: 'geheim%' }, /why="REDIS_SENTINEL_PASSWORD: a '%'/],
        [{ ...good, REDIS_SENTINEL_PASSWORD_FILE: '/no/such' }, /why="REDIS_SENTINEL_PASSWORD_FILE: /], [{ ...good, PUBLISH_REPLICAS: '17' }, /why="PUBLISH_REPLICAS: 17 is above 16/]];
    for (const [env, why] of rows)
        for (const program of ['sse-gateway', 'sse-publisher'].slice(env.PUBLISH_REPLICAS ? 1 : 0)) {
            const { error, stderr } = await new Promise(done => execFile(binary(program), [], { env: { PORT: '0', ADMIN_PORT: '0', ...env }, timeout: 5000 }, (failed, _, text) => done({ error: failed, stderr: text })));
            assert.equal(error?.code, 1, `${program} ${why}`);
            assert.match(stderr, why);
            assert.doesNotMatch(stderr, /geheim/);
        }
});

test('sentinels with a password: REDIS_SENTINEL_PASSWORD, or else what REDIS_URL has', async () => {
    const own = await SentinelSet.start({ replicas: 1, password: 'ses:ame' });
    for (const [password, why] of [['', /user or password was refused/], ['wrong', /the password was refused/], ['nobody:wrong', /user or password was refused/]]) {
        const s = await own.stack({ ready: false, env: { REDIS_SENTINEL_PASSWORD: password } });
        for (const program of all(s))
            await until(`it is told: ${why}`, async () => why.test(await bus(program)), 15000);
        await s.stop();
    }
    for (const env of [{ REDIS_SENTINEL_PASSWORD: 'ses%3Aame' }, { REDIS_SENTINEL_PASSWORD: 'default:ses%3Aame' }])
        await (await own.stack({ env })).stop();
    const contract = readFileSync(join(ROOT, 'proto/README.md'), 'utf8');
    const [, rules] = /^redis-cli -p 26379 (ACL SETUSER sentinel-reader .+)$/m.exec(contract);
    for (const sentinel of own.sentinels) {
        await sentinel.command(rules.replaceAll("'", '').split(' '));
        await sentinel.command(['ACL', 'SETUSER', 'default', '-@all', '+acl']); // whom nothing is allowed that is not named
    }
    await (await own.stack({ env: { REDIS_SENTINEL_PASSWORD: 'sentinel-reader:secret' } })).stop();
    for (const sentinel of own.sentinels)
        await sentinel.command(['ACL', 'SETUSER', 'default', '+@all']);
    await own.stop();
});

test('a new password of the sentinels in REDIS_SENTINEL_PASSWORD_FILE is used after SIGHUP, and a broken one changes nothing', async () => {
    const own = await SentinelSet.start({ replicas: 1, password: 'sesame' });
    const file = join(tempFolder(), 'password');
    const write = password => writeFileSync(file, password, { mode: 0o600 });
    write('sesame');
    const s = await own.stack({ env: { REDIS_SENTINEL_PASSWORD_FILE: file } });
    const reload = outcome => Promise.all(all(s).map(async program => {
        const before = await program.metric('sse_reloads_total', { what: 'redis login', outcome });
        program.signal('SIGHUP');
        await program.waitMetric('sse_reloads_total', before + 1, { labels: { what: 'redis login', outcome } });
    }));
    write('100%');
    await reload('failed');
    for (const program of all(s))
        assert.match(program.logged({ msg: 'redis login not reloaded' }).at(-1).why, /^REDIS_SENTINEL_PASSWORD: a '%'/);
    const reconnect = async () => {
        for (const sentinel of own.sentinels)
            for (const type of ['normal', 'pubsub'])
                await sentinel.command(['CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes']);
        await until('they ask a sentinel again', async () => (await Promise.all(own.sentinels.map(connections))).flat().length >= all(s).length);
    };
    await reconnect(); // with the old one
    for (const sentinel of own.sentinels)
        await sentinel.command(['ACL', 'SETUSER', 'default', 'resetpass', '>tulip']);
    write('tulip');
    await reload('done');
    await reconnect();
    const next = await own.failover();
    await until('all connections are at the new one', async () => String(await connections(next)) === String(OURS), 20000);
    await allReady(s);
    for (const program of all(s))
        assert.doesNotMatch(program.log, /sesame|tulip|password was refused/);
    await s.stop();
    await own.stop();
});

test('rediss-sentinel://: TLS to the sentinels and to each primary, whose certificate is for its own address', async () => {
    const folder = tempFolder();
    const ca = new Authority(folder), other = new Authority(folder, 'other');
    const { cert, key } = ca.issue('redis', { names: ['IP:127.0.0.1'] });
    const secure = await SentinelSet.start({ replicas: 1, tls: { cert, key, ca: ca.file } });
    const s = await secure.stack({ env: { REDIS_CA: ca.file } });
    const old = await secure.primary();
    const stream = await openStream(`${s.gw[0].url}/channels/tls`);
    await secure.subscribed('tls');
    await publish(s, 'tls', 'one');
    const next = await secure.failover();
    await publish(s, 'tls', 'two');
    assert.deepEqual((await stream.take(2)).map(event => event.data), ['one', 'two']);
    assert.notEqual(next, old);
    stream.close();
    const wrong = await secure.stack({ ready: false, env: { REDIS_CA: other.file } });
    for (const program of all(wrong))
        await until('it is told', async () => /certificate verify failed/.test(await bus(program)));
    await wrong.stop();
    await s.stop();
    await secure.stop();
});
