// The log: who was refused or closed by force, and from where, in lines that outsiders cannot multiply; text or JSON; and what became of POSTs passed on.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { X509Certificate, createHmac } from 'node:crypto';
import { join } from 'node:path';
import { Stack, binary, tempFolder, until } from './stack.mjs';
import { H2, openStream, request } from './sse.mjs';
import { Raw } from './raw.mjs';

const folder = tempFolder();
const JWT_KEY_FILE = join(folder, 'key');
writeFileSync(JWT_KEY_FILE, 'a secret of at least thirty-two bytes');
const post = (url, headers = {}) => request(url, { method: 'POST', headers: { 'content-type': 'text/plain', ...headers }, body: 'x' });
const counted = server => async (name, labels) => await server.metric(name, labels);

test('a refusal is logged with its reason, the client behind the proxy, and no query', async () => {
    const s = await Stack.start({ env: { JWT_KEY_FILE, TRUSTED_PROXIES: '127.0.0.1', CORS_ORIGINS: 'https://a.example' } });
    const headers = { 'x-forwarded-for': '192.0.2.7' };
    for (const [server, method] of [[s.gw[0], 'GET'], [s.pub[0], 'POST']]) {
        await request(`${server.url}/channels/news?access_token=s3cret`, { method, headers });
        const line = await server.waitLogged({ msg: 'request refused', status: 401 });
        assert.deepEqual([line.level, line.client, line.method, line.path, line.left_out], ['info', '192.0.2.7', method, '/channels/news', '0']);
        assert.match(line.why, /a token is required/);
        assert.ok(!server.log.includes('s3cret'), server.log);
    }
    await post(`${s.gw[0].url}/channels/news`, { ...headers, origin: 'https://evil.example' });
    const line = await s.gw[0].waitLogged({ msg: 'request refused', status: 403 });
    assert.deepEqual([line.client, line.origin], ['192.0.2.7', 'https://evil.example']);
});

test('a storm of refusals writes at most ten lines a second and thread, and says how many it left out', async () => {
    const s = await Stack.start({ publishers: 0, env: { STREAM_RATE: 1 }, gatewayEnv: [{ THREADS: 1 }] });
    const storm = () => Promise.all(Array.from({ length: 100 }, () => request(`${s.gw[0].url}/channels/a`, { method: 'HEAD' })));
    const began = Date.now();
    await storm();
    await s.gw[0].waitLogged({ msg: 'request refused', status: 429 });
    const lines = s.gw[0].logged({ msg: 'request refused', status: 429 });
    assert.ok(lines.length >= 1 && lines.length <= 10 * (2 + Math.floor((Date.now() - began) / 1000)), `${lines.length} lines`);
    assert.equal(lines[0].client, '127.0.0.1');
    await until('the second is over and the next line tells', async () => {
        await storm();
        return s.gw[0].logged({ msg: 'request refused' }).some(line => Number(line.left_out) > 0);
    });
});

test('a stream that is closed by force is logged with its reason and client, one that ends in order is not', async () => {
    const s = await Stack.start({ publishers: 0 });
    const raw = await Raw.connect(s.gw[0].port);
    raw.send('GET /channels/a HTTP/1.1\r\nhost: x\r\n\r\n');
    await s.gw[0].waitMetric('sse_streams', 1);
    raw.send('x'.repeat(70000));
    const line = await s.gw[0].waitLogged({ msg: 'stream closed by force' });
    assert.deepEqual([line.reason, line.client, line.channels], ['client sent data', '127.0.0.1', '1']);
    (await openStream(`${s.gw[0].url}/channels/a`)).close();
    await s.gw[0].waitMetric('sse_streams', 0);
    assert.equal(s.gw[0].logged({ msg: 'stream closed by force' }).length, 1);
});

// What a line of a stream says of it.
const facts = line => [line.channels, line.client, line.protocol, line.subject, line.mode];

