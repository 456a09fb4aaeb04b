// Ids outside visible ASCII: a client comes back with them as UTF-8 or Latin-1 in the header, or percent-encoded in the address. Our own readers are tried with each form.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack, until } from './stack.mjs';
import { H2, openStream, request } from './sse.mjs';
import { run } from './cli.mjs';
import { IDS } from './ids.mjs';
import { Source } from '../../gateway/page/source.js';

// The second gateway keeps next to nothing in memory, so that it looks ids up in Redis.
const s = await Stack.start({ gateways: 2, tls: true, env: { RETRY_MS: 100 }, gatewayEnv: [{}, { RING_LEN: '1' }] });
const publish = (channel, data, id) => s.redis.command(['FCALL', 'sse_publish', '1', `sse:${channel}`, data, ...(id === undefined ? [] : ['id', id])]);

// A channel with three events, the second under this id.
let channels = 0;
async function channelWith(id) {
    const channel = `ids-${++channels}`;
    await publish(channel, 'before');
    await publish(channel, 'with the id', id);
    await publish(channel, 'after');
    return channel;
}

// What Node writes into a header: a byte for each character.
const bytes = (text, encoding) => Buffer.from(text, encoding).toString('latin1');
const isLatin1 = text => /^[\x20-\xff]*$/.test(text);

for (const [i, gw] of s.gw.entries()) {
    test(`an id in the header is found as UTF-8 and as Latin-1, over HTTP/1.1 and HTTP/2, ${i === 0 ? 'in memory' : 'in Redis'}`, async () => {
        const h2 = await H2.connect(gw.httpsUrl);
        for (const id of IDS.filter(one => !/[\u0080-\u009f]/.test(one))) {
            const path = `/channels/${await channelWith(id)}`;
            for (const value of isLatin1(id) ? [bytes(id, 'utf8'), bytes(id, 'latin1')] : [bytes(id, 'utf8')])
                for (const open of [options => openStream(gw.url + path, options), options => h2.open(path, options)]) {
                    const stream = await open({ headers: { 'last-event-id': value } });
                    assert.equal((await stream.next()).data, 'after', id);
                    stream.close();
                }
        }
        h2.close();
    });

    test(`an id in the address is found as UTF-8 and as Latin-1, ${i === 0 ? 'in memory' : 'in Redis'}`, async () => {
        for (const id of IDS) {
            const path = `/channels/${await channelWith(id)}`;
            const escaped = isLatin1(id) ? [encodeURIComponent(id), [...Buffer.from(id, 'latin1')].map(byte => `%${byte.toString(16).padStart(2, '0')}`).join('')] : [encodeURIComponent(id)];
            for (const value of escaped) {
                const stream = await openStream(`${gw.url}${path}?last_event_id=${value}`);
                assert.equal((await stream.next()).data, 'after', id);
                stream.close();
            }
        }
    });
}

test('an id of Latin-1 may have 200 bytes as UTF-8, and a gap names it as UTF-8', async () => {
    const ask = value => request(`${s.gw[0].url}/channels/ids-long`, { headers: { 'last-event-id': value } });
    for (const value of ['é'.repeat(101), 'x'.repeat(201), 'é'.repeat(5000)]) {
        const answer = await ask(value);
        assert.deepEqual([answer.status, JSON.parse(answer.body)], [400, { error: 'the last event id is longer than 200 bytes' }]);
    }
    await publish('ids-long', 'first');
    const stream = await openStream(`${s.gw[0].url}/channels/ids-long`, { headers: { 'last-event-id': 'é'.repeat(100) } });
    const gap = await stream.next();
    assert.deepEqual([gap.type, JSON.parse(gap.data).last_event_id], ['gap', 'é'.repeat(100)]);
    stream.close();
});

test("the page's source.js comes back with ids of any form", async () => {
    for (const id of IDS) {
        const channel = await channelWith(id);
        const source = new Source(`${s.gw[0].url}/channels/${channel}`, { lastEventId: id });
        const heard = [];
        source.addEventListener('*', event => heard.push(event.data));
        await until(`${id} is gone on from; ${source.why}`, () => heard.length > 0);
        assert.deepEqual(heard, ['after'], id);
        source.close();
    }
});

test('sse-cli comes back with ids of any form', async () => {
    for (const id of IDS) {
        const channel = await channelWith(id);
        const { code, out } = await run(['tail', channel, '--url', s.gw[0].url, '--from', id, '--count', '1']);
        assert.equal(code, 0);
        assert.equal(JSON.parse(out).data, 'after', id);
    }
});
