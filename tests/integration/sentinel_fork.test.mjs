// A failover may lose the newest events, which the gateways and clients have seen, and the new primary's clock may be behind: events follow whose positions are older than the
// lost ones'. Made by hand here, on one Redis: the history is put back to what it was, and goes on differently. tests/scale has the real thing.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack } from './stack.mjs';
import { openStream } from './sse.mjs';

const hash = (start, text) => Buffer.from(text).reduce((h, byte) => Number((BigInt(h) * 1664525n + BigInt(byte)) % (1n << 32n)), start);

// proto/README.md, "Event ids".
function eventId(channel, position) {
    const [ms, seq] = position.split('-').map(Number);
    const c = hash(1013904223, channel), h = hash(c, position);
    const hex = (n, digits) => n.toString(16).padStart(digits, '0');
    const time = hex(ms, 12);
    return `${time.slice(0, 8)}-${time.slice(8)}-4${hex(seq >> 12, 3)}-8${hex(seq & 0xfff, 3)}-${hex(((h >>> 16) ^ (h & 0xffff)) >>> 0, 4)}${hex(c, 8)}`;
}

const s = await Stack.start({ gateways: 3, publishers: 0, gatewayEnv: [{}, {}, { RING_LEN: 1 }] });
let channels = 0;

// A channel with events at fixed positions.
class Channel {
    constructor() {
        this.name = `fork-${++channels}`;
        this.log = `{sse:${this.name}}:log`;
    }