function token(sub) {
    const part = value => Buffer.from(JSON.stringify(value)).toString('base64url');
    const text = `${part({ alg: 'HS256' })}.${part({ sub, exp: Math.floor(Date.now() / 1000) + 600, sse: { subscribe: ['a', 'b'], publish: ['*'] } })}`;
    return `${text}.${createHmac('sha256', readFileSync(JWT_KEY_FILE)).update(text).digest('base64url')}`;
}

test('LOG_STREAMS: a stream that opens, resumes, is refused or closes has a line with all that is known of it', async () => {
    const s = await Stack.start({ tls: true, env: { JWT_KEY_FILE, TRUSTED_PROXIES: '127.0.0.1' }, gatewayEnv: [{ LOG_STREAMS: 'on', THREADS: 1 }] });
    const [gw] = s.gw;
    const headers = { authorization: `Bearer ${token('alice')}`, 'x-forwarded-for': '192.0.2.7' };
    const alice = ['192.0.2.7', 'HTTP/1.1', 'alice'];

    const stream = await openStream(`${gw.httpsUrl}/subscribe?channel=a&channel=b`, { headers });
    const opened = await gw.waitLogged({ msg: 'stream opened' });
    assert.deepEqual([opened.level, ...facts(opened)], ['info', 'a,b', ...alice, 'fresh']);
    assert.equal((await post(`${gw.url}/channels/a`, { ...headers, 'content-type': 'text/plain' })).status, 200);
    const { lastEventId: id } = await stream.waitEvent('x', ({ data }) => data === 'x');
    stream.close();
    const closed = await gw.waitLogged({ msg: 'stream closed' });
    assert.deepEqual([closed.stream, closed.reason, ...facts(closed)], [opened.stream, 'client closed', 'a,b', ...alice, 'fresh']);
    assert.ok(Number(closed.seconds) >= 0 && Number(closed.seconds) < 60 && Number(closed.bytes) > 100, JSON.stringify(closed));

    const h2 = await H2.connect(gw.httpsUrl);
    const again = await h2.open('/channels/a?last=5', { headers: { ...headers, 'last-event-id': id } });
    const resumed = await gw.waitLogged({ msg: 'stream resumed' });
    assert.deepEqual([resumed.last_event_id, ...facts(resumed)], [id, 'a', '192.0.2.7', 'HTTP/2', 'alice', 'resume']);
    assert.notEqual(resumed.stream, opened.stream);
    assert.equal((await post(`${gw.url}/channels/a`, { ...headers, 'content-type': 'text/plain' })).status, 200);
    await again.waitEvent('x', ({ data }) => data === 'x');
    again.close();
    await gw.wait('the second is closed', () => gw.logged({ msg: 'stream closed' }).length === 2);
    const last = gw.logged({ msg: 'stream closed' })[1];
    assert.deepEqual([last.stream, last.reason, last.protocol, last.mode], [resumed.stream, 'client closed', 'HTTP/2', 'resume']);
    assert.ok(Number(last.bytes) > 20, JSON.stringify(last));
    h2.close();

    assert.equal((await openStream(`${gw.url}/channels/secret`, { headers })).status, 403);
    const refused = await gw.waitLogged({ msg: 'stream refused' });
    assert.deepEqual([refused.status, refused.channels, refused.client, refused.mode], ['403', 'secret', '192.0.2.7', 'fresh']);
    assert.match(refused.why, /token/);
    assert.ok(!gw.log.includes(headers.authorization), 'no token is logged');
});

test('streams are not logged at info, and are at debug', async () => {
    const s = await Stack.start({ gateways: 2, publishers: 0, gatewayEnv: [{}, { LOG_LEVEL: 'debug' }] });
    for (const gw of s.gw) {
        (await openStream(`${gw.url}/channels/a`)).close();
        await gw.waitMetric('sse_stream_closes_total', 1, { labels: { reason: 'client closed' } });
    }
    assert.equal(s.gw[0].logged({ msg: 'stream opened' }).length, 0);
    assert.equal((await s.gw[1].waitLogged({ msg: 'stream opened' })).level, 'debug');
    assert.equal((await s.gw[1].waitLogged({ msg: 'stream closed' })).level, 'debug');
});

