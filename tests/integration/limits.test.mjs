// How many streams and publishes a client may have, who the client is when proxies stand between, and what those over a limit are told.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import http from 'node:http';
import * as jose from 'jose';
import { Stack, binary as program, freePort, tempFolder, until } from './stack.mjs';
import { H2, openStream, request } from './sse.mjs';
import { Proc } from './process.mjs';
import { Raw } from './raw.mjs';

const [ONE, TWO] = ['127.0.0.1', '127.0.0.2'];
const TEXT = { 'content-type': 'text/plain' };
const forwarded = value => ({ 'x-forwarded-for': value });
const post = (url, options = {}) => request(`${url}/channels/news`, { method: 'POST', body: 'hello', ...options, headers: { ...TEXT, ...options.headers } });

// A stream that was opened; the test goes on only when it was.
async function open(url, options) {
    const stream = await openStream(url, options);
    assert.equal(stream.status, 200, stream.text);
    return stream;
}

// The answer is a 429 with one JSON sentence that says this, and the seconds to wait.
async function limited(answer, sentence) {
    const got = await answer;
    assert.equal(got.status, 429);
    await got.closed;
    assert.match(got.headers['content-type'], /^application\/json/);
    assert.match(JSON.parse(got.body ?? got.text).error, sentence);
    const seconds = Number(got.headers['retry-after']);
    assert.ok(seconds >= 1 && seconds <= 60, got.headers['retry-after']);
    return seconds;
}

// A stream can be opened again, now that another was closed.
const freed = (url, options) => until('a place is free', async () => {
    const stream = await openStream(url, options);
    return stream.status === 200 ? stream : null;
});

test('a process has MAX_STREAMS, over whatever protocol, and a place is free when its stream is gone', async () => {
    const s = await Stack.start({ publishers: 0, tls: true, env: { MAX_STREAMS: 3, HTTP2_CLEARTEXT: 'on' } });
    const [gw] = s.gw;
    const h2 = await H2.connect(gw.url);
    const [plain, secure, multiplexed] = [await open(`${gw.url}/channels/a`), await open(`${gw.httpsUrl}/channels/a`), await h2.open('/channels/a')];
    assert.equal(multiplexed.status, 200);
    await limited(openStream(`${gw.url}/channels/a`), /^too many streams on this gateway \(MAX_STREAMS\)$/);
    await limited(openStream(`${gw.httpsUrl}/channels/a`), /too many streams/);
    await limited(h2.open('/channels/a'), /too many streams/);
    await gw.waitMetric('sse_limited_total', 3, { labels: { reason: 'streams' } });
    let last = null;
    for (const stream of [plain, secure, multiplexed]) {
        stream.close();
        last = await freed(`${gw.url}/channels/a`);
        await limited(openStream(`${gw.url}/channels/a`), /too many streams/);
    }
    await gw.waitMetric('sse_streams', 3);
    h2.close();
    last.close();
});

test('a connection that ends, however it does, gives its places back', async () => {
    const s = await Stack.start({ publishers: 0, env: { MAX_STREAMS_PER_ADDRESS: 3, HTTP2_CLEARTEXT: 'on' } });
    const [gw] = s.gw;
    const url = `${gw.url}/channels/a`;
    for (let round = 0; round < 3; ++round) {
        const h2 = await H2.connect(gw.url);
        for (let i = 0; i < 3; ++i)
            await until('a place is free', async () => (await h2.open('/channels/a')).status === 200);
        await limited(openStream(url), /^too many streams from your address/);
        h2.close();
        const raws = [];
        for (let i = 0; i < 3; ++i)
            raws.push(await until('a place is free', async () => {
                const raw = await Raw.connect(gw.port);
                const { status } = await raw.send('GET /channels/a HTTP/1.1\r\nHost: a\r\n\r\n').head();
                return status === 200 ? raw : void raw.close();
            }));
        await limited(openStream(url), /^too many streams from your address/);
        raws[0].socket.end();
        raws[1].socket.resetAndDestroy();
        raws[2].close();
    }
    (await freed(url)).close();
    await gw.waitMetric('sse_streams', 0);
});

