// Settings: a bad one ends the start in one sentence that names it, the lists agree with each other and with deploy/settings.md, no secret shows.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, SCALE, Stack, binary, certificate, freePort, tempFolder } from './stack.mjs';
import { parseLine } from './process.mjs';
import { createServer } from 'node:net';

const folder = tempFolder();
const { cert, key } = certificate(folder);

// {code, out, err} of a run that is expected to end by itself.
function run(program, args = [], env = {}) {
    return new Promise(resolve => {
        execFile(binary(program), args, { env: { PATH: process.env.PATH, ...env }, timeout: 5000 * SCALE }, (error, out, err) =>
            resolve({ code: error ? error.code ?? error.signal : 0, out, err }));
    });
}

const other = join(folder, 'other.pem');
writeFileSync(other, 'not a certificate');
const BOTH = [
    ['PORT', 'abc'], ['PORT', '70000'], ['PORT', '-2'], ['PORT', '40 43'], ['PORT', '4043x'], ['PORT', '99999999999999999999'], ['ADMIN_PORT', '65536'],
    ['REDIS_URL', 'http://localhost'], ['REDIS_URL', 'localhost:6379'], ['REDIS_URL', 'redis://h:99999'], ['REDIS_URL', 'unix://'],
    ['RETRY_MS', '-1'], ['RETRY_MS', '6s'], ['RETRY_MS', '3600001'], ['LOG_LEVEL', 'loud'], ['SECCOMP', 'maybe'], ['CORE_DUMPS', 'some'],
    ['TLS_CERT', cert, {}], ['TLS_KEY', key, {}],
    ['TLS_CERT', '/no/such/file.pem', { TLS_KEY: key }], ['TLS_CERT', other, { TLS_KEY: key }], ['TLS_KEY', other, { TLS_CERT: cert }],
    ['TLS_TICKET_KEYS_FILE', other, {}], ['TLS_TICKET_KEYS_FILE', other, { TLS_CERT: cert, TLS_KEY: key }],
    ['REDIS_CA', cert, {}], ['REDIS_CERT', cert, {}], ['REDIS_CERT', cert, { REDIS_KEY: key }], ['REDIS_CA', other, { REDIS_URL: 'rediss://localhost' }],
    ['REDIS_CERT', cert, { REDIS_URL: 'rediss://localhost' }], ['REDIS_KEY', other, { REDIS_CERT: cert, REDIS_URL: 'rediss://localhost' }],
];
const noKey = [['POLICY_FILE', '/no/such/file'], ['JWT_ISSUER', 'x'], ['JWT_QUERY', 'on']];
BOTH.push(['STATUS_MS', '50'], ['PROXY_PROTOCOL', 'on'], ['REDIS_KEY', key, { REDIS_URL: 'rediss://localhost' }], ['REDIS_CA', '/no/such/file', { REDIS_URL: 'rediss://localhost' }],
    ['TLS_TICKET_KEYS_FILE', '/no/such/file', { TLS_CERT: cert, TLS_KEY: key }], ['JWT_KEY_FILE', '/no/such/file'], ['DEMO', 'maybe'], ['CORS_ORIGINS', 'none,http://a.example'], ...noKey);
const GATEWAY = [
    ['HTTP_PORT', 'x'], ['THREADS', '-1'], ['THREADS', 'many'], ['KEEPALIVE_MS', '0'], ['KEEPALIVE_MS', '1.5'], ['SSE_KEEP_ALIVE_IN_MS', 'x'],
    ['FORCE_SSL', 'maybe'], ['HTTP2_CLEARTEXT', '2'], ['RING_LEN', '-5'], ['MAX_CONNECTIONS', '-1'],
    ['TRUSTED_PROXIES', '10.0.0.0/33'], ['TRUSTED_PROXIES', 'not an address'], ['TRUSTED_PROXIES', '::1/129'],
    ['CORS_ORIGINS', 'localhost:3000'], ['CORS_ORIGINS', 'http://a.example/path'], ['CORS_ORIGINS', '*,http://a.example'],
    ['PUBLISHER_URL', 'ftp://x'], ['PUBLISHER_URL', 'nonsense'],
    ['PUBLISHER_CA', other, {}], ['PUBLISHER_CERT', cert, {}], ['PUBLISHER_CA', other, { PUBLISHER_URL: 'https://localhost' }],
    ['PUBLISHER_KEY', other, { PUBLISHER_CERT: cert, PUBLISHER_URL: 'https://localhost' }], ['PUBLISHER_CERT', cert, { PUBLISHER_KEY: key }], ['PUBLISHER_KEY', key],
    ['PUBLISHER_CA', '/no/such/file', { PUBLISHER_URL: 'https://localhost' }], ['SUBSCRIBE_WEIGHTS', 'primary=0,replica=1'],
];
const PUBLISHER = [
    ['BODY_LIMIT', '0'], ['BODY_LIMIT', '1M'], ['HISTORY_LEN', '-1'], ['HISTORY_TTL', 'x'],
    ['TLS_CLIENT_CA', cert, {}], ['TLS_CLIENT_CA', other, { TLS_CERT: cert, TLS_KEY: key }],
    ['TICKERS', 'letters'], ['TICKERS', 'nope:1000'], ['TICKERS', 'letters:-1'], ['TICKERS', 'letters:x'],
];