test('a gap is logged with its channel and the id that came', async () => {
    const s = await Stack.start();
    await s.post('a', 'x');
    const stream = await openStream(`${s.gw[0].url}/channels/a`, { headers: { 'last-event-id': 'of-no-one' } });
    const line = await s.gw[0].waitLogged({ msg: 'gap sent' });
    assert.deepEqual([line.channel, line.last_event_id, line.cause], ['a', 'of-no-one', 'unknown id']);
    assert.equal(await s.gw[0].metric('sse_gaps_total', { cause: 'unknown id' }), 1);
    stream.close();
});

test('LOG_FORMAT=json: each line of both programs is one object, also that of a start that fails', async () => {
    const s = await Stack.start();
    for (const server of [...s.gw, ...s.pub]) {
        await server.kill();
        const lines = server.lines.length;
        server.env.LOG_FORMAT = 'json';
        server.spawn();
        await server.wait('it listens', () => server.lines.slice(lines).filter(line => line.includes('"msg":"listening"')).length === 2);
        await server.waitReady();
        await post(`${server.url}/channels/a?id=%00`);
        await server.kill();
        const records = server.lines.slice(lines).map(line => JSON.parse(line));
        assert.ok(records.length >= 5);
        for (const { time, level, program, msg } of records) {
            assert.ok(!Number.isNaN(Date.parse(time)) && ['info', 'warn'].includes(level) && msg.length > 0);
            assert.equal(`sse-${server.name.split(' ')[0]}`, program);
        }
        assert.equal(typeof records.find(record => record.msg === 'listening').port, 'number');
        const { code, err } = await new Promise(resolve => execFile(server.argv[0], [], { env: { LOG_FORMAT: 'json', MAX_CONNECTIONS: '"' } },
            (error, _, said) => resolve({ code: error.code, err: said })));
        assert.equal(code, 1);
        assert.equal(JSON.parse(err).why, 'MAX_CONNECTIONS: \'"\' is not a whole number');
        delete server.env.LOG_FORMAT;
        await server.start();
    }
});

test('the publisher is away: a sentence, Retry-After, one line when it goes and one when it is back, and each POST is counted', async () => {
    const s = await Stack.start();
    const [gw] = s.gw, count = counted(gw);
    assert.equal((await post(`${gw.url}/channels/a`)).status, 200);
    assert.equal((await post(`${gw.url}/channels/a`, { 'content-type': 'image/png' })).status, 415);
    await s.pub[0].kill();
    for (let i = 0; i < 5; ++i) {
        const answer = await post(`${gw.url}/channels/a`);
        assert.equal(answer.status, 502);
        assert.equal(answer.headers['retry-after'], '1');
        assert.equal(JSON.parse(answer.body).error, 'the publisher cannot be reached; nothing was published, try again');
    }
    const [line, ...more] = gw.logged({ msg: 'the publisher does not answer' });
    assert.deepEqual([line.level, line.publisher_url, more.length], ['warn', gw.env.PUBLISHER_URL, 0]);
    await s.pub[0].start();
    await until('an answer a second after the last failure', async () => {
        assert.equal((await post(`${gw.url}/channels/a`)).status, 200);
        return gw.logged({ msg: 'the publisher answers again' }).length === 1;
    });
    assert.equal(gw.logged({ msg: 'the publisher answers again' })[0].failed_posts, '5');
    assert.equal(await count('sse_forwarded_posts_total', { outcome: 'not reached' }), 5);
    assert.equal(await count('sse_forwarded_posts_total', { outcome: 'refused' }), 1);
    assert.ok(await count('sse_forwarded_posts_total', { outcome: 'done' }) >= 2);
    assert.equal(await count('sse_http_requests_total', { for: 'publish', status: '5xx' }), 5);
    assert.equal(await count('sse_http_requests_total', { for: 'publish', status: '4xx' }), 1);
});

