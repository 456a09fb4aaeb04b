// The seams of a replay: from page to page, from a page to the ring, and to what comes live. At each of them the next event follows the one before it, or a gap is told
// first; and none comes twice.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import { freePort, Stack, until } from './stack.mjs';
import { openStream, SseParser } from './sse.mjs';
import { BusProxy } from '../fault/bus_proxy.mjs';

const LENGTH = 400;
const BLOCK = 'x'.repeat(10000);

// The first gateway replays from memory, the second from Redis.
const s = await Stack.start({ gateways: 2, gatewayEnv: [{}, { RING_LEN: 1 }] });

async function publish(channel, n, size = BLOCK, redis = s.redis) {
    const [id] = await redis.command(['FCALL', 'sse_publish', 1, `sse:${channel}`, `${channel} ${n} ${size}`, 'maxlen', 10000, 'maxbytes', 1e8]);
    return id;
}

const log = channel => `{sse:${channel}}:log`;
const somebodyElses = channel => s.redis.command(['XADD', log(channel), '*', 'not', 'ours']);
const resume = (gw, path, id) => openStream(gw.url + path, { headers: { 'last-event-id': id } });

// Of several channels, what was published in the id's own millisecond comes again.
async function nextOf(stream, channel) {
    for (;;) {
        const event = await stream.next();
        if (event.type === 'gap' || event.data.startsWith(`${channel} `))
            return event;
    }
}

// Reads its head, and nothing more until it is told to.
class SlowClient {
    static async open(t, gw, path, id) {
        const client = new SlowClient(gw, path, id);
        t.after(() => client.socket.destroy());
        await until(`${path} begins`, () => client.bytes !== 0);
        return client;
    }