// [setting that is wrong, its value, the others, the setting it meets]: no two listeners of a program may want one port of one address.
BOTH.push(
    ['ADMIN_PORT', '5123', { PORT: '5123' }, 'PORT'], ['ADMIN_PORT', '4043', { PORT: '4043', HOST: '127.0.0.1', ADMIN_HOST: 'localhost' }, 'PORT'],
    ['ADMIN_PORT', '5123', { PORT: '5123', HOST: '127.0.0.1', ADMIN_HOST: '::' }, 'PORT']);
GATEWAY.push(['HTTP_PORT', '4043', {}, 'PORT'], ['HTTP_PORT', '5123', { PORT: '5123', HOST: 'localhost' }, 'PORT'], ['HTTP_PORT', '9043', {}, 'ADMIN_PORT'],
    ['HTTP_PORT', '5123', { ADMIN_PORT: '5123', HOST: '0.0.0.0' }, 'ADMIN_PORT']);

for (const [program, cases] of [['sse-gateway', [...BOTH, ...GATEWAY]], ['sse-publisher', [...BOTH, ...PUBLISHER]]])
    test(`${program}: a bad setting ends the start in one sentence that names it`, async () => {
        for (const [name, value, more, other] of cases) {
            const { code, out, err } = await run(program, [], { [name]: value, ...more });
            assert.equal(code, 1, `${name}=${value}: ${code} ${err}`);
            assert.ok(other === undefined || parseLine(err.trimEnd()).why === `${name}: must not be ${value}, which is the port of ${other}`, err);
            assert.equal(out, '');
            const checked = await run(program, ['--check-config'], { [name]: value, ...more });
            assert.deepEqual([checked.code, checked.out], [1, ''], `--check-config takes ${name}=${value}`);
            assert.equal(checked.err, `${program}: ${parseLine(err.trimEnd()).why}\n`, '--check-config says the same');
            const said = err.trimEnd().split('\n');
            assert.equal(said.length, 1, `${name}=${value}: ${err}`);
            assert.ok(said[0].startsWith('time=') && (said[0].includes(name) || said[0].includes(value)), `${name}=${value}: ${err}`);
        }
    });

