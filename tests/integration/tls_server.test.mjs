// The gateway's TLS port as a stranger finds it, by `openssl s_client`: versions, ciphers, groups, renegotiation, ALPN, resumption, reload.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { ROOT, Server, Stack, tempFolder, until, within } from './stack.mjs';
import { Authority } from './authority.mjs';
import { openStream } from './sse.mjs';

const folder = tempFolder();
const ca = new Authority(folder);
const server = ca.issue('server', { names: ['DNS:localhost', 'IP:127.0.0.1'] });
const s = await Stack.start({ tls: true, publishers: 0, gatewayEnv: [{ TLS_CERT: server.cert, TLS_KEY: server.key, THREADS: 2 }] });
const [gw] = s.gw;
const REQUEST = 'GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n';

// What s_client prints for one connection that sends `input`, or '' for none, and whether the handshake was done.
function client(port, args, { input = 'Q\n', waitFor } = {}) {
    const child = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-CAfile', ca.file, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
    let text = '';
    child.stdin.on('error', () => {});
    const take = data => {
        text += data;
        if (waitFor?.test(text))
            child.stdin.end();
    };
    child.stdout.setEncoding('utf8').on('data', take);
    child.stderr.setEncoding('utf8').on('data', take);
    child.stdin.write(input);
    if (waitFor === undefined)
        child.stdin.end();
    return within(`s_client ${args.join(' ')}`, new Promise(resolve => child.on('close', () => {
        const [, cipher] = /Cipher is (\S+)/.exec(text) ?? [];
        resolve({ text, done: cipher !== undefined && cipher !== '(NONE)', cipher, reused: /^Reused, /m.test(text), good: /Verify return code: 0 \(ok\)/.test(text) });
    })), 20000);
}

const connect = (...args) => client(gw.ports.public, args);
const WEAK = ['-cipher', 'ALL:COMPLEMENTOFALL:@SECLEVEL=0'];

for (const [version, want] of [['-tls1', false], ['-tls1_1', false], ['-tls1_2', true], ['-tls1_3', true]])
    test(`${version} is ${want ? 'spoken' : 'refused'}`, async () => {
        const { done, good, text } = await connect(version, ...(want ? [] : WEAK));
        assert.equal(done, want, text);
        assert.ok(!want || good, 'the whole chain verifies');
    });

test('TLS 1.2: of all ciphers that OpenSSL knows exactly those with forward secrecy and authenticated encryption', async () => {
    const all = execFileSync('openssl', ['ciphers', '-tls1_2', 'ALL:COMPLEMENTOFALL:@SECLEVEL=0'], { encoding: 'utf8' }).trim().split(':').filter(name => !name.startsWith('TLS_'));
    assert.ok(all.length > 50);
    const taken = [];
    for (let i = 0; i < all.length; i += 4)
        taken.push(...await Promise.all(all.slice(i, i + 4).map(async name => {
            const { done, cipher } = await connect('-tls1_2', '-cipher', `${name}:@SECLEVEL=0`);
            return done ? cipher : null;
        })));
    assert.deepEqual(taken.filter(name => name !== null).sort(), ['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-ECDSA-CHACHA20-POLY1305']);
});

