// SIGHUP reads REDIS_URL_FILE anew, so that Redis's passwords can change without a restart.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Stack, tempFolder, until } from './stack.mjs';
import { openStream } from './sse.mjs';

const s = await Stack.start({});
const folder = tempFolder();
const servers = [['gateway', s.gw[0]], ['publisher', s.pub[0]]];
const file = user => join(folder, `${user}.url`);
const write = (user, password, place = `@${s.redis.socket}`) => writeFileSync(file(user), `unix://${user}:${password}${place}\n`, { mode: 0o600 });
for (const [user, server] of servers) {
    write(user, s.redis.userPassword);
    await server.kill();
    delete server.env.REDIS_URL;
    server.env.REDIS_URL_FILE = file(user);
    await server.start();
}
const reloads = (server, outcome) => server.metric('sse_reloads_total', { what: 'redis login', outcome });

test('a new password in the file is used after SIGHUP, and streams stay open', async () => {
    const stream = await openStream(`${s.gw[0].url}/channels/login`);
    for (const [user, server] of servers) {
        await s.redis.command(['ACL', 'SETUSER', user, 'resetpass', '>next-Pa55']);
        write(user, 'next-Pa55');
        server.signal('SIGHUP');
        await until(`${user} has read it`, async () => await reloads(server, 'done') === 1);
        await server.waitLogged({ msg: 'redis login reloaded' });
    }
    await s.redis.command(['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes']);
    await s.redis.command(['CLIENT', 'KILL', 'TYPE', 'pubsub']);
    for (const [, server] of servers)
        await until('it is connected again', async () => server.logged({ msg: 'redis lost' }).length > 0 && (await server.ready()).status === 200);
    await s.post('login', 'with the new password');
    assert.equal((await stream.next()).data, 'with the new password');
    stream.close();
    for (const [, server] of servers)
        assert.doesNotMatch(server.log, /Pa55|password was refused/);
});

test('a broken file, and one that names another Redis, change nothing and are logged', async () => {
    const rows = [['x', '/s@no', /REDIS_URL: /], ['x', '@/tmp/other.sock', /only user and password may change/]];
    for (const [i, [password, place, why]] of rows.entries())
        for (const [user, server] of servers) {
            write(user, password, place);
            server.signal('SIGHUP');
            await until(`${user} has refused it`, async () => await reloads(server, 'failed') === i + 1);
            assert.match(server.logged({ msg: 'redis login not reloaded' }).at(-1).why, why);
        }
    await s.redis.command(['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes']);
    for (const [, server] of servers)
        await until('the password from before still counts', async () => (await server.ready()).status === 200);
    await s.post('login', 'x');
});
