// Streams that the gateway itself ends: drain, rotation; and what a certificate reload leaves alone.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import tls from 'node:tls';
import { SCALE, Stack, until } from '../integration/stack.mjs';
import { H2, openStream } from '../integration/sse.mjs';
import { Raw } from '../integration/raw.mjs';
import { publish } from './history.mjs';
import { Load } from './load.mjs';

const STREAMS = 200;
const DRAIN_S = 4;

const endTime = async (stream, start) => {
    await stream.closed;
    return performance.now() - start;
};

// How many of the times lie in each quarter of the drain.
const quarters = times => [0, 1, 2, 3].map(q => times.filter(ms => ms >= q * DRAIN_S * 250 && ms < (q + 1) * DRAIN_S * 250 + (q === 3 ? 500 : 0)).length);

test('SIGTERM: not ready, no new streams, GOAWAY, streams closed evenly over DRAIN_SECONDS with a retry each, exit 0', { timeout: 60000 }, async () => {
    const s = await Stack.start({ tls: true, env: { DRAIN_SECONDS: DRAIN_S, KEEPALIVE_MS: 500 } });
    const [gw] = s.gw;
    const plain = await Promise.all(Array.from({ length: STREAMS }, () => openStream(`${gw.url}/channels/drain`)));
    const secure = await Promise.all(Array.from({ length: 20 }, () => openStream(`${gw.httpsUrl}/channels/drain`)));
    const h2 = await H2.connect(gw.httpsUrl);
    const multiplexed = await Promise.all(Array.from({ length: 40 }, () => h2.open('/channels/drain')));
    const all = [...plain, ...secure, ...multiplexed];
    await Promise.all(all.map(stream => stream.nextFrame()));
    await s.redis.subscribed('drain');
    let goaway = null;
    const start = performance.now();
    h2.session.on('goaway', () => (goaway ??= performance.now() - start));
    const ends = Promise.all(all.map(stream => endTime(stream, start)));
    const exit = gw.kill('SIGTERM');
    await until('not ready', async () => (await gw.ready()).status === 503, 1000);
    assert.match((await gw.ready()).body, /"drain":"[^"]+"/);
    assert.equal(await gw.metric('sse_draining'), 1);
    for (const port of [gw.ports.plain, gw.ports.public])
        await assert.rejects(Raw.connect(port), 'new connections are refused');
    await until('GOAWAY', () => goaway !== null, 2000);
    await publish(s.redis, 'drain', 'meanwhile'); // who is still there gets it
    const times = (await ends).sort((a, b) => a - b);
    const { code } = await exit;
    const took = performance.now() - start;
    assert.equal(code, 0);
    assert.ok(took < DRAIN_S * 1000 + 2500, `took ${took} ms`);
    for (const [q, count] of quarters(times).entries())
        assert.ok(count > all.length / 4 * 0.7 && count < all.length / 4 * 1.3, `quarter ${q}: ${count} of ${all.length}`);
    assert.equal(all.filter(stream => stream.events.some(event => event.data === 'meanwhile')).length > all.length / 2, true);
    for (const stream of all) {
        assert.equal(stream.ended, 'end', 'by the protocol, not cut');
        assert.match(stream.frames.at(-1), /^retry: \d+\n\n$/);
        assert.match(stream.parser.lastEventId, /^[0-9a-f-]{36}$/);
    }
    const retries = all.map(stream => stream.parser.retry);
    assert.ok(new Set(retries).size > all.length / 3, 'each its own');
    h2.close();
});

test('few streams are spread over DRAIN_SECONDS as well', { timeout: 60000 }, async () => {
    const s = await Stack.start({ env: { DRAIN_SECONDS: DRAIN_S } });
    const [gw] = s.gw;
    const streams = await Promise.all(Array.from({ length: 16 }, () => openStream(`${gw.url}/channels/drain`)));
    const start = performance.now();
    const ends = Promise.all(streams.map(stream => endTime(stream, start)));
    assert.equal((await gw.kill('SIGTERM')).code, 0);
    const times = (await ends).map(ms => Math.round(ms)).sort((a, b) => a - b);
    assert.ok(times[7] > DRAIN_S * 250 && times[7] < DRAIN_S * 750, `half of them after ${times[7]} ms of ${DRAIN_S * 1000}: ${times}`);
    assert.ok(times[15] > DRAIN_S * 600, `the last one after ${times[15]} ms of ${DRAIN_S * 1000}`);
});

