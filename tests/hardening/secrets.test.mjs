// Keys and passwords come from files, and are seen nowhere else: not in the command line, the environment, the log at any level, the metrics, --print-config, /readyz.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Stack, binary, certificate, freePort, tempFolder, until } from '../integration/stack.mjs';
import { request } from '../integration/sse.mjs';

const folder = tempFolder();
const PASSWORD = 'correct-h0rse-Battery';
const keys = execFileSync('openssl', ['rand', '-base64', '80'], { encoding: 'utf8' });
const { cert, key } = certificate(folder);
const write = (name, text) => {
    const path = join(folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
};
const tickets = write('tickets', keys);
const pieces = [PASSWORD, encodeURIComponent(PASSWORD), keys.slice(0, 24), ...readFileSync(key, 'utf8').split('\n').filter(line => line.length > 30 && !line.startsWith('-'))];

function assertHidden(what, text) {
    for (const piece of pieces)
        assert.ok(!text.includes(piece), `${what} holds ${piece}`);
}

test('REDIS_URL_FILE, TLS_KEY and TLS_TICKET_KEYS_FILE: their contents appear nowhere, whether all works or not', async () => {
    const port = await freePort();
    const urls = Object.fromEntries(['gateway', 'publisher'].map(user => [user, write(`${user}.url`, `redis://${user}:${PASSWORD}@127.0.0.1:${port}\n`)]));
    const env = { LOG_LEVEL: 'debug', TLS_CERT: cert, TLS_KEY: key, TLS_TICKET_KEYS_FILE: tickets };
    // an empty one counts as not set, so that only the file is left
    const s = await Stack.start({ publishers: 0, gateways: 0, redis: { requirepass: PASSWORD, port, bind: '127.0.0.1' } });
    const { Server } = await import('../integration/stack.mjs');
    const programs = ['gateway', 'publisher'].map(user => new Server(`sse-${user}`, user, { PORT: '0', ADMIN_PORT: '0', HOST: '127.0.0.1', REDIS_URL_FILE: urls[user], ...env },
        { public: 'PORT', admin: 'ADMIN_PORT' }));
    s.gw.push(...programs);
    await Promise.all(programs.map(program => program.start()));
    const look = async when => {
        for (const program of programs) {
            for (const file of ['cmdline', 'environ', 'status'])
                assertHidden(`${program.name}, ${when}: /proc/PID/${file}`, readFileSync(`/proc/${program.pid}/${file}`, 'latin1'));
            for (const path of ['metrics', 'readyz', 'healthz'])
                assertHidden(`${program.name}, ${when}: /${path}`, (await request(`${program.adminUrl}/${path}`)).body);
            assertHidden(`${program.name}, ${when}: the log`, program.log);
        }
    };
    await look('ready');
    for (const user of ['gateway', 'publisher'])
        await s.redis.command(['ACL', 'SETUSER', user, 'resetpass', '>another']);
    await s.redis.command(['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes']);
    await s.redis.command(['CLIENT', 'KILL', 'TYPE', 'pubsub']);
    for (const program of programs)
        await until('the password is refused', async () => /password/.test((await program.ready()).body));
    await look('refused');
    writeFileSync(tickets, keys.slice(0, 50));
    for (const program of programs) {
        program.signal('SIGHUP');
        await program.waitLogged({ msg: 'certificate not reloaded' });
    }
    await look('after a reload of broken files');
    writeFileSync(tickets, keys);
});

test('--print-config and a start that fails show no secret', () => {
    for (const program of ['sse-gateway', 'sse-publisher']) {
        const run = (args, env) => {
            try {
                return execFileSync(binary(program), args, { env, encoding: 'utf8', stdio: 'pipe' });
            } catch (error) {
                return error.stdout + error.stderr;
            }
        };
        const env = { REDIS_URL: `rediss://me:${PASSWORD}@h:1/0`, TLS_CERT: cert, TLS_KEY: key, TLS_TICKET_KEYS_FILE: tickets };
        assertHidden('--print-config', run(['--print-config'], env));
        assertHidden('--print-config', run(['--print-config'], { ...env, REDIS_URL: '', REDIS_URL_FILE: write('url', `unix://me:${PASSWORD}@/x`) }));
        assertHidden('a refused start', run([], { ...env, REDIS_URL: `rediss://me:${PASSWORD}@h:1/x` }));
        assertHidden('a refused start', run([], { ...env, TLS_KEY: tickets }));
        assertHidden('a refused start', run([], { ...env, TLS_TICKET_KEYS_FILE: key }));
    }
});
