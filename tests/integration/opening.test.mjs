// From when on a stream is open: a client that has its response head (a browser fires `open` then) gets everything published after it.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { SANITIZED, Stack, until } from './stack.mjs';
import { Raw } from './raw.mjs';
import { H2, openStream, request } from './sse.mjs';

const ROUNDS = SANITIZED ? 30 : 150;
const s = await Stack.start({ gateways: 1, tls: true });
const [gw] = s.gw;

// Opens a stream of a channel that nobody listens to yet, publishes as soon as the head is there, and counts who heard of it.
async function heard(open, publish) {
    let count = 0;
    for (let round = 0; round < ROUNDS; ++round) {
        const channel = `open-${publish.name}-${round}`;
        const stream = await open(channel);
        await publish(channel);
        const end = performance.now() + 1000;
        while (stream.events.length === 0 && performance.now() < end)
            await new Promise(resolve => setTimeout(resolve, 2));
        count += stream.events.length;
        stream.close();
        if (round - count > 5)
            break; // that many misses say it all
    }
    return count;
}

test('an event published durably after the head of a fresh stream arrives', { timeout: 120000 }, async () => {
    assert.equal(await heard(channel => openStream(`${gw.url}/channels/${channel}`),
        function fcall(channel) { return s.redis.command(['FCALL', 'sse_publish', '1', `sse:${channel}`, 'x']); }), ROUNDS);
});

test('a plain PUBLISH after the head of a fresh stream arrives', { timeout: 120000 }, async () => {
    assert.equal(await heard(channel => openStream(`${gw.url}/channels/${channel}`),
        function plain(channel) { return s.redis.publish(channel, 'x'); }), ROUNDS);
});

test('the same on HTTP/2, through POST', { timeout: 120000 }, async () => {
    const h2 = await H2.connect(gw.httpsUrl);
    assert.equal(await heard(channel => h2.open(`/channels/${channel}`), async function post(channel) {
        const answer = await request(`${gw.url}/channels/${channel}`, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'x' });
        assert.equal(answer.status, 200);
    }), ROUNDS);
    h2.close();
});

test('a plain PUBLISH that Redis counted as received by this gateway is never lost on the way to a fresh stream', { timeout: 120000 }, async () => {
    for (let round = 0; round < ROUNDS; ++round) {
        const stream = await openStream(`${gw.url}/channels/counted-${round}`);
        while (await s.redis.publish(`counted-${round}`, 'x') === 0);
        await stream.next();
        stream.close();
    }
});

test('a client that hangs up while its stream waits is noticed before the head is due, and what it asked for goes at once', { timeout: 60000 }, async () => {
    s.redis.pause();
    const raws = [];
    for (let i = 0; i < 3; ++i) {
        const raw = await Raw.connect(gw.port);
        raw.send(`GET /channels/gone-${i} HTTP/1.1\r\nhost: x\r\n\r\n`).socket.end(); // the other half stays open, to see the answer
        raws.push(raw);
    }
    for (const raw of raws) {
        await until('its connection is closed', () => raw.ended);
        assert.equal(raw.text, '');
    }
    await until('its channels are gone', async () => await gw.metric('sse_channels') === 0);
    assert.equal(await gw.metric('sse_streams'), 0);
    s.redis.resume();
    await until('all is well', async () => (await gw.ready()).status === 200);
});
