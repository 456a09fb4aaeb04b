// What must hold behind every one of the load balancers; each test file runs all of it on its own.
import { afterEach, test } from 'node:test';
import assert from 'node:assert/strict';
import tls from 'node:tls';
import { setTimeout as sleep } from 'node:timers/promises';
import { SCALE, until } from '../integration/stack.mjs';
import { request } from '../integration/sse.mjs';
import { KEEPALIVE_MS } from './site.mjs';
import { Reader } from './reader.mjs';

const LATE_MS = 250;
const STREAMS = 40;
const DRAIN_RETRY_MS = 2000; // the longest retry that a gateway gives a stream when it drains
const BACK_MS = 1500; // beyond the stream's own retry: HAProxy waits a second before it tries again
const PROTOCOLS = ['HTTP/1.1', 'HTTP/2'];

const total = async (gateways, name = 'sse_streams') => (await Promise.all(gateways.map(gw => gw.metric(name)))).reduce((a, b) => a + b, 0);
const streamsAre = (site, count, ms) => until(`${count} streams at the gateways`, async () => await total(site.gw) === count, ms);

// Publishes 0, 1, 2 … until told to stop; resolves with how many.
function author(t, site, channel, pause) {
    let stopped = false, count = 0;
    t.after(() => (stopped = true));
    const run = (async () => {
        for (; !stopped; ++count) {
            await site.stack.post(channel, String(count));
            await sleep(pause);
        }
        return count;
    })();
    return { get count() { return count; }, stop: () => ((stopped = true), run) };
}

// Every gateway is in rotation.
async function settled(site) {
    const before = await Promise.all(site.gw.map(gw => gw.metric('sse_streams_opened_total')));
    await site.balancer.wait('all gateways are in rotation', async () => {
        const stream = await site.ways['HTTP/1.1']('/channels/settled').catch(() => null);
        stream?.close();
        const now = await Promise.all(site.gw.map(gw => gw.metric('sse_streams_opened_total')));
        return now.every((n, i) => n > before[i]);
    });
    await streamsAre(site, 0);
}

// What a gateway that ends says last: a function of a metric's name and reason.
async function lastMetrics(gw) {
    let rows = [];
    while (gw.running)
        rows = await gw.metrics().catch(() => rows);
    return (name, reason) => rows.find(row => row.name === name && row.labels.reason === reason)?.value;
}

const numbers = count => Array.from({ length: count }, (_, i) => String(i));

// Each reader is open again, none of them later than its own retry asked for, counted from its loss or from `since`, and BACK_MS.
async function allBack(readers, since) {
    const away = () => readers.filter(reader => !reader.isOpen && reader.gaveUp === null);
    await until('all are back', () => away().length === 0, DRAIN_RETRY_MS + BACK_MS, () => `; ${away().length} of ${readers.length} are away`);
    for (const { name, comebacks } of readers)
        for (const { lost, retry, back } of comebacks.filter(comeback => comeback.back > since)) {
            const late = back - Math.max(lost, since) - retry;
            assert.ok(late < BACK_MS * SCALE, `${name} was back ${Math.round(late)} ms later than its retry`);
        }
}

// MAX_STREAMS_PER_ADDRESS counts the clients, not the balancer, whatever they claim.
export async function believed(site) {
    const [one, other] = ['127.0.0.71', '127.0.0.72'];
    const streams = [];
    let refused = null;
    for (let i = 0; refused === null && i <= site.gw.length * site.limit; ++i) {
        const way = site.ways[PROTOCOLS[i % 2]];
        const stream = await way('/channels/address', { from: one, headers: { 'x-forwarded-for': `192.0.2.${i}`, forwarded: `for=192.0.2.${i}` } });
        streams.push(stream);
        refused = stream.status === 200 ? null : stream;
    }
    assert.ok(refused !== null, `${streams.length} streams, and no limit`);
    assert.equal(refused.status, 429);
    await refused.closed;
    assert.match(refused.text, /your address has all/);
    const stranger = await site.ways['HTTP/1.1']('/channels/address', { from: other });
    assert.equal(stranger.status, 200);
    for (const stream of [stranger, ...streams])
        stream.close();
    await streamsAre(site, 0);
}

