// The publisher's own TLS, with and without certificates of its clients, and the gateway as such a client.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import https from 'node:https';
import { copyFileSync, readFileSync } from 'node:fs';
import tls from 'node:tls';
import { Stack, freePort, tempFolder, until } from './stack.mjs';
import { Authority } from './authority.mjs';
import { openStream, request } from './sse.mjs';

const folder = tempFolder();
const ca = new Authority(folder), other = new Authority(folder, 'other');
const server = ca.issue('publisher', { names: ['DNS:localhost', 'IP:127.0.0.1'] });
const gateway = ca.issue('gateway');
const foreign = other.issue('foreign');
const TLS = { TLS_CERT: server.cert, TLS_KEY: server.key };
const MUTUAL = { ...TLS, TLS_CLIENT_CA: ca.file };
const read = ({ cert, key }) => ({ cert: readFileSync(cert), key: readFileSync(key) });

// POST /channels/NAME with this certificate; the answer, or the error that the connection ended with.
function post(port, certificate, { version = 'TLSv1.3', name = 'mtls' } = {}) {
    const options = { host: 'localhost', port, path: `/channels/${name}`, method: 'POST', ca: readFileSync(ca.file), agent: false,
        headers: { 'content-type': 'text/plain' }, minVersion: version, maxVersion: version, ...(certificate ? read(certificate) : {}) };
    return new Promise(resolve => {
        const req = https.request(options, response => {
            response.resume();
            response.on('end', () => resolve(response.statusCode));
        });
        req.on('error', error => resolve(error.code));
        req.end('x');
    });
}

for (const version of ['TLSv1.2', 'TLSv1.3'])
    test(`TLS_CLIENT_CA, ${version}: its certificates are let in; none, another's and one that ran out are not`, async () => {
        const s = await Stack.start({ gateways: 0, publisherEnv: [MUTUAL] });
        const [pub] = s.pub, { port } = pub;
        assert.equal(await post(port, gateway, { version }), 200);
        for (const [certificate, why] of [[null, /none/], [foreign, /unable to get local issuer certificate/], [await ca.expired('late'), /expired/]]) {
            await until('it is logged, at most once a second', async () => { // why it was
                assert.match(String(await post(port, certificate, { version })), /^E/);
                return pub.logged({ level: 'warn', msg: 'client refused: no valid certificate', why })[0];
            });
        }
        assert.equal(await post(port, gateway, { version }), 200);
        assert.equal(await s.redis.command(['XLEN', '{sse:mtls}:log']), 2, 'nothing of the refused was published');
    });

test('without TLS_CLIENT_CA anybody is let in, over HTTP/2 too', async () => {
    const s = await Stack.start({ gateways: 0, publisherEnv: [TLS] });
    assert.equal(await post(s.pub[0].port, null), 200);
    const socket = tls.connect({ host: 'localhost', port: s.pub[0].port, ca: readFileSync(ca.file), ALPNProtocols: ['h2', 'http/1.1'] });
    await new Promise((done, fail) => socket.on('secureConnect', done).on('error', fail));
    assert.equal(socket.alpnProtocol, 'h2');
    socket.destroy();
});

test('a session of a client with a certificate is never resumed', async () => {
    const s = await Stack.start({ gateways: 0, publisherEnv: [MUTUAL] });
    for (const version of ['TLSv1.2', 'TLSv1.3']) {
        const socket = tls.connect({ host: 'localhost', port: s.pub[0].port, ca: readFileSync(ca.file), minVersion: version, maxVersion: version, ...read(gateway) });
        let tickets = 0;
        socket.on('session', () => ++tickets);
        let text = '';
        socket.on('data', data => (text += data));
        socket.write('GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n');
        await until('the answer', () => text.includes('404'));
        if (version === 'TLSv1.3')
            assert.equal(tickets, 0);
        assert.equal(socket.getTLSTicket(), undefined);
        socket.destroy();
    }
});