test('an address has MAX_STREAMS_PER_ADDRESS, whatever it says of itself', async () => {
    const s = await Stack.start({ publishers: 0, env: { MAX_STREAMS_PER_ADDRESS: 2 } });
    const [gw] = s.gw;
    const url = `${gw.url}/channels/a`;
    const mine = [await open(url, { from: ONE }), await open(url, { from: ONE })];
    await limited(openStream(url, { from: ONE }), /^too many streams from your address/);
    await limited(openStream(url, { from: ONE, headers: forwarded('198.51.100.7') }), / your address/);
    const others = [await open(url, { from: TWO }), await open(url, { from: TWO, headers: forwarded(ONE) })];
    await limited(openStream(url, { from: TWO }), / your address/);
    await gw.waitMetric('sse_limited_total', 3, { labels: { reason: 'streams of the address' } });
    mine[0].close();
    await freed(url, { from: ONE });
    await limited(openStream(url, { from: TWO }), / your address/);
    assert.equal(others.every(stream => stream.ended === null), true);
});

test('only a stream takes a place: no HEAD, no refusal, no other request of a kept connection', async t => {
    const s = await Stack.start({ env: { MAX_STREAMS_PER_ADDRESS: 1, PUBLISH_RATE: 100 } });
    const [gw] = s.gw;
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    for (let i = 0; i < 3; ++i) {
        assert.equal((await request(`${gw.url}/channels/a`, { method: 'HEAD', agent })).status, 200);
        assert.equal((await request(`${gw.url}/channels/a%20b`, { agent })).status, 400);
        assert.equal((await request(`${gw.url}/channels/a`, { agent, headers: { accept: 'text/html' } })).status, 406);
        assert.equal((await post(gw.url, { agent })).status, 200);
    }
    const stream = await open(`${gw.url}/channels/a`);
    await limited(request(`${gw.url}/channels/a`, { method: 'GET', agent }), / your address/);
    assert.equal((await post(gw.url, { agent })).status, 200, 'what is no stream goes on');
    stream.close();
});

test('behind a trusted proxy the right-most address that is not trusted counts, IPv6 by its /64', async () => {
    const s = await Stack.start({ publishers: 0, env: { MAX_STREAMS_PER_ADDRESS: 1, TRUSTED_PROXIES: `${ONE},10.0.0.0/8` } });
    const [gw] = s.gw;
    const url = `${gw.url}/channels/a`;
    const as = value => ({ headers: forwarded(value) });
    await open(url, as('198.51.100.7'));
    await limited(openStream(url, as('198.51.100.7')), / your address/);
    await limited(openStream(url, as('203.0.113.1, 198.51.100.7')), / your address/);
    await limited(openStream(url, as('203.0.113.1, 198.51.100.7, 10.1.2.3')), / your address/);
    await limited(openStream(url, as(['203.0.113.1', '198.51.100.7:5123'])), / your address/);
    await open(url, as('198.51.100.8'));
    await open(url, as('2001:db8:0:1::1'));
    await limited(openStream(url, as('2001:db8:0:1:ffff::2')), / your address/);
    await limited(openStream(url, as('[2001:db8:0:1::3]:443')), / your address/);
    await open(url, as('2001:db8:0:2::1'));
    await open(url); // the proxy itself
    await limited(openStream(url, as('nonsense')), / your address/);
    await open(url, { from: TWO });
    await limited(openStream(url, { from: TWO, ...as('198.51.100.9') }), / your address/);
});

test('STREAM_RATE: ten seconds\' worth at once, then a stream when Retry-After is over', async () => {
    const s = await Stack.start({ publishers: 0, env: { STREAM_RATE: 1 } });
    const [gw] = s.gw;
    const url = `${gw.url}/channels/a`;
    const begun = performance.now();
    let opened = 0, answer = await openStream(url);
    for (; answer.status === 200; answer = await openStream(url), ++opened)
        answer.close();
    assert.ok(opened >= 10 && opened <= 11 + (performance.now() - begun) / 1000, `${opened} opened`);
    const seconds = await limited(answer, /^too many new streams from your address; retry later$/);
    assert.equal(seconds, 1);
    await open(url, { from: TWO });
    const waited = performance.now();
    await freed(url);
    assert.ok(performance.now() - waited < 3000);
    assert.ok(await gw.metric('sse_limited_total', { reason: 'stream rate' }) >= 1);
});

