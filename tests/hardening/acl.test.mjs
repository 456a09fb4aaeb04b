// The Redis users that proto/README.md tells people to make. Every test runs the programs as them, so the rules are enough; here is that they are no more than that.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { RespClient, documentedUsers } from '../integration/redis.mjs';
import { Stack } from '../integration/stack.mjs';
import { openStream } from '../integration/sse.mjs';

const s = await Stack.start({});

test('every connection of the programs is one of their user', async () => {
    const stream = await openStream(`${s.gw[0].url}/channels/acl`);
    await s.redis.subscribed('acl');
    const users = [...(await s.redis.command(['CLIENT', 'LIST'])).matchAll(/ name=(\S*) .* user=(\S+)/gm)].map(([, name, user]) => `${name} ${user}`);
    assert.deepEqual(users.filter(text => text.startsWith('sse-')).sort(), ['sse-gateway:commands publisher', 'sse-gateway:sse-gateway:commands gateway', 'sse-gateway:sse-gateway:subscriber gateway']);
    stream.close();
});

const DENIED = {
    gateway: [['XADD', '{sse:acl}:log', '*', 'm', 'x'], ['SET', '{sse:acl}:log', 'x'], ['DEL', '{sse:acl}:log'], ['FCALL', 'sse_publish', '1', 'sse:acl', 'x'], ['GET', 'other'],
        ['XRANGE', 'other', '-', '+'], ['PUBLISH', 'other', 'x'], ['SUBSCRIBE', 'other'], ['PSUBSCRIBE', '*'], ['KEYS', '*'], ['CONFIG', 'GET', '*'], ['FLUSHALL'], ['ACL', 'LIST'],
        ['CLIENT', 'LIST'], ['EVAL', 'return 1', '0'], ['FUNCTION', 'LIST'], ['SHUTDOWN'], ['MONITOR'], ['REPLICAOF', 'NO', 'ONE']],
    publisher: [['DEL', '{sse:acl}:log'], ['SET', 'other', 'x'], ['XADD', 'other', '*', 'm', 'x'], ['FCALL', 'sse_publish', '1', 'other', 'x'], ['PUBLISH', 'other', 'x'],
        ['SUBSCRIBE', 'sse:acl'], ['KEYS', '*'], ['CONFIG', 'GET', '*'], ['FLUSHALL'], ['FUNCTION', 'FLUSH'], ['FUNCTION', 'DELETE', 'sse'], ['ACL', 'LIST'], ['EVAL', 'return 1', '0'],
        ['SHUTDOWN'], ['MONITOR']],
    author: [['FUNCTION', 'LOAD', 'REPLACE', 'x'], ['DEL', '{sse:acl}:log'], ['PUBLISH', 'other', 'x'], ['SUBSCRIBE', 'sse:acl'], ['CONFIG', 'GET', '*']],
};
for (const [user, commands] of Object.entries(DENIED))
    test(`${user} may not do what it does not need`, async () => {
        for (const command of commands) {
            const client = new RespClient(s.redis.socket);
            await client.command(['AUTH', user, s.redis.userPassword]);
            await assert.rejects(client.command(command), /^Error: (NOPERM|ERR sse_publish:)/, command.join(' '));
            client.close();
        }
    });

test('author may publish with the function, and needs each of its rules', async () => {
    const publish = async () => {
        const client = new RespClient(s.redis.socket);
        await client.command(['AUTH', 'author', s.redis.userPassword]);
        try {
            return (await client.command(['FCALL', 'sse_publish', '1', 'sse:author', 'x', 'id', String(Math.random()), 'changed', '0']))[2];
        } finally {
            client.close();
        }
    };
    assert.equal(await publish(), 'published');
    for (const rule of documentedUsers().author.filter(text => text.startsWith('+fcall') || text.startsWith('+xadd') || text.startsWith('+publish'))) {
        await s.redis.command(['ACL', 'SETUSER', 'author', rule.replace('+', '-')]);
        await assert.rejects(publish(), /NOPERM/, rule);
        await s.redis.command(['ACL', 'SETUSER', 'author', rule]);
    }
    assert.equal(await publish(), 'published');
});
