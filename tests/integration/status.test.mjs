// What the nodes announce of themselves, and the stream of it at /status/events.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { connect } from 'node:net';
import { ROOT, SANITIZED, SCALE, Stack, binary, quiet, until } from './stack.mjs';
import { openStream, request } from './sse.mjs';

const CHANNEL = 'sse:!nodes';
const s = await Stack.start({ gateways: 2, publishers: 1, env: { STATUS_MS: 100 },
    gatewayEnv: [{ NODE_NAME: 'one' }, { NODE_NAME: 'two' }], publisherEnv: [{ NODE_NAME: 'pub' }] });
const [one, two] = s.gw;
const watch = server => openStream(`${server.adminUrl}/status/events`);
const heard = stream => stream.events.map(event => JSON.parse(event.data));
const newest = (stream, node) => heard(stream).findLast(said => said.node === node);
const listeners = async () => (await s.redis.command(['PUBSUB', 'NUMSUB', CHANNEL]))[1];

test('a watcher at one gateway hears every gateway and publisher, with what they count', async () => {
    const [letters, watcher] = [await openStream(`${two.url}/channels/seen`), await watch(one)];
    assert.deepEqual([watcher.status, watcher.headers['content-type'], watcher.headers['cache-control']], [200, 'text/event-stream; charset=utf-8', 'no-store, no-transform']);
    await s.redis.subscribed('seen', 1);
    await s.post('seen', 'hello');
    await until('all three are heard, with the event', () => newest(watcher, 'one') && newest(watcher, 'pub')?.published === 1 && newest(watcher, 'two')?.events_out === 1);
    const [mine, other, pub] = ['one', 'two', 'pub'].map(node => newest(watcher, node));
    assert.deepEqual([mine.role, other.role, pub.role], ['gateway', 'gateway', 'publisher']);
    assert.deepEqual([other.streams, other.channels, other.bus_up, mine.streams, mine.every_ms], [1, 1, 1, 0, 100]);
    assert.equal(new Set([mine.id, other.id, pub.id]).size, 3);
    await until('all are ready', () => ['one', 'two', 'pub'].every(node => !('why' in newest(watcher, node))));
    await until('the round trip is told', () => newest(watcher, 'two').bus_round_trips > 0 && newest(watcher, 'two').bus_round_trips_us > 0);
    letters.close();
    watcher.close();
});

test('the numbers rise with each announcement, and the reasons of closes are those of /metrics', async () => {
    const watcher = await watch(one);
    (await openStream(`${two.url}/channels/closed`)).close();
    await until('the close is told', () => newest(watcher, 'two')?.closes['client closed'] >= 1);
    const mine = heard(watcher).filter(said => said.node === 'two');
    assert.ok(mine.every((said, i) => i === 0 || (said.seq > mine[i - 1].seq && said.uptime_ms >= mine[i - 1].uptime_ms)));
    const reasons = new Set((await two.metrics()).filter(row => row.name === 'sse_stream_closes_total').map(row => row.labels.reason));
    assert.ok(Object.keys(newest(watcher, 'two').closes).every(reason => reasons.has(reason)));
    watcher.close();
});

test('a gateway listens for the others only while somebody watches', async () => {
    await until('nobody listens', async () => await listeners() === 0);
    const [first, second] = [await watch(one), await watch(one)];
    await until('one listens', async () => await listeners() === 1);
    first.close();
    await until('the other one still hears', () => newest(second, 'two'));
    assert.equal(await listeners(), 1);
    second.close();
    await until('nobody listens', async () => await listeners() === 0);
});

test('no client can listen to the channel or publish there', async () => {
    for (const name of ['!nodes', '%21nodes']) {
        assert.equal((await request(`${one.url}/channels/${name}`, { headers: { accept: 'text/event-stream' } })).status, 400);
        assert.equal((await request(`${one.url}/subscribe?channel=${name}`)).status, 400);
        for (const url of [one.url, s.pub[0].url])
            assert.ok((await request(`${url}/channels/${name}`, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'x' })).status >= 400);
    }
    await assert.rejects(s.redis.command(['FCALL', 'sse_publish', 1, CHANNEL, 'x']), /sse_publish: /);
    for (const path of ['/status', '/status/events'])
        assert.equal((await request(one.url + path)).status, 404);
});

