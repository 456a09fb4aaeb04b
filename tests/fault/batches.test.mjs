// kill -9 of a publisher and of Redis while batches are on their way: each batch is there whole or not at all, and the repeat under its key publishes it once. Half of the authors put the
// lines of two channels into one request.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Stack, until } from '../integration/stack.mjs';
import { openStream } from '../integration/sse.mjs';
import { AOF, scaled } from './load.mjs';
import { row, since } from './rows.mjs';

const CHANNELS = 24, KILLS = scaled(12), LIMIT = { timeout: 240000 };
let runs = 0;

// Publishes numbered batches to its channels, each again and again under its key, to one publisher after the other, until it is acknowledged.
class Author {
    constructor(stack, channels) {
        Object.assign(this, { stack, channels, sizes: channels.map(() => []), attempts: 0, answered: 0, busy: false, at: ++runs });
    }

    // One try; true once all lines are acknowledged.
    async attempt(lines, key) {
        const pub = this.stack.pub[this.attempts++ % this.stack.pub.length];
        const path = this.channels.length === 1 ? `/channels/${this.channels[0]}` : '/channels';
        const body = lines.map(line => `${JSON.stringify(line)}\n`).join('');
        const answer = await fetch(pub.url + path, { method: 'POST', headers: { 'content-type': 'application/x-ndjson', 'idempotency-key': key }, body }).catch(() => null);
        const text = await answer?.text().catch(() => null);
        if (!text || answer.status !== 200)
            return assert.ok(!text || answer.status === 503, text ?? ''), false;
        const answers = this.channels.length === 1 ? JSON.parse(text).ids : text.trimEnd().split('\n').map(line => JSON.parse(line));
        assert.equal(answers.length, lines.length);
        assert.ok(answers.every(line => typeof line === 'string' || line.id || line.status === 503), text);
        return answers.every(line => typeof line === 'string' || line.id);
    }

    async run(gate) {
        for (let n = 0; !gate.stopping; ++n) {
            const size = 1 + Math.floor(Math.random() * 60);
            const lines = Array.from({ length: size }, (_, i) => this.channels.map(channel => ({ data: `${n}/${i}/${size}`, ...(this.channels.length > 1 && { channel }) }))).flat();
            for (;;) {
                await gate.open;
                this.busy = true;
                const done = await this.attempt(lines, `${this.at}-${n}`);
                this.busy = false;
                if (done)
                    break;
                await sleep(20);
            }
            this.sizes.forEach(sizes => sizes.push(size));
        }
    }
}

const dataIn = async (stack, channel) => (await stack.redis.command(['XRANGE', `{sse:${channel}}:log`, '-', '+'])).map(([, [, payload]]) => /^data: (.*)$/m.exec(payload)[1]);

// The batches that the data is made of: each whole, in order, once. Gives how many.
function batchesOf(data, what) {
    let n = 0;
    for (let at = 0; at < data.length; ++n) {
        const size = Number(data[at].split('/')[2]);
        assert.deepEqual(data.slice(at, at + size), Array.from({ length: size }, (_, i) => `${n}/${i}/${size}`), `${what}: batch ${n}`);
        at += size;
    }
    return n;
}

// Kills by `strike`, again and again while all authors are at work; `settle` makes all well again, with no author at work.
async function run(t, fault, strike, settle) {
    const stack = await Stack.start({ publishers: 2, redis: AOF, env: { HISTORY_LEN: 1000000 } });
    const names = Array.from({ length: CHANNELS }, (_, i) => `batch/${i}`);
    const streams = await Promise.all(names.map(name => openStream(`${stack.gw[0].url}/channels/${name}`)));
    for (const name of names)
        await stack.redis.subscribed(name);
    const authors = names.slice(0, CHANNELS / 2).map(name => new Author(stack, [name]));
    for (let i = CHANNELS / 2; i < CHANNELS; i += 2)
        authors.push(new Author(stack, names.slice(i, i + 2)));
    const gate = { open: Promise.resolve(), stopping: false };
    const running = authors.map(author => author.run(gate));
    let seconds = 0, underway = 0;
    for (let i = 0; i < KILLS; ++i) {
        await sleep(100 + Math.random() * 200);
        let open;
        underway += authors.filter(author => author.busy).length;
        gate.open = new Promise(resolve => (open = resolve));
        await strike(stack, i);
        await until('no request is on its way', () => authors.every(author => !author.busy), 20000);
        await settle(stack, i);
        for (const name of names)
            batchesOf(await dataIn(stack, name), `${name} after kill ${i}`);
        const start = performance.now(), before = authors.map(author => author.sizes[0].length);
        open();
        await until('every author goes on', () => authors.every((author, at) => author.sizes[0].length > before[at]), 20000);
        seconds = Math.max(seconds, since(start));
    }
    gate.stopping = true;
    await Promise.all(running);
    let events = 0;
    for (const [i, name] of names.entries()) {
        const data = await dataIn(stack, name), sizes = authors.find(author => author.channels.includes(name)).sizes[0];
        assert.equal(batchesOf(data, name), sizes.length);
        const got = await streams[i].take(data.length, 20000);
        assert.deepEqual(got.map(event => event.data), data, `the stream of ${name}`);
        events += data.length;
        streams[i].close();
    }
    assert.ok(underway > KILLS, `${underway} batches were under way at ${KILLS} kills`);
    row(t, fault, { clients: CHANNELS, events, seconds, kills: KILLS, underway }); // each stream had exactly what its history holds: a gap or a break would be another event, or none
}

test('kill -9 of a publisher: each batch is whole, and published once', LIMIT, t => run(t, 'kill -9 a publisher amid batches',
    (stack, i) => stack.pub[i % 2].kill('SIGKILL'), (stack, i) => stack.pub[i % 2].start()));

test('kill -9 of Redis (AOF): each batch is whole or absent, and published once', LIMIT, t => run(t, 'kill -9 Redis amid batches',
    stack => stack.redis.kill('SIGKILL'), async stack => {
        await stack.redis.start();
        await Promise.all([...stack.pub, ...stack.gw].map(server => server.waitReady()));
    }));
