// A channel that Redis refuses to the gateway's user, or whose history can't be read, ends its own streams with a reason and nobody else's.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack, quiet, until } from './stack.mjs';
import { documentedUsers } from './redis.mjs';
import { openStream, request } from './sse.mjs';

const s = await Stack.start({ gateways: 2, publishers: 0, env: { RING_LEN: 1 } });
const acl = (...rules) => s.redis.command(['ACL', 'SETUSER', 'gateway', ...rules]);
// Only these channels and the gateway's own; and histories only of these.
await acl('resetchannels', '&sse:pub*', '&sse:!*');
const lost = async gw => (await gw.metric('sse_bus_lost_total')) ?? 0;
const lostBefore = await Promise.all(s.gw.map(lost));
for (const gw of s.gw)
    await gw.waitReady();

// Streams of these channels stay open and get what is published, all the while.
async function watched(channel, work) {
    const streams = await Promise.all(s.gw.map(gw => openStream(`${gw.url}/channels/${channel}`)));
    await s.redis.subscribed(channel, s.gw.length);
    await work();
    await s.redis.publish(channel, 'still here');
    for (const stream of streams) {
        assert.equal((await stream.next()).data, 'still here');
        stream.close();
    }
    for (const [i, gw] of s.gw.entries()) {
        assert.equal((await gw.ready()).status, 200);
        assert.equal(await lost(gw), lostBefore[i], 'the connection is kept');
    }
}

test('a forbidden channel is a 403 with a sentence, and every other stream goes on', () => watched('public', async () => {
    for (const gw of s.gw) {
        const answer = await request(`${gw.url}/channels/secret`);
        assert.equal(answer.status, 403);
        assert.match(JSON.parse(answer.body).error ?? answer.body, /may not subscribe to this channel/);
        await gw.waitLogged({ msg: 'channel refused', channel: 'secret', why: /subscribe/ });
        await gw.waitMetric('sse_channels', 1);
        assert.equal(await gw.metric('sse_stream_closes_total', { reason: 'refused' }), 1);
    }
}));

test('a stream of a forbidden channel and others is refused, and the others of the same moment are not', () => watched('public', async () => {
    const [gw] = s.gw;
    const names = Array.from({ length: 60 }, (_, i) => `pub/mixed/${i}`);
    const good = names.map(name => openStream(`${gw.url}/channels/${name}`));
    const bad = names.map(name => request(`${gw.url}/subscribe?channel=${name}&channel=secret/${name}`));
    for (const answer of await Promise.all(bad))
        assert.equal(answer.status, 403);
    const streams = await Promise.all(good);
    for (const [i, stream] of streams.entries()) {
        await s.redis.subscribed(names[i]);
        await s.redis.publish(names[i], 'x');
        assert.equal((await stream.next()).data, 'x');
        stream.close();
    }
}));

test('an open stream whose channel is withdrawn is closed, and refused when it reconnects', () => watched('public', async () => {
    await acl('&sse:lent*');
    const streams = await Promise.all(s.gw.map(gw => openStream(`${gw.url}/channels/lent`)));
    await s.redis.subscribed('lent', 2);
    const closes = await Promise.all(s.gw.map(gw => gw.metric('sse_stream_closes_total', { reason: 'refused' })));
    await acl('resetchannels', '&sse:pub*', '&sse:!*'); // Redis drops who has lost a channel; this once the connection goes for it
    for (const [i, stream] of streams.entries()) {
        await stream.closed;
        await s.gw[i].waitMetric('sse_stream_closes_total', closes[i] + 1, { labels: { reason: 'refused' } });
        assert.equal((await request(`${s.gw[i].url}/channels/lent`)).status, 403);
        lostBefore[i] = await lost(s.gw[i]);
    }
    await Promise.all(s.gw.map(gw => gw.waitReady()));
}));