async function pair(gatewayEnv, publisherEnv = MUTUAL, host = 'localhost') {
    const port = await freePort();
    return Stack.start({ publisherEnv: [{ ...publisherEnv, PORT: port }], gatewayEnv: [{ PUBLISHER_URL: `https://${host}:${port}`, PUBLISHER_CA: ca.file, ...gatewayEnv }] });
}
const through = s => request(`${s.gw[0].url}/post`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"a":1}' });
const SHOWN = { PUBLISHER_CERT: gateway.cert, PUBLISHER_KEY: gateway.key };

for (const host of ['localhost', '127.0.0.1'])
    test(`the gateway passes POSTs on over https://${host} with its certificate, many at once and one after the other`, async () => {
        const s = await pair(SHOWN, MUTUAL, host);
        const stream = await openStream(`${s.gw[0].url}/post`);
        await s.redis.subscribed('post');
        for (let round = 0; round < 3; ++round)
            assert.deepEqual(new Set((await Promise.all(Array.from({ length: 20 }, () => through(s)))).map(({ status }) => status)), new Set([303]));
        assert.equal((await stream.take(60)).length, 60);
        stream.close();
    });

const REFUSED = [
    ['without a certificate', { PUBLISHER_CERT: null, PUBLISHER_KEY: null }, MUTUAL, 'localhost', /./],
    ['when nobody vouches for the publisher', { PUBLISHER_CA: other.file }, MUTUAL, 'localhost', /unable to get local issuer certificate/],
    ['when the publisher has another name', {}, { ...MUTUAL, ...(made => ({ TLS_CERT: made.cert, TLS_KEY: made.key }))(ca.issue('elsewhere', { names: ['DNS:elsewhere.example'] })) }, 'localhost', /hostname mismatch/i],
    ['when the publisher has another address', {}, { ...MUTUAL, ...(made => ({ TLS_CERT: made.cert, TLS_KEY: made.key }))(ca.issue('away', { names: ['IP:127.0.0.9'] })) }, '127.0.0.1', /IP address mismatch/],
];
for (const [fact, gatewayEnv, publisherEnv, host, why] of REFUSED)
    test(`502 ${fact}, and nothing is published`, async () => {
        const s = await pair({ ...SHOWN, ...gatewayEnv }, publisherEnv, host);
        const { status, body } = await through(s);
        assert.equal(status, 502, body);
        if (gatewayEnv.PUBLISHER_CERT === null)
            await s.pub[0].waitLogged({ msg: 'client refused: no valid certificate' });
        else
            await s.gw[0].waitLogged({ level: 'error', msg: "the publisher's TLS session was refused", why });
        assert.equal(await s.redis.command(['EXISTS', '{sse:post}:log']), 0);
        assert.ok(s.gw[0].running);
    });

test('SIGHUP: new authorities and certificates on both sides, without a restart', async () => {
    const mine = { ca: `${folder}/mine-ca.pem`, cert: `${folder}/mine.pem`, key: `${folder}/mine.key` };
    const put = (authority, { cert, key }) => [[authority, mine.ca], [cert, mine.cert], [key, mine.key]].forEach(([from, to]) => copyFileSync(from, to));
    put(ca.file, gateway);
    const s = await pair({ PUBLISHER_CERT: mine.cert, PUBLISHER_KEY: mine.key, THREADS: 2 }, { ...TLS, TLS_CLIENT_CA: mine.ca });
    assert.equal((await through(s)).status, 303);
    put(other.file, foreign);
    s.pub[0].signal('SIGHUP');
    await s.pub[0].waitLogged({ msg: 'certificate reloaded' });
    assert.match(String(await post(s.pub[0].port, gateway)), /^E/);
    assert.equal(await post(s.pub[0].port, foreign), 200);
    s.gw[0].signal('SIGHUP');
    await s.gw[0].waitLogged({ msg: 'certificate reloaded' });
    await until('all workers have it, and no old connection is left', async () =>
        (await Promise.all(Array.from({ length: 8 }, () => through(s)))).every(({ status }) => status === 303));
});