test('CHANNEL_RATE: new channels of an address, ten seconds\' worth at once; what somebody listens to is not new', async () => {
    const { gw: [gw] } = await Stack.start({ publishers: 0, env: { CHANNEL_RATE: 1, THREADS: 1 } });
    await open(`${gw.url}/subscribe?${Array.from({ length: 8 }, (_, i) => `channel=c${i}`).join('&')}`);
    await limited(openStream(`${gw.url}/subscribe?${Array.from({ length: 8 }, (_, i) => `channel=d${i}`).join('&')}`), /^too many new channels from your address/);
    for (let i = 0; i < 5; ++i)
        await open(`${gw.url}/subscribe?channel=c0&channel=c${i}`);
    await open(`${gw.url}/channels/d0`, { from: TWO });
    assert.equal(await gw.metric('sse_limited_total', { reason: 'channel rate' }), 1);
});

const subscribe = (name, count) => `/subscribe?${Array.from({ length: count }, (_, i) => `channel=${name}${i}`).join('&')}`;

for (const over of ['HTTP/1.1', 'HTTP/2'])
    test(`${over}: no stream is refused for ever: more new channels than CHANNEL_RATE gives at once open and are paid for, more than MAX_CHANNELS are 400 with the bound`, async () => {
        const { gw: [gw] } = await Stack.start({ publishers: 0, env: { CHANNEL_RATE: 9, MAX_CHANNELS: 99, THREADS: 1, HTTP2_CLEARTEXT: 'on' } });
        const h2 = over === 'HTTP/2' && await H2.connect(gw.url);
        const stream = path => h2 ? h2.open(path) : openStream(`${gw.url}${path}`);
        const never = await stream(subscribe('a', 100));
        await never.closed;
        assert.deepEqual([never.status, never.headers['retry-after']], [400, undefined]);
        assert.deepEqual(JSON.parse(never.text), { error: 'more than 99 channels in one stream: this gateway listens to no more (MAX_CHANNELS)' });
        assert.equal(await gw.metric('sse_limited_total', { reason: 'channels' }), 1);
        const large = await stream(subscribe('a', 98));
        assert.equal(large.status, 200, large.text);
        const told = await limited(stream('/channels/b'), /^too many new channels from your address; retry later$/);
        assert.equal(told, 1, '98 and one more at 9 a second are paid for in 11 s, of which 10 s may be used at once');
        const next = async () => {
            const one = await stream('/channels/b');
            return one.status === 200 ? one : null;
        };
        await until('it has paid', next, 1000 * told + 1000);
    });

test('MAX_CHANNELS: a stream of new channels above it is 503, others open, and there is room again when channels go', async () => {
    const { gw: [gw] } = await Stack.start({ publishers: 0, env: { MAX_CHANNELS: 3, THREADS: 1 } });
    const first = await open(`${gw.url}/subscribe?channel=a&channel=b`);
    const answer = await openStream(`${gw.url}/subscribe?channel=c&channel=d`);
    await answer.closed;
    assert.equal(answer.status, 503);
    assert.ok(Number(answer.headers['retry-after']) > 0);
    assert.match(answer.text, /MAX_CHANNELS/);
    await open(`${gw.url}/subscribe?channel=a&channel=c`);
    assert.equal((await openStream(`${gw.url}/channels/d`)).status, 503);
    assert.equal(await gw.metric('sse_limited_total', { reason: 'channels' }), 2);
    first.close();
    await gw.waitMetric('sse_channels', 2);
    await open(`${gw.url}/channels/d`);
});

