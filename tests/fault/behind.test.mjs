// A client comes back with an id that its new gateway has not seen: the gateway is behind, or the id is from nowhere.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack, freePort, quiet, until } from '../integration/stack.mjs';
import { openStream } from '../integration/sse.mjs';
import { BusProxy } from './bus_proxy.mjs';
import { publish } from './history.mjs';

// Gateway 0 has its bus through a proxy; gateway 1 has it straight.
async function behind(t) {
    const port = await freePort();
    const proxy = await BusProxy.start(t, { port, host: '127.0.0.1' });
    const s = await Stack.start({ gateways: 2, redis: { port }, gatewayEnv: [{ REDIS_URL: proxy.url }], env: { DRAIN_SECONDS: 0, REDIS_TIMEOUT_MS: 3000 } });
    t.after(() => s.stop());
    return { s, proxy };
}

const datas = events => events.map(event => event.data);
const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => String(from + i));

for (const [how, back] of [['hangs', 'go'], ['is cut and refused', 'allow']])
    for (const cold of [false, true])
        test(`a gateway whose bus ${how} resumes from ids it has not seen${cold ? ', of a channel it never had' : ''}, once it can, without loss or twin`, async t => {
            const { s, proxy } = await behind(t);
            const open = (gw, id) => openStream(`${s.gw[gw].url}/channels/behind`, { headers: id === undefined ? {} : { 'last-event-id': id } });
            const ahead = await open(1);
            const listener = cold ? null : await open(0);
            await s.redis.subscribed('behind', cold ? 1 : 2);
            const ids = [null];
            const say = async to => {
                for (let n = ids.length; n <= to; ++n)
                    ids.push((await publish(s.redis, 'behind', String(n))).id);
            };
            await say(5);
            await ahead.take(5);
            if (!cold)
                await listener.take(5);
            if (how === 'hangs') {
                proxy.hang();
            } else {
                proxy.refuse();
                proxy.cut();
            }
            await say(10);
            await ahead.take(5);
            const streams = await Promise.all([4, 5, 8, 10].map(async n => ({ n, stream: await open(0, ids[n]) })));
            await say(15);
            await ahead.take(5);
            proxy[back]();
            for (const { n, stream } of streams)
                assert.deepEqual(datas(await stream.take(15 - n)), numbers(n + 1, 15), `behind ${n}`);
            if (!cold)
                assert.deepEqual(datas(await listener.take(10)), numbers(6, 15));
            await s.redis.subscribed('behind', 2);
            await say(20);
            for (const { n, stream } of streams) {
                assert.deepEqual(datas(await stream.take(5)), numbers(16, 20));
                assert.equal(stream.events.length, 20 - n);
            }
            for (const stream of [ahead, listener, ...streams.map(one => one.stream)])
                stream?.close();
        });

test('an event written to the history without a message on the bus is noticed at the next event, and all come in order', async () => {
    const s = await Stack.start({ env: { DRAIN_SECONDS: 0 } });
    const [gw] = s.gw;
    const stream = await openStream(`${gw.url}/channels/hole`);
    await s.redis.subscribed('hole');
    const { position } = await publish(s.redis, 'hole', '1');
    assert.equal((await stream.next()).data, '1');
    let [ms, seq] = position.split('-').map(Number), previous = position;
    for (const data of ['2', '3']) {
        const at = `${ms}-${++seq}`;
        await s.redis.command(['XADD', '{sse:hole}:log', at, 'm', `\x1esse1 ${at} ${previous}\nevent: message\ndata: ${data}\nid: own ${data}\nretry: 6000\n\n`]);
        await s.redis.command(['SET', '{sse:hole}:last', at, 'KEEPTTL']); // as sse_publish does
        previous = at;
    }
    await publish(s.redis, 'hole', '4');
    assert.deepEqual(datas(await stream.take(3)), ['2', '3', '4']);
    assert.equal(await gw.metric('sse_holes_filled_total'), 1);
    stream.close();
});

const hash = (start, text) => Buffer.from(text).reduce((h, byte) => Number((BigInt(h) * 1664525n + BigInt(byte)) % (1n << 32n)), start);

// proto/README.md, "Event ids".
function eventId(channel, ms, seq) {
    const c = hash(1013904223, channel), h = hash(c, `${ms}-${seq}`);
    const hex = (n, digits) => n.toString(16).padStart(digits, '0');
    const time = hex(ms, 12);
    return `${time.slice(0, 8)}-${time.slice(8)}-4${hex(seq >> 12, 3)}-8${hex(seq & 0xfff, 3)}-${hex(((h >>> 16) ^ (h & 0xffff)) >>> 0, 4)}${hex(c, 8)}`;
}

test('an id of the future (Redis lost its data, a backup was restored) gets a gap, then the stream is live', async () => {
    const s = await Stack.start({ env: { DRAIN_SECONDS: 0 } });
    const { id, position } = await publish(s.redis, 'future', 'one');
    assert.equal(eventId('future', ...position.split('-').map(Number)), id, 'this test makes ids as the bus does');
    const claimed = eventId('future', Date.now() + 3600_000, 7);
    const stream = await openStream(`${s.gw[0].url}/channels/future`, { headers: { 'last-event-id': claimed } });
    const gap = await stream.next();
    assert.equal(gap.type, 'gap');
    assert.deepEqual(JSON.parse(gap.data), { channel: 'future', last_event_id: claimed });
    await publish(s.redis, 'future', 'two');
    assert.equal((await stream.next()).data, 'two');
    stream.close();
    const again = await openStream(`${s.gw[0].url}/channels/future`, { headers: { 'last-event-id': gap.lastEventId } });
    assert.equal((await again.next()).data, 'two');
    again.close();
});

test('streams that were opened while the bus was away miss nothing from then on', async t => {
    const { s, proxy } = await behind(t);
    proxy.refuse();
    proxy.cut();
    await until('not ready', async () => (await s.gw[0].ready()).status === 503);
    const streams = await Promise.all(Array.from({ length: 3 }, () => openStream(`${s.gw[0].url}/channels/away`)));
    await quiet(10); // Redis's clock must have gone on since the heads came
    for (let n = 1; n <= 5; ++n)
        await publish(s.redis, 'away', String(n));
    proxy.allow();
    for (const stream of streams) {
        assert.deepEqual(datas(await stream.take(5)), numbers(1, 5));
        stream.close();
    }
});