test('a publisher that hangs up without an answer: the client learns that the event may be published', async () => {
    const rude = createServer(socket => socket.once('data', () => socket.end()));
    await new Promise(resolve => rude.listen(0, '127.0.0.1', resolve));
    after(() => rude.close());
    const s = await Stack.start({ publishers: 0, env: { PUBLISHER_URL: `http://127.0.0.1:${rude.address().port}` } });
    const answer = await post(`${s.gw[0].url}/channels/a`);
    assert.equal(answer.status, 502);
    assert.match(JSON.parse(answer.body).error, /may have been published, so send it again with the same Idempotency-Key/);
    assert.equal(await s.gw[0].metric('sse_forwarded_posts_total', { outcome: 'no whole answer' }), 1);
});

test('POSTs that wait for the publisher are bounded, and further ones are refused at once', async () => {
    const held = new Set();
    const silent = createServer(socket => held.add(socket.on('error', () => {})));
    await new Promise(resolve => silent.listen(0, '127.0.0.1', resolve));
    after(() => { held.forEach(socket => socket.destroy()); silent.close(); });
    const s = await Stack.start({ publishers: 0, gateways: 0 });
    const { Server } = await import('./stack.mjs');
    const gw = new Server('sse-gateway', 'gateway', { PORT: 0, ADMIN_PORT: 0, HOST: '127.0.0.1', THREADS: 1, REDIS_URL: s.redis.urlFor('gateway'), DRAIN_SECONDS: 0,
        PUBLISHER_URL: `http://127.0.0.1:${silent.address().port}` }, { public: 'PORT', admin: 'ADMIN_PORT' });
    gw.argv = ['prlimit', '--nofile=1024', binary('sse-gateway')];
    await gw.start();
    const waiting = Array.from({ length: 64 }, () => Raw.connect(gw.port));
    for (const raw of await Promise.all(waiting))
        raw.send('POST /channels/a HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 1\r\n\r\nx');
    await gw.wait('all are under way', () => held.size === 64);
    const answer = await post(`${gw.url}/channels/a`);
    assert.deepEqual([answer.status, answer.headers['retry-after']], [503, '1']);
    assert.match(JSON.parse(answer.body).error, /nothing was published/);
    assert.equal(await gw.metric('sse_forwarded_posts_total', { outcome: 'too many' }), 1);
    for (const raw of await Promise.all(waiting))
        raw.close();
    await gw.end();
});

test('the end of a certificate and how reloads came out are in /metrics', async () => {
    const s = await Stack.start({ tls: true, env: { JWT_KEY_FILE } });
    const [gw] = s.gw;
    const due = Date.parse(new X509Certificate(readFileSync(gw.env.TLS_CERT)).validTo) / 1000;
    assert.equal(await gw.metric('sse_certificate_not_after_timestamp_seconds', { setting: 'TLS_CERT' }), due);
    assert.equal(await s.pub[0].metric('sse_certificate_not_after_timestamp_seconds', { setting: 'TLS_CERT' }), 0);
    const key = readFileSync(JWT_KEY_FILE);
    gw.signal('SIGHUP');
    await gw.waitMetric('sse_reloads_total', 1, { labels: { what: 'keys', outcome: 'done' } });
    assert.equal(await gw.metric('sse_reloads_total', { what: 'certificates', outcome: 'done' }), 1);
    writeFileSync(JWT_KEY_FILE, 'short');
    writeFileSync(gw.env.TLS_CERT, 'none');
    for (const server of [gw, s.pub[0]]) {
        server.signal('SIGHUP');
        await server.waitMetric('sse_reloads_total', 1, { labels: { what: 'keys', outcome: 'failed' } });
    }
    assert.equal(await gw.metric('sse_reloads_total', { what: 'certificates', outcome: 'failed' }), 1);
    assert.equal(await gw.metric('sse_certificate_not_after_timestamp_seconds', { setting: 'TLS_CERT' }), due, 'that in force');
    writeFileSync(JWT_KEY_FILE, key);
});