test('PUBLISH_RATE: at the gateway, and at the publisher for the clients that trusted gateways name', async () => {
    const s = await Stack.start({ gateways: 2, gatewayEnv: [{ PUBLISH_RATE: 1 }], publisherEnv: [{ PUBLISH_RATE: 2, TRUSTED_PROXIES: ONE }] });
    const flood = async (url, options) => {
        let passed = 0, answer;
        while ((answer = await post(url, options)).status === 200 && passed < 100)
            ++passed;
        return { passed, answer };
    };
    const first = await flood(s.gw[0].url);
    assert.ok(first.passed >= 10 && first.passed < 15, `${first.passed} passed`);
    await limited(first.answer, /^too many publish requests from your address; retry later$/);
    assert.equal(await s.gw[0].metric('sse_limited_total', { reason: 'publish rate' }), 1);
    assert.equal((await request(`${s.gw[0].url}/`)).status, 200, 'what publishes nothing goes on');

    const second = await flood(s.gw[1].url, { from: TWO, headers: forwarded('203.0.113.1') });
    assert.ok(second.passed >= 20 && second.passed < 30, `${second.passed} passed`);
    await limited(second.answer, /^too many publish requests from your address; retry later$/);
    await limited(post(s.pub[0].url, { from: ONE, headers: forwarded(TWO) }), /^too many publish requests from your address/);
    await limited(post(s.pub[0].url, { from: TWO, headers: forwarded('203.0.113.1') }), /^too many publish requests from your address/);
    assert.equal((await post(s.gw[1].url, { from: '127.0.0.3' })).status, 200);

    const lines = { from: '127.0.0.4', headers: { 'content-type': 'application/x-ndjson' }, body: '{"data":1}\n'.repeat(80) };
    assert.equal((await post(s.gw[1].url, lines)).status, 200);
    const seconds = await limited(post(s.pub[0].url, { from: ONE, headers: forwarded('127.0.0.4') }), /^too many publish requests from your address/);
    assert.ok(seconds > 25, `each line counts: ${seconds} s`);
    await s.pub[0].waitMetric('sse_limited_total', 4, { labels: { reason: 'publish rate' } });
});

test('a subject has MAX_STREAMS_PER_SUBJECT, and a forged token is counted against its address before it is looked at', async () => {
    const folder = tempFolder();
    const keyFile = join(folder, 'keys.json');
    const [pair, foreign] = await Promise.all([1, 2].map(() => jose.generateKeyPair('ES256', { extractable: true })));
    writeFileSync(keyFile, JSON.stringify({ keys: [{ ...await jose.exportJWK(pair.publicKey), kid: 'a' }] }));
    const bearer = async (sub, key = pair) => ({ headers: { authorization: `Bearer ${await new jose.SignJWT({ sub, sse: { subscribe: ['*'] } })
        .setProtectedHeader({ alg: 'ES256', kid: 'a' }).setExpirationTime('10m').sign(key.privateKey)}` } });
    const s = await Stack.start({ gateways: 2, publishers: 0, env: { JWT_KEY_FILE: keyFile, DEMO: 'on' }, gatewayEnv: [{ MAX_STREAMS_PER_SUBJECT: 2 }, { STREAM_RATE: 1 }] });
    const url = `${s.gw[0].url}/channels/a`;
    const streams = [await open(url, await bearer('alice')), await open(url, { from: TWO, ...await bearer('alice') })];
    await limited(openStream(url, await bearer('alice')), /^too many streams of the subject of your token/);
    await open(url, await bearer('bob'));
    for (let i = 0; i < 3; ++i)
        await open(`${s.gw[0].url}/events`, {}); // open to anyone: no subject
    await s.gw[0].waitMetric('sse_limited_total', 1, { labels: { reason: 'streams of the subject' } });
    streams[1].close();
    await freed(url, await bearer('alice'));

    const forged = await bearer('alice', foreign);
    const answers = [];
    for (let i = 0; i < 30; ++i)
        answers.push((await request(`${s.gw[1].url}/channels/a`, forged)).status);
    const looked = answers.filter(status => status === 401).length;
    assert.ok(looked >= 10 && looked <= 15 && answers.filter(status => status === 429).length === 30 - looked, answers.join(' '));
    assert.equal(await s.gw[1].metric('sse_auth_refused_total', { reason: 'invalid token' }), looked);
});