for (const program of ['sse-gateway', 'sse-publisher']) {
    test(`${program}: equal ports at different addresses, or any free port, are no fault`, async () => {
        for (const env of [{ PORT: '5123', ADMIN_PORT: '5123', HOST: '127.0.0.2', ADMIN_HOST: '127.0.0.1' }, { PORT: '5123', ADMIN_PORT: '5123', HOST: '0.0.0.0', ADMIN_HOST: '::1' },
            { PORT: '0', ADMIN_PORT: '0', HTTP_PORT: '0' }, { HTTP_PORT: '-1' }])
            assert.deepEqual(await run(program, ['--check-config'], env), { code: 0, out: '', err: '' }, JSON.stringify(env));
    });

    test(`${program}: a fault in REDIS_URL is named without the password in it`, async () => {
        const { code, err } = await run(program, [], { REDIS_URL: 'redis://u:s3cretPa55@host:99999' });
        assert.equal(code, 1);
        assert.doesNotMatch(err, /s3cretPa55/);
    });

    test(`${program}: a port in use is reported, with its number`, async () => {
        const server = createServer();
        await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
        const { port } = server.address();
        const { code, err } = await run(program, [], { HOST: '127.0.0.1', PORT: port, ADMIN_PORT: 0, REDIS_URL: `unix://${folder}/none` });
        server.close();
        assert.equal(code, 1);
        assert.match(err, new RegExp(`\\b${port}\\b.*in use`));
    });

    test(`${program}: an unknown argument is refused`, async () => {
        const { code, err } = await run(program, ['--nonsense']);
        assert.equal(code, 1);
        assert.match(err, /--nonsense/);
    });

    test(`${program}: --help, --print-config and --print-settings list the same settings`, async () => {
        const [help, config, settings] = await Promise.all(['--help', '--print-config', '--print-settings'].map(arg => run(program, [arg])));
        assert.deepEqual([help.code, config.code, settings.code], [0, 0, 0]);
        const inConfig = [...config.out.matchAll(/^([A-Z][A-Z0-9_]+)=/gm)].map(([, name]) => name);
        assert.ok(inConfig.length >= 9, config.out);
        const rows = settings.out.split('\n').filter(line => line.startsWith('| `')).map(line => /`([A-Z0-9_]+)`/.exec(line)[1]);
        assert.deepEqual(rows, inConfig);
        for (const name of inConfig)
            assert.match(help.out, new RegExp(`^ *${name}\\b`, 'm'));
        assert.match(help.out, /--print-config/);
    });

    test(`${program}: the table in deploy/settings.md is what --print-settings prints`, async () => {
        const file = 'deploy/settings.md', readme = readFileSync(join(ROOT, file), 'utf8');
        const mark = `<!-- settings:${program.replace('sse-', '')} -->`;
        const table = readme.split(mark)[1]?.split('<!-- /settings -->')[0];
        assert.ok(table, `${file} has no ${mark} … <!-- /settings -->`);
        assert.equal(table.trim(), (await run(program, ['--print-settings'])).out.trim());
    });

    test(`${program}: --print-config shows values in force and masks secrets`, async () => {
        const { out, code } = await run(program, ['--print-config'], { PORT: '1234', RETRY_MS: '', REDIS_URL: 'redis://user:s3cretPa55@redis.example:6380/2', REDIS_PREFIX: 'app:' });
        assert.equal(code, 0);
        assert.match(out, /^PORT=1234$/m);
        assert.match(out, program === 'sse-gateway' ? /^RETRY_MS=6000$/m : /^RETRY_MS=none$/m, 'an empty variable counts as unset');
        assert.match(out, /^REDIS_URL=.*redis\.example:6380/m);
        assert.doesNotMatch(out, /s3cret/);
    });

    test(`${program}: --check-config and --version`, async () => {
        assert.equal((await run(program, ['--check-config'])).code, 0);
        assert.equal((await run(program, ['--check-config'], { PORT: 'x' })).code, 1);
        assert.match((await run(program, ['--version'])).out, /\d+\.\d+\.\d+/);
    });
}

test('SSE_KEEP_ALIVE_IN_MS is KEEPALIVE_MS by another name, and the two may not disagree', async () => {
    assert.match((await run('sse-gateway', ['--print-config'], { SSE_KEEP_ALIVE_IN_MS: '777' })).out, /^KEEPALIVE_MS=777$/m);
    assert.equal((await run('sse-gateway', ['--check-config'], { SSE_KEEP_ALIVE_IN_MS: '777', KEEPALIVE_MS: '777' })).code, 0);
    const { code, err } = await run('sse-gateway', ['--check-config'], { SSE_KEEP_ALIVE_IN_MS: '777', KEEPALIVE_MS: '778' });
    assert.equal(code, 1);
    assert.match(err, /KEEPALIVE_MS.*SSE_KEEP_ALIVE_IN_MS|SSE_KEEP_ALIVE_IN_MS.*KEEPALIVE_MS/);
});

test('no secret reaches the log, at any level, with the bus up and down', async () => {
    const s = await Stack.start({ redis: { requirepass: 's3cretPa55' }, env: { LOG_LEVEL: 'debug' } });
    await s.redis.kill();
    for (const server of [...s.gw, ...s.pub]) {
        await server.wait('the bus is missed', async () => (await server.ready()).status === 503);
        assert.doesNotMatch(server.log, /s3cretPa55/);
        assert.doesNotMatch((await server.ready()).body, /s3cretPa55/);
    }
});

test('LOG_LEVEL=error keeps the rest out', async () => {
    const port = await freePort();
    const s = await Stack.start({ publishers: 0, gateways: 0 });
    const { spawn } = await import('node:child_process');
    const child = spawn(binary('sse-gateway'), { env: { PORT: port, ADMIN_PORT: 0, HOST: '127.0.0.1', REDIS_URL: s.redis.urlFor('gateway'), LOG_LEVEL: 'error' } });
    let said = '';
    child.stderr.on('data', data => (said += data));
    const { until } = await import('./stack.mjs');
    await until('it answers', () => fetch(`http://127.0.0.1:${port}/nope`).then(() => true, () => false));
    child.kill('SIGTERM');
    await new Promise(resolve => child.on('exit', resolve));
    assert.equal(said, '');
});