    #payload(data, at, previous) {
        return `\x1esse1 ${at} ${previous}\nevent: message\ndata: ${data}\nid: ${eventId(this.name, at)}\nretry: 6000\n\n`;
    }

    // [data, position] after `previous`, as sse_publish does it; live: with the message.
    async add(events, previous = '0-0', { live = true } = {}) {
        for (const [data, at] of events) {
            await s.redis.command(['XADD', this.log, at, 'm', this.#payload(data, at, previous)]);
            if (live)
                await s.redis.command(['PUBLISH', `sse:${this.name}`, this.#payload(data, at, previous)]);
            previous = at;
        }
    }

    async save() {
        this.saved = await s.redis.command(['DUMP', this.log], { raw: true });
    }

    // What was added since save() is gone, entries `byHand` and `events` are in its place, and every gateway's subscription is a new one.
    async goBack(events = [], previous = '0-0', byHand = []) {
        if (this.saved === undefined)
            await s.redis.command(['DEL', this.log]);
        else
            await s.redis.command(['RESTORE', this.log, '0', this.saved, 'REPLACE']);
        for (const at of byHand)
            await s.redis.command(['XADD', this.log, at, 'by', 'hand']);
        await this.add(events, previous, { live: false });
        await s.redis.command(['CLIENT', 'KILL', 'TYPE', 'pubsub']);
        await s.redis.subscribed(this.name, this.listeners);
        await Promise.all(s.gw.map(gw => gw.waitReady()));
    }

    async listen(...gateways) {
        this.listeners = gateways.length;
        const streams = await Promise.all(gateways.map(i => this.open(i)));
        await s.redis.subscribed(this.name, gateways.length);
        return streams;
    }

    open(gateway, id) {
        return openStream(`${s.gw[gateway].url}/channels/${this.name}`, id === undefined ? {} : { headers: { 'last-event-id': id } });
    }
}

const told = events => events.map(event => (event.type === 'gap' ? 'gap' : event.data));
const BEFORE = [['1', '1000-0'], ['2', '1010-0'], ['3', '1020-0']];
const LOST = [['lost 4', '1030-0'], ['lost 5', '1040-0']];

for (const [gateway, ring] of [[0, 'all of it is in memory'], [2, 'only the last event is in memory']]) {
    test(`the newest events are lost, older positions follow: a gap, then each of them, live (${ring})`, async () => {
        const channel = new Channel();
        const [stream] = await channel.listen(gateway);
        await channel.add(BEFORE);
        await channel.save();
        await channel.add(LOST, '1020-0');
        await stream.take(5);
        await channel.goBack();
        const [gap] = await stream.take(1);
        assert.equal(gap.type, 'gap');
        assert.deepEqual(JSON.parse(gap.data), { channel: channel.name, last_event_id: eventId(channel.name, '1040-0') });
        assert.equal(gap.lastEventId, eventId(channel.name, '1020-0'));
        await channel.add([['4', '1025-0'], ['5', '1040-0'], ['6', '1050-0']], '1020-0');
        assert.deepEqual(told(await stream.take(3)), ['4', '5', '6']);
        stream.close();
    });

    test(`the newest events are lost, and others came in their place meanwhile: a gap, then each of them (${ring})`, async () => {
        const channel = new Channel();
        const [stream] = await channel.listen(gateway);
        await channel.add(BEFORE);
        await channel.save();
        await channel.add(LOST, '1020-0');
        await stream.take(5);
        await channel.goBack([['4', '1021-0'], ['5', '1035-0'], ['6', '1060-0']], '1020-0');
        const want = gateway === 0 ? ['gap', '4', '5', '6'] : ['gap', '5', '6']; // … of what memory does not reach the gap tells
        assert.deepEqual(told(await stream.take(want.length)), want);
        await channel.add([['7', '1060-1']], '1060-0');
        assert.deepEqual(told(await stream.take(1)), ['7']);
        stream.close();
    });
}

test('somebody\'s entries stand in the place of lost events: a gap, then what follows them', async () => {
    for (const next of [[], [['4', '1060-0']]]) {
        const channel = new Channel();
        const [stream] = await channel.listen(0);
        await channel.add(BEFORE);
        await channel.save();
        await channel.add(LOST, '1020-0');
        await stream.take(5);
        await channel.goBack(next, '1020-0', ['1030-0', '1050-0']);
        assert.deepEqual(told(await stream.take(1 + next.length)), ['gap', ...next.map(([data]) => data)]);
        await channel.add([['5', '1070-0']], next.length === 0 ? '1020-0' : '1060-0');
        assert.deepEqual(told(await stream.take(1)), ['5']);
        const late = await Promise.all([0, 1].map(gateway => channel.open(gateway, eventId(channel.name, '1040-0'))));
        for (const one of late)
            assert.deepEqual(told(await one.take(1)), ['gap']);
        for (const one of [stream, ...late])
            one.close();
    }
});

test('another event has the position of a lost one: a gap, then it', async () => {
    const channel = new Channel();
    const [stream] = await channel.listen(0);
    await channel.add(BEFORE);
    await channel.save();
    await channel.add([['lost 4', '1030-0']], '1020-0');
    await stream.take(4);
    await channel.goBack([['4', '1030-0']], '1020-0');
    assert.deepEqual(told(await stream.take(2)), ['gap', '4']);
    stream.close();
});

test('all of a history is lost, a new one begins at an older position: a gap, then it', async () => {
    const channel = new Channel();
    const now = Date.now() - 100; // the markers of such events would be there yet
    const [stream] = await channel.listen(0);
    await channel.add([['lost 4', `${now + 30}-0`], ['lost 5', `${now + 40}-0`]]);
    await stream.take(2);
    await channel.goBack();
    assert.deepEqual(told(await stream.take(1)), ['gap']);
    await channel.add([['1', `${now}-0`], ['2', `${now + 35}-0`]]);
    assert.deepEqual(told(await stream.take(2)), ['1', '2']);
    stream.close();
});

test('a subscription that is lost without a loss in the history tells no gap', async () => {
    const channel = new Channel();
    const [stream] = await channel.listen(0);
    await channel.add(BEFORE);
    await stream.take(3);
    await channel.save();
    await channel.goBack([['4', '1030-0']], '1020-0');
    assert.deepEqual(told(await stream.take(1)), ['4']);
    await channel.add([['5', '1031-0']], '1030-0');
    assert.deepEqual(told(await stream.take(1)), ['5']);
    stream.close();
});

for (const [gateway, which] of [[0, 'the one that has seen it'], [1, 'another one']])
    test(`a client comes back with the id of a lost event, to ${which}: a gap, then what follows; from the gap's id it is complete`, async () => {
        const channel = new Channel();
        const [first] = await channel.listen(0);
        await channel.add(BEFORE);
        await channel.save();
        await channel.add(LOST, '1020-0');
        const [, , , , lost] = await first.take(5);
        await channel.goBack([['4', '1025-0'], ['5', '1060-0']], '1020-0');
        assert.deepEqual(told(await first.take(3)), ['gap', '4', '5']);
        const again = await channel.open(gateway, lost.lastEventId);
        assert.deepEqual(told(await again.take(2)), ['gap', '5']);
        const good = await channel.open(gateway, first.events[5].lastEventId);
        // the one that has seen the loss tells it again: a client that left before it has the same id, and nobody else can tell that one
        const want = gateway === 0 ? ['gap', '4', '5'] : ['4', '5'];
        assert.deepEqual(told(await good.take(want.length)), want);
        for (const stream of [first, again, good])
            stream.close();
    });
