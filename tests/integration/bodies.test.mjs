// BODIES_LIMIT: requests that are being received share one bound, of which one address may have a quarter. Who is over it is told before anything of the body is read.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { Stack, binary, until } from './stack.mjs';
import { H2, request } from './sse.mjs';
import { Raw } from './raw.mjs';

const BODY = 65536, LIMIT = 1048576; // a share is four such bodies less their heads: each takes 131072, since buffers double
const TEXT = { 'content-type': 'text/plain' };
const env = { BODY_LIMIT: BODY, BODIES_LIMIT: LIMIT };
const s = await Stack.start({ gateways: 1, publishers: 2, env, gatewayEnv: [{ HTTP2_CLEARTEXT: 'on' }], publisherEnv: [{}, { TRUSTED_PROXIES: '127.0.0.0/8' }] });
const [gw] = s.gw, [pub, behind] = s.pub;
const bytes = program => program.metric('sse_bodies_bytes');
const refusals = (program, reason) => program.metric('sse_bodies_refused_total', { reason });
const small = (program, from) => request(`${program.url}/channels/small`, { method: 'POST', headers: TEXT, body: 'small', from });

// A POST of which the last byte does not come.
async function slow(program, from, { length = BODY, sent = length - 1, chunked = false } = {}) {
    const raw = await Raw.connect(program.port, { from });
    const size = chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`;
    raw.send(`POST /channels/slow HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n${size}\r\n\r\n`);
    raw.send((chunked ? `${length.toString(16)}\r\n` : '') + 'x'.repeat(sent));
    return raw;
}

// So many POSTs from one address, one after the other, and nothing else is under way.
async function fill(program, from, count) {
    const raws = [];
    await until('nothing is counted', async () => await bytes(program) === 0);
    while (raws.length < count) {
        raws.push(await slow(program, from));
        await until('it is counted', async () => await bytes(program) === raws.length * 2 * BODY);
    }
    return raws;
}

async function release(program, raws) {
    raws.forEach(raw => raw.close());
    await until('all is given back', async () => await bytes(program) === 0);
}

async function assertRefused(raw, status, sentence) {
    const head = await raw.head();
    assert.equal(head.status, status);
    assert.equal(head.headers['retry-after'], '5');
    assert.equal(head.headers['content-type'], 'application/json');
    await raw.waitEnd();
    assert.match(JSON.parse(raw.text.slice(raw.text.indexOf('\r\n\r\n') + 4)).error, sentence);
}

for (const [name, program] of [['publisher', pub], ['gateway', gw]]) {
    test(`${name}: an address that sends more at once than its quarter gets 429, others and small requests go on`, async () => {
        const raws = await fill(program, '127.0.0.2', 2);
        const refused = await refusals(program, 'limit of the address');
        await assertRefused(await slow(program, '127.0.0.2', { sent: 0 }), 429, /^your address is sending too many bytes of requests at once; retry later$/);
        assert.equal(await refusals(program, 'limit of the address'), refused + 1);
        assert.equal((await small(program, '127.0.0.2')).status, 200);
        const other = await slow(program, '127.0.0.3');
        other.send('x');
        assert.equal((await other.head()).status, 200);
        other.close();
        raws[0].send('x');
        assert.equal((await raws[0].head()).status, 200, 'what was let in is published');
        await until('its bytes are free', async () => await bytes(program) === 2 * BODY);
        const again = await slow(program, '127.0.0.2');
        again.send('x');
        assert.equal((await again.head()).status, 200);
        await release(program, [...raws, again]);
    });

    test(`${name}: where all addresses together have the limit, everybody gets 503, small requests go on`, async () => {
        await until('nothing is counted', async () => await bytes(program) === 0);
        const raws = (await Promise.all([2, 3, 4, 5].map(async n => [await slow(program, `127.0.0.${n}`), await slow(program, `127.0.0.${n}`)]))).flat();
        await until('all is taken', async () => await bytes(program) === LIMIT);
        await assertRefused(await slow(program, '127.0.0.6', { sent: 0 }), 503, /^this server is receiving too many bytes of requests \(BODIES_LIMIT\); retry later$/);
        assert.equal((await small(program, '127.0.0.6')).status, 200);
        await release(program, raws);
        assert.equal((await request(`${program.url}/channels/large`, { method: 'POST', headers: TEXT, body: 'x'.repeat(BODY) })).status, 200);
    });

    test(`${name}: a body that does not tell its length is cut when it grows into the bound`, async () => {
        const raws = await fill(program, '127.0.0.2', 1);
        const chunked = await slow(program, '127.0.0.2', { chunked: true });
        await until('it is there', async () => await bytes(program) === 4 * BODY);
        const late = await Raw.connect(program.port, { from: '127.0.0.2' });
        late.send(`POST /channels/slow HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(40000)}`);
        await late.waitEnd();
        assert.equal((await small(program, '127.0.0.2')).status, 200);
        await release(program, [...raws, chunked, late]);
    });
}

test('HTTP/2: a body over the bound ends its stream, not its connection', async () => {
    const h2 = await H2.connect(gw.url);
    const post = (body, end) => {
        const stream = h2.session.request({ ':method': 'POST', ':path': '/channels/two', 'content-type': 'text/plain' });
        stream.on('error', () => {});
        stream.write(body);
        if (end)
            stream.end();
        return stream;
    };
    const held = [post('x'.repeat(BODY - 1)), post('x'.repeat(BODY - 1))];
    await until('both are counted', async () => await bytes(gw) >= 2 * BODY);
    const more = Array.from({ length: 3 }, () => post('x'.repeat(BODY - 1)));
    await until('one is refused', () => more.some(stream => stream.destroyed));
    assert.ok(await bytes(gw) <= LIMIT / 4 * 1.25);
    assert.equal((await h2.request('/channels/two', { method: 'POST', headers: TEXT, body: 'small' })).status, 200);
    [...held, ...more].forEach(stream => stream.close(8));
    await until('all is given back', async () => await bytes(gw) === 0);
    h2.close();
});

// A POST over HTTP/2 that tells its length, with the first bytes of its body; `answer` is the whole answer.
function told(h2, length, { sent = length, headers = {} } = {}) {
    const stream = h2.session.request({ ':method': 'POST', ':path': '/channels/told', 'content-type': 'text/plain', 'content-length': length, ...headers });
    const answer = new Promise((resolve, reject) => {
        let head, text = '';
        stream.on('error', reject);
        stream.on('response', h => (head = h));
        stream.on('data', chunk => (text += chunk));
        stream.on('end', () => resolve({ status: head[':status'], retry: head['retry-after'], ...JSON.parse(text) }));
    });
    answer.catch(() => {});
    stream.write('x'.repeat(sent));
    if (sent === length)
        stream.end();
    return { stream, answer };
}

test('HTTP/2: a body that tells its length has its room before it comes, or its request is answered; none loses its stream', async () => {
    await until('nothing is counted', async () => await bytes(gw) === 0);
    const h2 = await H2.connect(gw.url), first = await refusals(gw, 'limit of the address');
    const held = Array.from({ length: 3 }, () => told(h2, BODY, { sent: 1 })); // three quarters of the share; over HTTP/1.1 two such have room in all of it
    await h2.request('/channels/told', { method: 'POST', headers: TEXT, body: 'small' });
    assert.ok(await bytes(gw) < BODY, 'what has not come takes no memory');
    const over = { status: 429, retry: '5', error: 'your address is sending too many bytes of requests at once; retry later' };
    assert.deepEqual(await told(h2, BODY).answer, over);
    assert.deepEqual(await Promise.all(Array.from({ length: 5 }, () => told(h2, BODY).answer)), Array(5).fill(over));
    assert.ok(await refusals(gw, 'limit of the address') >= first + 6);
    assert.deepEqual(await told(h2, BODY, { sent: 0, headers: { expect: '100-continue' } }).answer, over, 'who asks before it sends is told before it sends');
    const other = await H2.connect(gw.url, { localAddress: '127.0.0.2' });
    assert.equal((await other.request('/channels/told', { method: 'POST', headers: { ...TEXT, 'content-length': BODY }, body: 'x'.repeat(BODY) })).status, 200, 'another address has its own');
    for (const { stream, answer } of held) { // one by one: over HTTP/1.1, at the publisher, two have room
        stream.end('x'.repeat(BODY - 1));
        assert.ok((await answer).id, 'what was let in is published');
    }
    await until('all is given back', async () => await bytes(gw) === 0);
    assert.ok((await told(h2, BODY).answer).id);
    h2.close();
    other.close();
});

test('HTTP/2: a body that tells that it is too large is 413', async () => {
    const h2 = await H2.connect(gw.url);
    for (const length of [BODY + 1, 20 * BODY]) {
        await until('nothing is counted', async () => await bytes(gw) === 0 && await bytes(pub) === 0);
        assert.deepEqual(await told(h2, length).answer, { status: 413, retry: undefined, error: 'the body is larger than this server accepts (BODY_LIMIT)' });
    }
    assert.equal((await h2.request('/channels/told', { method: 'POST', headers: TEXT, body: 'small' })).status, 200, 'the connection goes on');
    h2.close();
});

test('a trusted proxy stands for many clients: it has no share of its own', async () => {
    const raws = await fill(behind, '127.0.0.1', 7);
    assert.equal(await bytes(behind), 7 * 2 * BODY);
    await release(behind, raws);
});

test('BODIES_LIMIT must leave an address room for one body', () => {
    for (const program of ['sse-gateway', 'sse-publisher']) {
        const run = spawnSync(binary(program), ['--check-config'], { env: { BODY_LIMIT: '16385', BODIES_LIMIT: '65536' }, encoding: 'utf8' });
        assert.equal(run.status, 1);
        assert.match(run.stderr, /BODIES_LIMIT: must be at least 262144, so that an address may send a body of BODY_LIMIT/);
    }
});