test('TLS 1.3: its three ciphers, and a client that wants ChaCha20 first gets it', async () => {
    for (const name of ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'])
        assert.equal((await connect('-tls1_3', '-ciphersuites', name)).cipher, name);
    assert.equal((await connect('-tls1_3', '-ciphersuites', 'TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384')).cipher, 'TLS_CHACHA20_POLY1305_SHA256');
    for (const name of ['TLS_AES_128_CCM_SHA256', 'TLS_AES_128_CCM_8_SHA256'])
        assert.equal((await connect('-tls1_3', '-ciphersuites', name)).done, false, name);
});

test('key exchange: X25519, P-256 and P-384, and no other', async () => {
    for (const group of ['X25519', 'P-256', 'P-384'])
        assert.ok((await connect('-groups', group)).done, group);
    for (const group of ['P-521', 'X448', 'ffdhe2048'])
        assert.equal((await connect('-groups', group)).done, false, group);
});

test('no compression; renegotiation is announced as safe, and a client that asks for it is cut off', async () => {
    const { text } = await client(gw.ports.public, ['-tls1_2'], { input: 'R\n', waitFor: /RENEGOTIATING[^]*(verify return|error)/ });
    assert.match(text, /Secure Renegotiation IS supported/);
    assert.match(text, /Compression: NONE/);
    assert.match(text, /RENEGOTIATING\n[^]*error:/);
    assert.doesNotMatch(text, /RENEGOTIATING\n[^]*verify return/);
});

test('ALPN: HTTP/2 first, HTTP/1.1, neither', async () => {
    for (const [offer, want] of [['http/1.1,h2', 'h2'], ['http/1.1', 'http/1.1']])
        assert.match((await connect('-alpn', offer)).text, new RegExp(`^ALPN protocol: ${want}$`, 'm'));
    assert.match((await connect()).text, /No ALPN negotiated/);
    assert.match((await connect('-alpn', 'gopher')).text, /No ALPN negotiated/);
});

// ---- resumption ----

const keyFile = (name, ...keys) => {
    const path = join(folder, name);
    writeFileSync(path, keys.join('\n'), { mode: 0o600 });
    return path;
};
const newKey = () => execFileSync('openssl', ['rand', '-base64', '80'], { encoding: 'utf8' });

async function another(name, env) {
    const gateway = new Server('sse-gateway', name, { ...gw.env, PORT: '0', ADMIN_PORT: '0', HTTP_PORT: '0', ...env }, { public: 'PORT', admin: 'ADMIN_PORT', plain: 'HTTP_PORT' });
    s.gw.push(gateway);
    await gateway.start();
    return gateway;
}

// A session of this version made at `from`, in a file.
async function session(from, version) {
    const path = join(folder, `session-${randomBytes(4).toString('hex')}`);
    const { done } = await client(from.ports.public, [version, '-ign_eof', '-sess_out', path], { input: REQUEST });
    assert.ok(done && existsSync(path));
    return path;
}

const resumes = async (at, version, path) => (await client(at.ports.public, [version, '-ign_eof', '-sess_in', path], { input: REQUEST })).reused;

for (const version of ['-tls1_2', '-tls1_3']) {
    test(`${version}: a session is resumed at every gateway with the same ticket keys, and at no other`, async () => {
        const shared = keyFile('shared', newKey());
        const [a, b, c] = [await another('gateway a', { TLS_TICKET_KEYS_FILE: shared }), await another('gateway b', { TLS_TICKET_KEYS_FILE: shared }),
            await another('gateway c', { TLS_TICKET_KEYS_FILE: keyFile('own', newKey()) })];
        const path = await session(a, version);
        assert.ok(await resumes(a, version, path));
        assert.ok(await resumes(b, version, await session(a, version)));
        assert.equal(await resumes(c, version, await session(a, version)), false);
        assert.equal(await resumes(gw, version, await session(a, version)), false);
        await Promise.all([a, b, c].map(gateway => gateway.kill()));
    });

    test(`${version}: keys are rotated with SIGHUP: the second key still opens, one that is gone does not`, async () => {
        const [first, second] = [newKey(), newKey()];
        const path = keyFile('rotating', '# the first seals', '-----BEGIN TICKET KEY-----', first.replace(/\n/g, '\r\n'), '-----END TICKET KEY-----', '');
        const a = await another('gateway r', { TLS_TICKET_KEYS_FILE: path });
        const reload = async (...keys) => {
            const before = a.logged({ msg: 'certificate reloaded' }).length;
            keyFile('rotating', ...keys);
            a.signal('SIGHUP');
            await until('reloaded', () => a.logged({ msg: 'certificate reloaded' }).length > before);
            await until('by all workers', async () => (await client(a.ports.public, [version])).done);
        };
        const old = await session(a, version);
        await reload(second, first);
        assert.ok(await resumes(a, version, old));
        const fresh = await session(a, version);
        await reload(second);
        assert.equal(await resumes(a, version, old), false);
        assert.ok(await resumes(a, version, fresh));
        await a.kill();
    });

    test(`${version}: without a key file a process resumes its own sessions, also after a reload`, async () => {
        const path = await session(gw, version);
        assert.ok(await resumes(gw, version, path));
        gw.signal('SIGHUP');
        await until('reloaded', () => gw.logged({ msg: 'certificate reloaded' }).length > 0);
        assert.ok(await resumes(gw, version, path));
    });
}

test('a key file that can\'t be used stops the start with a sentence that holds nothing of it, and changes nothing on SIGHUP', async () => {
    const key = newKey().trim();
    const rows = [['', /it contains no key/], [key.slice(0, 60), /not 80 bytes/], [`${key}\n${key}`, /twice/], [`${key}\nAAAA`, /not 80 bytes/], [key.replace(/.$/, 'A'), /not 80 bytes/],
        [key.replace(/^./, '*'), /not 80 bytes/], [Array.from({ length: 17 }, newKey).join(''), /more than 16/], ['#'.repeat(20000), /longer/]];
    for (const [text, why] of rows) {
        const path = keyFile('broken', text);
        const { code, err } = await new Promise(resolve => execFile(gw.argv[0], [], { env: { ...gw.env, PORT: '0', ADMIN_PORT: '0', HTTP_PORT: '0', TLS_TICKET_KEYS_FILE: path } },
            (error, stdout, stderr) => resolve({ code: error?.code, err: stderr })));
        assert.equal(code, 1);
        assert.match(err, /msg="cannot start" why="TLS_TICKET_KEYS_FILE: .*broken: /m);
        assert.match(err, why);
        assert.ok(!err.includes(key.slice(0, 20)));
    }
    const path = keyFile('good', key);
    const a = await another('gateway k', { TLS_TICKET_KEYS_FILE: path });
    const old = await session(a, '-tls1_3');
    keyFile('good', 'nonsense');
    a.signal('SIGHUP');
    await a.waitLogged({ level: 'error', msg: 'certificate not reloaded', why: /TLS_TICKET_KEYS_FILE/ });
    assert.ok(await resumes(a, '-tls1_3', old));
    rmSync(path);
    await a.kill();
});

test('a resumed session carries a stream', async () => {
    const options = { host: '127.0.0.1', port: gw.ports.public, rejectUnauthorized: false };
    const first = tls.connect(options);
    const ticket = new Promise(resolve => first.on('session', resolve));
    first.write(REQUEST);
    const second = tls.connect({ ...options, session: await within('a ticket', ticket) });
    await new Promise((done, fail) => second.on('secureConnect', done).on('error', fail));
    assert.ok(second.isSessionReused());
    let text = '';
    second.on('data', data => (text += data));
    second.write('GET /channels/resumed HTTP/1.1\r\nhost: x\r\n\r\n');
    await s.redis.subscribed('resumed', 1);
    await s.redis.publish('resumed', 'here');
    await until('the event', () => text.includes('data: here\n'));
    first.destroy();
    second.destroy();
});

function subject(socket) {
    return within('the handshake', new Promise((done, fail) => socket.on('error', fail).on('secureConnect', () => {
        done(socket.getPeerCertificate().subject.CN);
        socket.destroy();
    })));
}

async function renew(name) {
    const next = ca.issue(name, { names: ['DNS:localhost', 'IP:127.0.0.1'] });
    copyFileSync(next.cert, server.cert);
    copyFileSync(next.key, server.key);
    gw.signal('SIGHUP');
    const fresh = () => subject(tls.connect({ host: '127.0.0.1', port: gw.ports.public, rejectUnauthorized: false }));
    await until('all workers have the new certificate', async () => (await Promise.all(Array.from({ length: 8 }, fresh))).every(seen => seen === name));
}

// libh2o keeps the context that a connection was accepted with, and uses it when the first bytes come. The stream is older, so that nothing but the slot holds that context.
test('a connection that is silent over several reloads can still make its handshake, and streams go on', async () => {
    const stream = await openStream(`${gw.httpsUrl}/channels/reload`);
    await s.redis.subscribed('reload', 1);
    await renew('first');
    const sockets = await Promise.all(Array.from({ length: 8 }, () => new Promise(resolve => {
        const socket = net.connect(gw.ports.public, '127.0.0.1', () => resolve(socket));
    })));
    await gw.waitMetric('sse_connections', n => n >= 9);
    for (const name of ['second', 'third', 'fourth'])
        await renew(name);
    for (const socket of sockets)
        assert.equal(await subject(tls.connect({ socket, rejectUnauthorized: false })), 'first', 'it was accepted with that one');
    await s.redis.publish('reload', 'still here');
    assert.equal((await stream.next()).data, 'still here');
    stream.close();
});

test('a client of TLS 1.3 that changes keys without end is closed; one that does so now and then is not', async () => {
    const program = join(folder, 'key_updates');
    execFileSync('cc', ['-o', program, join(ROOT, 'tests/integration/key_updates.c'), '-lssl', '-lcrypto']);
    const changes = count => execFileSync(program, [gw.ports.public, count], { encoding: 'utf8', timeout: 20000 }).trim();
    assert.equal(changes(50), '50 HTTP/1.1 404 Not Found');
    assert.doesNotMatch(changes(5000), /HTTP/);
    await until('the log says so', () => gw.logged({ msg: /updates keys too often/ }).length >= 1);
    assert.equal(changes(50), '50 HTTP/1.1 404 Not Found');
});