test('a text that cannot be an announcement is dropped; any other is one event, whatever it contains', async () => {
    const watcher = await watch(one);
    await until('it listens', async () => await listeners() === 1);
    for (const text of ['', 'x', '{', '[]', '{"a":1}\n', '{\n}', '{"a":"\r\ndata: {}"}', `{${'x'.repeat(4095)}}`, '\x1esse1 1-0 0-0\ndata: {}\n\n', Buffer.from([0x7b, 0, 0x7d])])
        await s.redis.command(['PUBLISH', CHANNEL, text]);
    const good = ['{"node":"<b>x</b>"}', '{}', '{"\\n":"ü"}', `{${'y'.repeat(4094)}}`];
    for (const text of good)
        await s.redis.command(['PUBLISH', CHANNEL, text]);
    const foreign = () => watcher.events.filter(event => !event.data.includes('"seq"')).map(event => event.data);
    await until('the good ones are there', () => foreign().length >= good.length);
    assert.deepEqual(foreign(), good);
    watcher.close();
});

test('a watcher that takes nothing costs a bounded queue, and the others hear on', { skip: SANITIZED && 'counts memory' }, async () => {
    const stuck = connect(one.ports.admin, '127.0.0.1').pause();
    stuck.write('GET /status/events HTTP/1.1\r\nhost: x\r\n\r\n');
    const watcher = await watch(one);
    await until('it listens', async () => await listeners() === 1);
    const before = await one.metric('process_resident_memory_bytes');
    const text = `{"n":"${'z'.repeat(4080)}"}`;
    for (let i = 0; i < 20; ++i)
        await Promise.all(Array.from({ length: 500 }, () => s.redis.command(['PUBLISH', CHANNEL, text])));
    const seq = newest(watcher, 'one')?.seq ?? 0;
    await until('its own announcements go on', () => newest(watcher, 'one')?.seq > seq);
    const grown = await one.metric('process_resident_memory_bytes') - before;
    assert.ok(grown < 16 << 20, `40 MB were told, and it grew by ${grown} bytes`);
    stuck.destroy();
    watcher.close();
});

test('one gateway serves 16 watchers, and tells the 17th', async () => {
    const watchers = await Promise.all(Array.from({ length: 16 }, () => watch(two)));
    const answer = await request(`${two.adminUrl}/status/events`);
    assert.deepEqual([answer.status, answer.headers['retry-after']], [503, '1']);
    assert.match(JSON.parse(answer.body).error, /16 streams/);
    watchers.forEach(watcher => watcher.close());
    const again = await until('there is room again', async () => {
        const stream = await watch(two);
        if (stream.status === 200)
            return stream;
        stream.close();
        return null;
    });
    again.close();
});

test('/status is a page with the same policy, and HEAD and other methods are answered', async () => {
    const page = await request(`${one.adminUrl}/status`);
    assert.equal(page.status, 200);
    assert.match(page.headers['content-security-policy'], /default-src 'none'; script-src 'self'/);
    const [script] = /page\/[0-9a-f]{16}\/status\.js/.exec(page.body);
    assert.equal((await request(`${one.adminUrl}/${script}`)).status, 200);
    assert.equal((await request(`${one.adminUrl}/status`, { headers: { 'if-none-match': page.headers.etag } })).status, 304);
    assert.equal((await request(`${one.adminUrl}/status/events`, { method: 'HEAD' })).status, 200);
    assert.equal((await request(`${one.adminUrl}/status`, { method: 'POST' })).status, 405);
    assert.equal((await request(`${one.adminUrl}/status/none`)).status, 404);
});

test('while Redis is away a gateway tells its own watchers why it is not ready, and all are back with it', async () => {
    const watcher = await watch(one);
    await until('the other is heard', () => newest(watcher, 'two'));
    await s.redis.kill();
    await until('it says why', () => typeof newest(watcher, 'one').why === 'string' && newest(watcher, 'one').bus_up === 0);
    const { seq } = newest(watcher, 'two');
    await s.redis.start();
    await until('all are ready', () => newest(watcher, 'two').seq > seq + 1 && ['one', 'two'].every(node => !newest(watcher, node).why));
    watcher.close();
});

test('a gateway that drains says so', async () => {
    const drained = await Stack.start({ publishers: 0, env: { STATUS_MS: 100, DRAIN_SECONDS: 2 } });
    const [watcher, stream] = [await watch(drained.gw[0]), await openStream(`${drained.gw[0].url}/channels/a`)];
    drained.gw[0].expected = true;
    drained.gw[0].signal('SIGTERM');
    await until('it says so', () => heard(watcher).at(-1)?.why === 'shutting down');
    stream.close();
});