test('a history that may not be read is a 403, one that is no stream a 503, and neither is asked for again and again', () => watched('public', async () => {
    await acl('resetkeys', '%R~{sse:public}:*', '%R~{sse:pub/*');
    await s.redis.command(['SET', '{sse:pub/list}:log', 'no stream']);
    for (const gw of s.gw) {
        const [forbidden, unusable] = [await request(`${gw.url}/channels/public2`), await request(`${gw.url}/channels/pub/list`)];
        assert.deepEqual([forbidden.status, unusable.status], [403, 503]);
        assert.match(forbidden.body, /may not read the history/);
        assert.match(unusable.body, /history .* can't be used/);
        assert.equal(unusable.headers['retry-after'], undefined, 'no retry mends it');
        await gw.waitMetric('sse_channels', 1);
    }
    const reads = await Promise.all(s.gw.map(gw => gw.metric('sse_history_reads_total')));
    await quiet(700);
    assert.deepEqual(await Promise.all(s.gw.map(gw => gw.metric('sse_history_reads_total'))), reads);
    await acl(...documentedUsers().gateway.filter(rule => rule.includes('~')));
}));

for (const events of [0, 3]) {
    test(`a history that becomes something else, of a channel with a stream and ${events} events, refuses clients that need it, for as long`, () => watched('public', async () => {
        const name = `pub/became/${events}`, log = `{sse:${name}}:log`;
        const streams = await Promise.all(s.gw.map(gw => openStream(`${gw.url}/channels/${name}`)));
        await s.redis.subscribed(name, 2);
        for (let i = 1; i <= events; ++i) {
            const payload = `\x1esse1 ${i}-0 ${i - 1}-0\nevent: message\ndata: ${i}\nid: own-${i}\nretry: 6000\n\n`;
            await s.redis.command(['XADD', log, `${i}-0`, 'm', payload]);
            await s.redis.publish(name, payload);
        }
        for (const stream of streams)
            await until('its place, or the last event', () => events === 0 ? stream.parser.lastEventId !== '' : stream.parser.lastEventId === `own-${events}`);
        await s.redis.command(['DEL', log]);
        await s.redis.command(['SET', log, 'no stream']);
        for (const [i, gw] of s.gw.entries()) {
            for (const query of ['last=3', 'last_event_id=nobody-s', `last_event_id=${streams[i].parser.lastEventId}`])
                await until(`${query} is refused`, async () => {
                    const stream = await openStream(`${gw.url}/channels/${name}?${query}`);
                    stream.close();
                    return stream.status === 503;
                });
            assert.equal(streams[i].ended, null);
        }
        await s.redis.publish(name, 'to who listens');
        for (const stream of streams) {
            await until('it comes', () => stream.parser.events.at(-1)?.data === 'to who listens');
            stream.close();
        }
        await s.redis.command(['DEL', log]);
        for (const gw of s.gw) {
            const stream = await openStream(`${gw.url}/channels/${name}?last=3`);
            assert.equal(stream.status, 200);
            stream.close();
        }
    }));
}

test('a withdrawn history refuses clients that need it, and open streams go on', () => watched('public', async () => {
    const streams = await Promise.all(s.gw.map(gw => openStream(`${gw.url}/channels/pub/kept`)));
    await s.redis.subscribed('pub/kept', 2);
    for (let i = 1; i <= 5; ++i) {
        const payload = `\x1esse1 ${i}-0 ${i - 1}-0\nevent: message\ndata: ${i}\nid: own-${i}\nretry: 6000\n\n`;
        await s.redis.command(['XADD', '{sse:pub/kept}:log', `${i}-0`, 'm', payload]);
        await s.redis.publish('pub/kept', payload);
    }
    for (const stream of streams)
        while ((await stream.next()).data !== '5');
    await acl('resetkeys', '%R~{sse:public}:*', '%R~{sse:!*');
    for (const [i, gw] of s.gw.entries()) {
        for (const query of ['?last=4', '?last_event_id=own-1']) {
            const answer = await request(`${gw.url}/channels/pub/kept${query}`);
            assert.equal(answer.status, 403, query);
            assert.match(answer.body, /may not read the history/);
        }
        assert.equal(streams[i].ended, null);
    }
    await s.redis.publish('pub/kept', 'to who listens');
    for (const stream of streams) {
        assert.equal((await stream.next()).data, 'to who listens');
        stream.close();
    }
    await acl(...documentedUsers().gateway.filter(rule => rule.includes('~')));
}));

test('a user who may not publish: not ready with the missing right', async () => {
    const [gw] = s.gw;
    await acl('-publish');
    await until('it says so', async () => /may not publish on the gateway's own channels \(needs \+publish/.test((await gw.ready()).body));
    await acl('+publish');
    await until('ready is said', () => gw.logged({ msg: /^(not )?ready$/ }).at(-1).msg === 'ready');
});

test('a user who may subscribe to nothing: not ready with the missing right, logged once, and streams wait', async () => {
    const [gw] = s.gw;
    const links = () => gw.logged({ msg: /^redis /, connection: /subscriber/ });
    const linksBefore = links().length;
    const said = () => gw.logged({ msg: /^(not )?ready$/ }).map(line => line.msg);
    const before = said().length;
    await acl('resetchannels');
    await until('not ready', async () => (await gw.ready()).status === 503);
    await until('it is said', () => said().length > before);
    await until('it has tried again', () => links().length >= linksBefore + 3);
    assert.match((await gw.ready()).body, /may not subscribe .* \(needs \+subscribe and &sse:!\*\)/);
    const tried = links().slice(linksBefore);
    if (tried[0].msg === 'redis lost') // unless it was lost a moment before, too
        tried.shift();
    for (const line of tried)
        assert.deepEqual([line.msg, line.why], ['redis unreachable', "the Redis user may not subscribe to the gateway's own channels (needs +subscribe and &sse:!*)"]);
    assert.deepEqual(said().slice(before), ['not ready']);
    const stream = await openStream(`${gw.url}/channels/public`);
    await acl('&sse:*');
    await gw.waitReady();
    await until('ready is said', () => said().length === before + 2);
    assert.deepEqual(said().slice(before), ['not ready', 'ready']);
    assert.equal(links().at(-1).msg, 'redis ready');
    await s.redis.subscribed('public');
    await s.redis.publish('public', 'at last');
    assert.equal((await stream.next()).data, 'at last');
    stream.close();
});