test('more than 90 streams of an HTTP/2 connection are counted, too', async () => {
    const s = await Stack.start({ publishers: 0, env: { HTTP2_CLEARTEXT: 'on' } });
    const h2 = await H2.connect(s.gw[0].url);
    for (let i = 0; i < 90; ++i)
        assert.equal((await h2.open('/channels/a')).status, 200);
    await limited(h2.open('/channels/a'), /^more than 90 streams on one HTTP\/2 connection/);
    assert.equal(await s.gw[0].metric('sse_limited_total', { reason: 'streams of the connection' }), 1);
    h2.close();
});

// ---- the PROXY protocol ----

test('PROXY_PROTOCOL does not start without TRUSTED_PROXIES', () => {
    for (const name of ['sse-gateway', 'sse-publisher']) {
        const { status, stderr } = spawnSync(program(name), [], { env: { PROXY_PROTOCOL: 'on', PORT: '0', ADMIN_PORT: '0' }, encoding: 'utf8', timeout: 10000 });
        assert.equal(status, 1);
        assert.match(stderr, /PROXY_PROTOCOL: needs TRUSTED_PROXIES/);
    }
});

const LINE = (client, port = 5123) => Buffer.from(`PROXY TCP4 ${client} ${ONE} ${port} 443\r\n`);
const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
function binary(command, client, kind = 0x11) {
    const block = Buffer.from([...client.split('.').map(Number), 127, 0, 0, 1, 20, 3, 1, 187]);
    return Buffer.concat([SIGNATURE, Buffer.from([command, kind, 0, block.length]), block]);
}
const GET = Buffer.from('GET /channels/a HTTP/1.1\r\nHost: a\r\n\r\n');

// A stream behind these bytes: its status; null when the connection was closed instead.
async function behind(port, bytes, options = {}) {
    const raw = await Raw.connect(port, options);
    raw.send(Buffer.concat([bytes, GET]));
    await until('an answer, or the end', () => raw.ended || raw.text.includes('\r\n\r\n'));
    return raw.text === '' ? null : (await raw.head()).status;
}

test('PROXY headers of trusted peers, versions 1 and 2, name the client; other peers send none', async () => {
    const s = await Stack.start({ env: { MAX_STREAMS_PER_ADDRESS: 1, PROXY_PROTOCOL: 'on', TRUSTED_PROXIES: ONE }, publisherEnv: [{ PROXY_PROTOCOL: 'off', TRUSTED_PROXIES: ONE, PUBLISH_RATE: 1 }] });
    const [gw] = s.gw;
    assert.equal(await behind(gw.port, LINE('198.51.100.1')), 200);
    assert.equal(await behind(gw.port, LINE('198.51.100.1', 80)), 429);
    assert.equal(await behind(gw.port, binary(0x21, '198.51.100.1')), 429);
    assert.equal(await behind(gw.port, binary(0x21, '198.51.100.2')), 200);
    assert.equal(await behind(gw.port, Buffer.from('PROXY TCP6 2001:db8::1 ::1 1 2\r\n')), 200);
    assert.equal(await behind(gw.port, Buffer.from('PROXY TCP6 2001:db8::2 ::1 1 2\r\n')), 429);
    assert.equal(await behind(gw.port, binary(0x20, '198.51.100.3')), 200, 'local: the proxy itself');
    assert.equal(await behind(gw.port, Buffer.from('PROXY UNKNOWN\r\n')), 429, '… which has no more');
    assert.equal(await gw.metric('sse_bad_proxy_headers_total'), 0);

    const wrong = ['', 'PROXY TCP4 198.51.100.9\r\n', 'PROXY TCP4 198.51.100.9 127.0.0.1 1 2\n', `PROXY ${'x'.repeat(200)}`, '\x16\x03\x01'];
    for (const text of wrong)
        assert.equal(await behind(gw.port, Buffer.from(text, 'latin1')), null, JSON.stringify(text));
    assert.equal(await behind(gw.port, binary(0x22, '198.51.100.9')), null);
    assert.equal(await gw.metric('sse_bad_proxy_headers_total'), wrong.length + 1);

    assert.equal(await behind(gw.port, Buffer.alloc(0), { from: TWO }), 200, 'a peer that is not trusted begins with its request');
    assert.equal(await behind(gw.port, LINE('198.51.100.9'), { from: TWO }), 400);
    assert.equal(await behind(gw.port, binary(0x21, '198.51.100.9'), { from: TWO }), 400);
    await gw.waitMetric('sse_limited_total', 4, { labels: { reason: 'streams of the address' } });

    // what a client behind the proxy says of itself does not count, and the publisher hears of the same client
    const raw = await Raw.connect(gw.port);
    raw.send(Buffer.concat([LINE('198.51.100.1'), Buffer.from('GET /channels/a HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n')]));
    assert.equal((await raw.head()).status, 429);
    for (let passed = 0, status = 200; status === 200; ++passed) {
        assert.ok(passed < 20);
        const poster = await Raw.connect(gw.port);
        poster.send(Buffer.concat([LINE('198.51.100.50'), Buffer.from('POST /post?a=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')]));
        status = (await poster.head()).status === 303 ? 200 : (await poster.head()).status;
        assert.ok(status === 200 || (status === 429 && passed >= 10), `${status} after ${passed}`);
    }
    assert.equal((await post(s.pub[0].url)).status, 200, 'the gateway\'s own address is not used up');
});