test('a new stream on an HTTP/2 connection that is draining is not begun', { timeout: 60000 }, async () => {
    const s = await Stack.start({ env: { DRAIN_SECONDS: 2, HTTP2_CLEARTEXT: 'on' } });
    const [gw] = s.gw;
    const h2 = await H2.connect(gw.url);
    const streams = await Promise.all(Array.from({ length: 20 }, () => h2.open('/channels/drain')));
    const exit = gw.kill('SIGTERM');
    await until('not ready', async () => (await gw.ready()).status === 503, 1000);
    let opened = null;
    try {
        opened = await h2.open('/channels/drain');
    } catch {
        opened = null;
    }
    assert.ok(opened === null || opened.status === 503, `answered ${opened?.status}`);
    assert.equal((await exit).code, 0);
    assert.ok(streams.every(stream => stream.ended !== null));
    h2.close();
});

test('a gateway without streams drains at once', async () => {
    const s = await Stack.start({ env: { DRAIN_SECONDS: 20 } });
    const start = performance.now();
    assert.equal((await s.gw[0].kill('SIGTERM')).code, 0);
    assert.ok(performance.now() - start < 3000);
});

test('a second signal ends the drain at once', async () => {
    const s = await Stack.start({ env: { DRAIN_SECONDS: 60 } });
    const [gw] = s.gw;
    const streams = await Promise.all(Array.from({ length: 300 }, () => openStream(`${gw.url}/channels/drain`)));
    const exit = gw.kill('SIGTERM');
    await gw.waitMetric('sse_draining', 1);
    const start = performance.now();
    assert.ok(await gw.metric('sse_streams') > 200, 'the drain has hardly begun');
    gw.signal('SIGTERM');
    await exit;
    assert.ok(performance.now() - start < 1000 * SCALE);
    await until('the streams are gone', () => streams.every(stream => stream.ended !== null));
});

test('a drain whose client does not read ends all the same', { timeout: 60000 }, async () => {
    const s = await Stack.start({ env: { DRAIN_SECONDS: 1, WRITE_TIMEOUT: 60, QUEUE_BYTES: 16 << 20 } });
    const [gw] = s.gw;
    const stuck = await openStream(`${gw.url}/channels/drain`);
    stuck.readable.pause();
    await s.redis.subscribed('drain');
    for (let i = 0; i < 40; ++i)
        await publish(s.redis, 'drain', 'x'.repeat(100000));
    await gw.waitMetric('sse_queued_bytes', n => n > 100000);
    const start = performance.now();
    const { code } = await gw.kill('SIGTERM');
    assert.equal(code, 0);
    assert.ok(performance.now() - start < 12000, `took ${performance.now() - start} ms`);
    stuck.close();
});

test('MAX_STREAM_SECONDS rotates streams, each at its own time, and nothing is lost', { timeout: 120000 }, async t => {
    const load = await Load.start(t, { env: { MAX_STREAM_SECONDS: 3 } });
    await load.last(4000);
    const seconds = await load.recovery();
    const report = await load.finish(t, 'MAX_STREAM_SECONDS=3 under load', { seconds });
    assert.ok(report.reconnects >= report.streams, `${report.reconnects} rotations of ${report.streams} streams`);
    assert.equal(report.cut, 0, 'each by the protocol\'s own end');
});

function writeCertificate(gw, name) {
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', `/CN=${name}`,
        '-keyout', gw.env.TLS_KEY, '-out', gw.env.TLS_CERT], { stdio: 'pipe' });
}

function commonName(port) {
    return new Promise((resolve, reject) => {
        const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
            resolve(socket.getPeerCertificate().subject.CN);
            socket.destroy();
        });
        socket.on('error', reject);
    });
}

test('SIGHUP gives new connections the new certificate and leaves streams alone; a broken one changes nothing', async () => {
    const s = await Stack.start({ tls: true, env: { DRAIN_SECONDS: 0 } });
    const [gw] = s.gw;
    const streams = [await openStream(`${gw.httpsUrl}/channels/hup`), await (await H2.connect(gw.httpsUrl)).open('/channels/hup')];
    await s.redis.subscribed('hup');
    const still = async data => {
        await publish(s.redis, 'hup', data);
        for (const stream of streams)
            assert.equal((await stream.next()).data, data);
    };
    await still('before');
    assert.equal(await commonName(gw.ports.public), 'localhost');
    writeCertificate(gw, 'second');
    gw.signal('SIGHUP');
    await until('the new certificate', async () => await commonName(gw.ports.public) === 'second');
    for (let i = 0; i < 8; ++i) // whichever worker takes the connection
        assert.equal(await commonName(gw.ports.public), 'second');
    await still('after');
    writeFileSync(gw.env.TLS_CERT, 'broken');
    gw.signal('SIGHUP');
    await gw.waitLogged({ level: 'error', why: /.+/ });
    assert.equal(await commonName(gw.ports.public), 'second');
    await still('after a broken one');
    streams.forEach(stream => stream.close());
});