    constructor(gw, path, id) {
        this.path = path;
        this.bytes = 0;
        this.parser = new SseParser();
        this.socket = net.connect(gw.port, '127.0.0.1');
        this.socket.on('error', () => {});
        this.socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n${id === undefined ? '' : `last-event-id: ${id}\r\n`}\r\n`);
        this.socket.on('data', chunk => {
            this.bytes += chunk.length;
            this.parser.push(chunk);
            if (!this.reads)
                this.socket.pause();
        });
    }

    readOn() {
        this.reads = true;
        this.socket.resume();
    }

    // [{n, id}] of one channel; n is 'gap' for a gap.
    got(channel) {
        return this.parser.events.map(event => ({ event, of: event.type === 'gap' ? JSON.parse(event.data).channel : event.data.split(' ')[0] }))
            .filter(({ of }) => of === channel)
            .map(({ event }) => ({ n: event.type === 'gap' ? 'gap' : Number(event.data.split(' ')[1]), id: event.lastEventId,
                after: event.type === 'gap' ? JSON.parse(event.data).last_event_id : undefined }));
    }
}

// Every way a stream can go back, at both gateways; each is read as far as its socket holds, then `lose` makes all before event `first` disappear.
async function loseInTheMiddle(t, channel, first, lose) {
    const ids = [];
    for (let n = 0; n < LENGTH; ++n)
        ids.push(await publish(channel, n));
    await publish(`${channel}2`, 0, '');
    const clients = [];
    for (const gw of s.gw)
        for (const [path, id] of [[`/channels/${channel}`, ids[0]], [`/subscribe?channel=${channel}&channel=${channel}2`, ids[0]],
            [`/channels/${channel}?last=${LENGTH}`]])
            clients.push(await SlowClient.open(t, gw, path, id));
    await lose();
    for (const gw of s.gw) // what is in memory is compared with Redis once a second
        await until(`${gw.name} knows of it`, async () => {
            const stream = await resume(gw, `/channels/${channel}`, ids[0]);
            const gap = await stream.next();
            stream.close();
            return gap.type === 'gap' && gap.lastEventId === ids[first - 1];
        });
    return clients;
}

async function expectOneGap(clients, channel, first, last) {
    for (const client of clients) {
        client.readOn();
        await until(`${client.path} reads to the end`, () => client.got(channel).some(({ n }) => n === last), 20000);
        const got = client.got(channel), at = got.findIndex(({ n }) => n === 'gap');
        assert.ok(at > 0 && got[at - 1].n < first - 1, `${client.path} is told of a gap in the middle`);
        const from = got[0].n;
        const newest = first === LENGTH && got[at + 1].n === LENGTH - 1; // of what was deleted, memory may have this one yet, for a second
        if (newest)
            got.splice(at + 1, 1);
        const want = [...Array.from({ length: at }, (_, i) => from + i), 'gap', ...Array.from({ length: last - first + 1 }, (_, i) => first + i)];
        assert.deepEqual(got.map(({ n }) => n), want, client.path);
        // whoever leaves there and comes back gets the same, from the gap or from behind it
        for (const gw of s.gw) {
            const path = client.path.replace(/\?last=.*/, '');
            const before = await resume(gw, path, got[at - 1].id);
            const after = await resume(gw, path, got[at].id);
            assert.equal((await nextOf(before, channel)).type, 'gap', `${path} from the event before the gap`);
            if (!newest)
                assert.equal((await nextOf(after, channel)).data.split(' ')[1], String(first), `${path} from the gap`);
            [before, after].forEach(stream => stream.close());
        }
    }
}

test('a history that is trimmed while it is replayed: the gap comes at its place', async t => {
    const clients = await loseInTheMiddle(t, 'trimmed', LENGTH - 20, () => s.redis.command(['XTRIM', log('trimmed'), 'MAXLEN', '=', 20]));
    await expectOneGap(clients, 'trimmed', LENGTH - 20, LENGTH - 1);
});

test('a history that is deleted while it is replayed, and starts over', async t => {
    const clients = await loseInTheMiddle(t, 'deleted', LENGTH, async () => {
        await s.redis.command(['DEL', log('deleted')]);
        await publish('deleted', LENGTH);
        await publish('deleted', LENGTH + 1);
    });
    await expectOneGap(clients, 'deleted', LENGTH, LENGTH + 1);
});

test('a history that is deleted while it is replayed, and stays empty', async t => {
    const clients = await loseInTheMiddle(t, 'gone', LENGTH, () => s.redis.command(['DEL', log('gone')]));
    for (const client of clients) {
        client.readOn();
        await until(`${client.path} is told`, () => client.got('gone').some(({ n }) => n === 'gap'), 20000);
    }
    await publish('gone', LENGTH);
    await expectOneGap(clients, 'gone', LENGTH, LENGTH);
});

test('entries of somebody else at the seams are no gap', async () => {
    const ids = [];
    for (let n = 0; n < 150; ++n) {
        ids.push(await publish('foreign', n));
        await somebodyElses('foreign');
        if (n % 3 === 0)
            await somebodyElses('foreign');
    }
    for (const gw of s.gw) {
        for (const from of [0, 1, 2, 60]) {
            const stream = await resume(gw, '/channels/foreign', ids[from]);
            const events = await stream.take(149 - from, 20000);
            assert.deepEqual(events.map(event => event.type === 'gap' ? 'gap' : Number(event.data.split(' ')[1])),
                Array.from({ length: 149 - from }, (_, i) => from + 1 + i), `${gw.name} from ${from}`);
            stream.close();
        }
    }
});

test('an event that is in Redis and not yet in the subscription comes once', async t => {
    const port = await freePort();
    const proxy = await BusProxy.start(t, { port, host: '127.0.0.1' });
    const own = await Stack.start({ redis: { port }, gatewayEnv: [{ RING_LEN: 1, REDIS_URL: proxy.url }] });
    const gw = own.gw[0];
    const both = '/subscribe?channel=late&channel=later';
    const holder = await openStream(gw.url + both);
    await holder.nextFrame();
    const ids = [];
    const publishPair = async n => {
        ids.push(await publish('late', n, '', own.redis));
        await publish('later', n, '', own.redis);
    };
    for (let n = 0; n < 20; ++n)
        await publishPair(n);
    await holder.take(40);
    proxy.holdSubscribers();
    for (let n = 20; n < 30; ++n)
        await publishPair(n);
    const streams = [await resume(gw, '/channels/late', ids[0]), await openStream(`${gw.url}/channels/late?last=19`), await resume(gw, both, ids[0])];
    const early = [await streams[0].take(19), await streams[1].take(19), await streams[2].take(37)];
    proxy.go();
    await publish('late', 30, '', own.redis);
    for (const [i, stream] of streams.entries()) {
        const events = early[i];
        while (events.at(-1).data !== 'late 30 ')
            events.push(await stream.next());
        for (const channel of i === 2 ? ['late', 'later'] : ['late']) {
            const got = events.map(event => event.data.split(' ')).filter(([of]) => of === channel).map(([, n]) => Number(n));
            const first = channel === 'later' && got[0] === 0 ? 0 : 1; // of the id's own millisecond
            const last = channel === 'late' ? 30 : 29;
            assert.deepEqual(got, Array.from({ length: last - first + 1 }, (_, n) => first + n), channel);
        }
        stream.close();
    }
    holder.close();
});