test('a PROXY header may come byte by byte, but not for longer than a handshake', async () => {
    const s = await Stack.start({ publishers: 0, env: { PROXY_PROTOCOL: 'on', TRUSTED_PROXIES: ONE } });
    const [gw] = s.gw;
    const late = await Raw.connect(gw.port);
    late.send('PROXY TCP4 198.51.100.1');
    const slow = await Raw.connect(gw.port);
    slow.socket.setNoDelay(true);
    for (const byte of Buffer.concat([binary(0x21, '198.51.100.1'), GET])) {
        slow.socket.write(Buffer.from([byte]));
        await new Promise(done => setImmediate(done));
    }
    assert.equal((await slow.head()).status, 200);
    await late.waitEnd(20000);
    assert.equal(late.text, '');
    assert.equal(await gw.metric('sse_bad_proxy_headers_total'), 1);
    assert.equal(slow.ended, false);
});

test('haproxy\'s send-proxy and send-proxy-v2 do, before plain HTTP and before TLS', async t => {
    const s = await Stack.start({ gateways: 1, publishers: 0, tls: true, env: { MAX_STREAMS_PER_ADDRESS: 1, PROXY_PROTOCOL: 'on', TRUSTED_PROXIES: ONE } });
    const [gw] = s.gw;
    const roads = [];
    for (const version of ['send-proxy', 'send-proxy-v2'])
        for (const [scheme, to] of [['http', gw.ports.plain], ['https', gw.ports.public]])
            roads.push({ version, scheme, to, port: await freePort() });
    const file = join(s.folder, 'haproxy.cfg');
    writeFileSync(file, `defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
${roads.map(({ version, to, port }, i) => `listen road${i}
    bind ${ONE}:${port}
    server gw ${ONE}:${to} ${version}`).join('\n')}
`);
    const proc = new Proc('haproxy', ['haproxy', '-db', '-f', file]);
    t.after(() => proc.kill('SIGKILL'));
    proc.spawn();
    for (const [i, { version, scheme, port }] of roads.entries()) {
        const url = `${scheme}://${ONE}:${port}/channels/a`;
        const [first, second] = [`127.0.1.${2 * i + 1}`, `127.0.1.${2 * i + 2}`];
        await until(`haproxy answers on the road of ${version}`, () => request(url, { method: 'HEAD', from: second }).then(() => true, () => false));
        const stream = await freed(url, { from: first });
        await limited(openStream(url, { from: first }), / your address/);
        await freed(url, { from: second });
        await s.redis.subscribed('a', 1);
        await s.redis.publish('a', `${version} ${scheme}`);
        await stream.waitEvent('the event', event => event.data === `${version} ${scheme}`);
    }
    assert.equal(await gw.metric('sse_bad_proxy_headers_total'), 0);
});