export function facts(site) {
    afterEach(() => site.tidy());

    test('a client chooses HTTP/2 or HTTP/1.1, and no older TLS than 1.2', async () => {
        const offer = options => new Promise((done, fail) => {
            const socket = tls.connect({ host: '127.0.0.1', port: site.ports.https, rejectUnauthorized: false, ...options });
            socket.on('secureConnect', () => socket.destroy() && done(socket.alpnProtocol));
            socket.on('error', fail);
        });
        assert.equal(await offer({ ALPNProtocols: ['h2', 'http/1.1'] }), 'h2');
        assert.equal(await offer({ ALPNProtocols: ['http/1.1'] }), 'http/1.1');
        await assert.rejects(offer({ maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' }), /alert|protocol/);
    });

    for (const protocol of PROTOCOLS) {
        test(`${protocol}: each event arrives within ${LATE_MS} ms of its publish, unbuffered and not compressed`, async () => {
            const stream = await site.ways[protocol]('/channels/slow', { headers: { 'accept-encoding': 'gzip, deflate, br' } });
            assert.equal(stream.status, 200);
            assert.equal(stream.headers['content-encoding'], undefined);
            await stream.nextFrame();
            for (let i = 0; i < 10; ++i) {
                const sent = performance.now();
                await site.stack.post('slow', String(i));
                assert.equal((await stream.next(LATE_MS - (performance.now() - sent))).data, String(i));
                await sleep(100);
            }
            stream.close();
            await streamsAre(site, 0);
        });

        test(`${protocol}: the end of a client reaches the gateway within a second, its stream idle or not`, async t => {
            for (const end of ['close', 'cut']) {
                for (const busy of [false, true]) {
                    const stream = await site.ways[protocol]('/channels/leaver');
                    await streamsAre(site, 1);
                    const writing = busy ? author(t, site, 'leaver', 50) : null;
                    if (busy)
                        await stream.take(3);
                    stream[end]();
                    await streamsAre(site, 0, 1000);
                    await writing?.stop();
                }
            }
        });
    }

    test('the head of a stream that has nothing to say yet comes at once', async () => {
        for (const protocol of PROTOCOLS) {
            const start = performance.now();
            const stream = await site.ways[protocol]('/post');
            const took = performance.now() - start;
            assert.ok(took < LATE_MS, `${protocol}: after ${took} ms`);
            stream.close();
        }
        await streamsAre(site, 0);
    });

    test('a silent stream lives on comments, and one whose gateway hangs is cut', { timeout: 60000 }, async () => {
        const streams = await Promise.all(PROTOCOLS.map(protocol => site.ways[protocol]('/channels/silent')));
        await Promise.all(streams.map(stream => until('3 comments', () => stream.ended !== null || stream.parser.comments.length >= 3, 4 * KEEPALIVE_MS)));
        assert.deepEqual(streams.map(stream => stream.ended), [null, null]);
        site.gw.forEach(gw => gw.pause());
        await Promise.all(streams.map(stream => until('it is cut', () => stream.ended !== null)));
        site.gw.forEach(gw => gw.resume());
        await streamsAre(site, 0);
        await settled(site);
    });

    test('POST /post through it is answered 303 broadcasted and reaches a stream', async () => {
        const stream = await site.ways['HTTP/2']('/post');
        await site.redis.subscribed('post', 1);
        const h2 = await site.h2();
        for (const post of [site.post.bind(site), (path, body, { headers }) => h2.request(path, { method: 'POST', body, headers })]) {
            const answer = await post('/post?from=test', '{"test":"hi"}', { headers: { 'content-type': 'application/json' } });
            assert.equal(answer.status, 303);
            assert.equal(answer.body, 'broadcasted');
            assert.equal((await stream.next()).data, '{"test":"hi","from":"test"}');
        }
        h2.close();
        stream.close();
    });

    test('programs publish to the publishers, web pages through the gateways, which hold CORS_ORIGINS', async () => {
        const done = () => Promise.all(site.pub.map(pub => pub.metric('sse_publish_total', { outcome: 'done' })));
        const before = await done();
        for (const path of ['/post', '/channels/routed', '/channels/routed/deeper'])
            assert.ok([200, 303].includes((await site.post(path, 'x', { headers: { 'content-type': 'text/plain' } })).status));
        const lines = await site.post('/channels', '{"channel":"routed","data":1}\n', { headers: { 'content-type': 'application/x-ndjson' } });
        assert.equal(lines.status, 200);
        assert.deepEqual(await done(), [before[0], before[1] + 4]);
        const own = await site.post('/channels/routed', 'x', { headers: { origin: site.url } });
        assert.equal(own.status, 200);
        const listed = await site.post('/channels/routed', 'x', { headers: { origin: 'http://localhost:3000' } });
        assert.equal(listed.status, 200);
        assert.equal(listed.headers['access-control-allow-origin'], 'http://localhost:3000');
        const foreign = await site.post('/channels/routed', 'x', { headers: { origin: 'https://evil.example' } });
        assert.equal(foreign.status, 403);
        assert.deepEqual(await done(), [before[0] + 2, before[1] + 4]);
        for (const method of ['PUT', 'DELETE'])
            assert.equal((await request(`${site.url}/channels/routed`, { method })).status, 405);
        assert.equal((await site.post('/sse', 'x')).status, 405);
        const preflight = await request(`${site.url}/channels/routed`, { method: 'OPTIONS',
            headers: { origin: 'http://localhost:3000', 'access-control-request-method': 'POST' } });
        assert.match(preflight.headers['access-control-allow-methods'], /POST/);
        assert.equal((await request(`${site.url}/channels/routed`, { method: 'HEAD', headers: { accept: '*/*' } })).status, 200);
    });

    test('the plain port sends everything to https', async () => {
        for (const method of ['GET', 'POST']) {
            const answer = await request(`${site.plainUrl}/channels/a?last=1&x=%20`, { method });
            assert.equal(answer.status, 308);
            assert.equal(answer.headers.location, `${site.url}/channels/a?last=1&x=%20`);
        }
    });

    test('private paths cannot be reached from outside, and no answer reveals a version', async () => {
        for (const path of ['/metrics', '/healthz', '/readyz', '/stats', '/config/', '//metrics', '/%6detrics', '/channels/../metrics']) {
            const answer = await request(`${site.url}${path}`);
            assert.ok(answer.status === 404 || answer.status === 400, `${path}: ${answer.status}`);
            assert.doesNotMatch(answer.body, /sse_streams|haproxy_|nginx_|go_/);
        }
        const answers = [site.url, `${site.url}/nowhere`, site.plainUrl].map(url => request(url));
        for (const answer of await Promise.all([...answers, site.post('/post', 'x')]))
            assert.doesNotMatch(`${answer.headers.server} ${answer.headers.via} ${answer.headers['x-powered-by']}`, /\d/);
    });

    test('the gateways know the address of each client, and believe nobody else about it', () => believed(site));

    test('the gateways know that the client came by TLS, and to which host', async () => {
        const answer = await request(`${site.url}/nowhere`);
        assert.equal(answer.status, 404);
        assert.match(answer.headers['strict-transport-security'] ?? '', /max-age/);
    });

    test('a reload with a new certificate: open streams miss nothing, new ones see it, nobody is turned away', { timeout: 60000 }, async t => {
        const old = await Promise.all(PROTOCOLS.map(protocol => site.ways[protocol]('/channels/reload')));
        await Promise.all(old.map(stream => stream.nextFrame()));
        const writing = author(t, site, 'reload', 20);
        await Promise.all(old.map(stream => stream.take(5)));
        const before = await site.serial();
        let turnedAway = null, knocks = 0, stopped = false;
        t.after(() => (stopped = true));
        const knocking = Promise.all(Array.from({ length: 6 }, async () => {
            for (; !stopped; ++knocks) {
                const answer = await request(`${site.url}/channels/reload`, { method: 'HEAD' }).catch(error => ({ status: error.code }));
                // Go's servers cut a connection that is just being opened when they are told to stop.
                if (answer.status !== 200 && !(site.kind === 'caddy' && answer.status === 'ECONNRESET'))
                    turnedAway ??= `request ${knocks}: ${answer.status}`;
            }
        }));
        site.certify();
        await site.balancer.reload();
        await until('new connections are shown the new certificate', async () => await site.serial().catch(() => before) !== before);
        const fresh = await Promise.all(PROTOCOLS.map(protocol => site.ways[protocol]('/channels/reload')));
        await Promise.all(fresh.map(stream => stream.take(20)));
        stopped = true;
        await knocking;
        const count = await writing.stop();
        for (const stream of old) {
            await stream.waitEvent('the last one', event => event.data === String(count - 1));
            assert.deepEqual(stream.events.map(event => event.data), numbers(count));
        }
        assert.equal(turnedAway, null);
        assert.ok(knocks > 3, `${knocks} requests meanwhile`);
        for (const stream of [...old, ...fresh])
            stream.close();
        await streamsAre(site, 0, 1000);
    });

    test('a gateway that drains gets no new streams, keeps its open ones to their end, and their clients lose nothing', { timeout: 60000 }, async t => {
        const [leaver, other] = site.gw;
        const open = i => headers => site.ways[PROTOCOLS[i % 2]]('/channels/drain', { headers, from: `127.0.0.${80 + i}` });
        const readers = Array.from({ length: 8 }, (_, i) => new Reader(t, `reader ${i}`, open(i)));
        await Promise.all(readers.map(reader => reader.ready()));
        const held = await leaver.metric('sse_streams');
        assert.ok(held >= 3 && held <= 5, `${held} of 8 streams at one gateway`);
        const writing = author(t, site, 'drain', 20);
        await Promise.all(readers.map(reader => reader.waitData(5)));
        const opened = await leaver.metric('sse_streams_opened_total');
        const left = await leaver.metric('sse_stream_closes_total', { reason: 'client closed' });
        const ended = leaver.kill('SIGTERM');
        await until('it says so', async () => (await leaver.ready()).status === 503, 1000);
        for (let i = 0; i < 6; ++i) {
            const stream = await site.ways[PROTOCOLS[i % 2]]('/channels/drain', { from: '127.0.0.90' });
            assert.equal(stream.status, 200);
            stream.close();
        }
        const last = await lastMetrics(leaver);
        assert.equal((await ended).code, 0);
        assert.equal(last('sse_streams_opened_total'), opened);
        assert.equal(last('sse_stream_closes_total', 'client closed'), left, 'the balancer cut a stream');
        assert.ok(last('sse_stream_closes_total', 'drain') >= 1);
        await until('all streams are at the other', async () => await other.metric('sse_streams') === 8);
        const count = await writing.stop();
        await Promise.all(readers.map(reader => reader.waitData(count)));
        for (const reader of readers)
            assert.deepEqual(reader.data, numbers(count), reader.name);
        assert.ok(readers.filter(reader => reader.opened === 1).length >= 3, 'streams of the other gateway stayed');
        await Promise.all(readers.map(reader => reader.stop()));
        await leaver.start();
        await settled(site);
    });

    test('many streams: over a rolling restart, and after all gateways died, each is back when its own retry says so, and misses nothing', { timeout: 60000 }, async t => {
        const open = i => headers => site.ways[PROTOCOLS[i % 2]]('/channels/many', { headers, from: `127.0.1.${1 + i}` });
        const readers = Array.from({ length: STREAMS }, (_, i) => new Reader(t, `reader ${i}`, open(i)));
        await Promise.all(readers.map(reader => reader.ready()));
        const writing = author(t, site, 'many', 50);
        await Promise.all(readers.map(reader => reader.waitData(1)));
        for (const gw of site.gw) {
            assert.equal((await gw.kill('SIGTERM')).code, 0);
            await gw.start();
        }
        await allBack(readers, 0);
        assert.ok(readers.every(reader => reader.comebacks.length >= 1), 'each has lost its gateway');
        await Promise.all(site.gw.map(gw => gw.kill('SIGKILL')));
        await Promise.all(site.gw.map(gw => gw.start()));
        await allBack(readers, performance.now());
        const count = await writing.stop();
        await Promise.all(readers.map(reader => reader.waitData(count)));
        for (const reader of readers)
            assert.deepEqual(reader.data, numbers(count), reader.name);
        await Promise.all(readers.map(reader => reader.stop()));
        await settled(site);
    });

    test('replicas are found by name: a new one gets streams, one whose name is gone keeps those it has and gets no more', { timeout: 60000 }, async () => {
        const [leaver, stayer] = site.gw, [comer] = site.spare;
        const rename = async gateways => {
            await site.names.set('gateway', gateways.map(gw => gw.host));
            if (!site.balancer.looksAgain)
                await site.balancer.reload();
            site.gw = gateways;
            await settled(site);
        };
        await rename([leaver, stayer, comer]);
        const held = await Promise.all(Array.from({ length: 6 }, (_, i) => site.ways[PROTOCOLS[i % 2]]('/channels/names')));
        for (const gw of site.gw)
            assert.equal(await gw.metric('sse_streams'), 2, gw.name);
        site.gw = [stayer, comer];
        await site.names.set('gateway', site.gw.map(gw => gw.host));
        if (!site.balancer.looksAgain)
            await site.balancer.reload();
        let opened;
        await until('the one that left gets no more', async () => {
            opened = await leaver.metric('sse_streams_opened_total');
            const more = await Promise.all(Array.from({ length: 9 }, (_, i) => site.ways[PROTOCOLS[i % 2]]('/channels/more', { from: '127.0.0.95' })));
            more.forEach(stream => stream.close());
            return await leaver.metric('sse_streams_opened_total') === opened;
        });
        await Promise.all(held.map(stream => stream.nextFrame()));
        await site.stack.post('names', 'still here');
        for (const stream of held)
            assert.equal((await stream.next()).data, 'still here');
        assert.equal(await leaver.metric('sse_streams'), 2);
        held.forEach(stream => stream.close());
        await rename([leaver, stayer]);
    });

    test('addresses where no gateway answers cost no client its stream', { timeout: 60000 }, async () => {
        const [stayer, leaver] = site.gw;
        await site.names.set('gateway', [stayer.host, ...[1, 2, 3].map(i => `${site.net}.20${i}`)]);
        if (!site.balancer.looksAgain)
            await site.balancer.reload();
        const allOpen = async () => {
            const way = i => site.ways[PROTOCOLS[i % 2]]('/channels/some', { from: `127.0.0.${100 + i}` });
            const streams = (await Promise.allSettled(Array.from({ length: 9 }, (_, i) => way(i)))).map(({ value }) => value);
            streams.forEach(stream => stream?.close());
            return streams.every(stream => stream?.status === 200);
        };
        await until('the balancer has the new names, and has had time to look at them', async () => {
            const opened = await leaver.metric('sse_streams_opened_total');
            return await allOpen() && await leaver.metric('sse_streams_opened_total') === opened;
        });
        assert.ok(await allOpen());
        await site.names.set('gateway', site.gw.map(gw => gw.host));
        if (!site.balancer.looksAgain)
            await site.balancer.reload();
        await settled(site);
    });

    test('without any gateway an EventSource is cut, so that it reconnects, and other clients get an error', { timeout: 60000 }, async t => {
        const readers = PROTOCOLS.map(protocol => new Reader(t, protocol, headers => site.ways[protocol]('/channels/gone', { headers })));
        await Promise.all(readers.map(reader => reader.ready()));
        await Promise.all(site.gw.map(gw => gw.kill('SIGKILL')));
        await until('other clients are told', async () => {
            const answer = await request(`${site.url}/channels/gone`, { method: 'HEAD', headers: { accept: '*/*' } }).catch(() => ({}));
            return answer.status === 503 && answer.headers['retry-after'] === '1';
        });
        const tries = PROTOCOLS.map(protocol => site.ways[protocol]('/channels/gone').then(stream => `answer ${stream.status}`, () => 'cut'));
        assert.deepEqual(await Promise.all(tries), ['cut', 'cut']);
        await site.stack.post('gone', '0');
        await Promise.all(site.gw.map(gw => gw.start()));
        await Promise.all(readers.map(reader => reader.waitData(1, 15000)));
        await Promise.all(readers.map(reader => reader.stop()));
        await settled(site);
    });

    test('told to stop, it takes no more connections and open streams run on', { timeout: 60000 }, async () => {
        const { balancer } = site;
        const streams = await Promise.all(PROTOCOLS.map(protocol => site.ways[protocol]('/channels/stop')));
        await Promise.all(streams.map(stream => stream.nextFrame()));
        balancer.expected = true;
        balancer.signal(balancer.stopSignal ?? 'SIGTERM');
        await until('connections are refused', () => site.serial().then(() => false, error => error.code === 'ECONNREFUSED'));
        await site.stack.post('stop', 'still here');
        for (const stream of streams)
            assert.equal((await stream.next()).data, 'still here');
        if (balancer.stopSignal === null)
            await Promise.all(streams.map(stream => until('LB_GRACE is over', () => stream.ended !== null)));
        else
            assert.ok(balancer.running, 'it waits for them');
        streams.forEach(stream => stream.close());
        await until('it ends', () => !balancer.running);
        assert.equal((await balancer.exited).code, 0);
    });
}