test('STATUS_MS=0 announces nothing and serves no /status', async () => {
    const silent = await Stack.start({ env: { STATUS_MS: 0 } });
    for (const path of ['/status', '/status/events'])
        assert.equal((await request(silent.gw[0].adminUrl + path)).status, 404);
    await silent.redis.command(['CONFIG', 'RESETSTAT']);
    await quiet(500);
    const [publishes] = /cmdstat_publish:calls=(\d+)/.exec(await silent.redis.command(['INFO', 'commandstats']))?.slice(1) ?? ['0'];
    assert.ok(Number(publishes) <= 2, `only the canary publishes: ${publishes}`);
});

for (const program of ['sse-gateway', 'sse-publisher'])
    test(`${program}: a bad NODE_NAME or STATUS_MS ends the start in one sentence that names it`, async () => {
        for (const [name, value] of [['NODE_NAME', 'a b'], ['NODE_NAME', '<b>'], ['NODE_NAME', 'x'.repeat(65)], ['NODE_NAME', 'ü'], ['STATUS_MS', '99'], ['STATUS_MS', '60001'],
            ['STATUS_MS', '-1'], ['STATUS_MS', '2s']]) {
            const err = await new Promise(resolve => execFile(binary(program), [], { env: { PATH: process.env.PATH, [name]: value }, timeout: 5000 * SCALE },
                (error, out, text) => resolve(`${error?.code} ${out}${text}`)));
            assert.match(err, new RegExp(`^1 time=\\S+ level=error program=${program} msg="cannot start" why="${name}: [^\n]+\n$`), `${name}=${value}: ${err}`);
        }
    });

test('the admin port has an index, and answers under no name of a foreign site (DNS rebinding)', async () => {
    const listed = await Stack.start({ env: { ADMIN_HOSTS: 'ops.example, *.svc.cluster.local' } });
    for (const server of [one, s.pub[0], listed.gw[0]]) {
        const index = await request(`${server.adminUrl}/`);
        assert.equal(index.status, 200);
        for (const [, link] of index.body.matchAll(/href="([a-z]+)"/g))
            assert.equal((await request(`${server.adminUrl}/${link}`)).status, 200, link);
        assert.equal(/href="status"/.test(index.body), server !== s.pub[0]);
        assert.equal((await request(`${server.adminUrl}/nothing`)).status, 404);
        for (const path of ['/', '/metrics', '/readyz', '/healthz', ...(server === s.pub[0] ? [] : ['/status', '/status/events'])]) {
            const answer = await request(server.adminUrl + path, { headers: { host: 'rebound.evil.example:9043' } });
            assert.equal(answer.status, 421, path);
            assert.match(JSON.parse(answer.body).error, /ADMIN_HOSTS/);
        }
        for (const host of ['localhost:9043', '[::1]:9043', '10.1.2.3'])
            assert.equal((await request(`${server.adminUrl}/metrics`, { headers: { host } })).status, 200, host);
        for (const host of ['ops.example:1', 'gw.ns.svc.cluster.local'])
            assert.equal((await request(`${server.adminUrl}/metrics`, { headers: { host } })).status, server === listed.gw[0] ? 200 : 421, host);
    }
});

test('the compose overlay publishes the admin ports on loopback only, and answers under the name it tells', async () => {
    const { services } = parse(readFileSync(join(ROOT, 'deploy/compose/admin.yml'), 'utf8'));
    const base = parse(readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8'), { merge: true }).services;
    for (const [service, program] of [['gateway', 'sse-gateway'], ['publisher', 'sse-publisher']]) {
        const [[, first, last, port]] = services[service].ports.map(text => /^127\.0\.0\.1:(\d+)-(\d+):(\d+)$/.exec(text));
        const shown = execFileSync(binary(program), ['--print-config'], { encoding: 'utf8', env: {} });
        assert.equal(port, /^ADMIN_PORT=(\d+)$/m.exec(shown)[1]);
        assert.ok(last - first >= 29 && base[service].environment.ADMIN_HOST === '0.0.0.0' && services[service].networks.includes('edge'));
    }
    assert.equal((await request(`${one.adminUrl}/status`, { headers: { host: 'localhost:9043' } })).status, 200);
});
