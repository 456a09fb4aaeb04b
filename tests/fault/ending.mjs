// Channels that end at random moments around a fault: each is written to its end by one author and read by clients that come back until they get 204, as browsers do.
//
//     const run = new Run(t, { authorUrls, ports, seed });
//     await run.round(20, async () => { kill something; start it again });       // 20 channels, the fault in the middle of their ends
//     run.finish('kill -9 a gateway')                                             // the row, and what must hold
//
// Each channel's end is as likely within a millisecond of the fault as within 100: the distance is log-uniform, before or behind it.
import assert from 'node:assert/strict';
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { SCALE, until } from '../integration/wait.mjs';
import { SseParser } from '../integration/sse.mjs';
import { row } from './rows.mjs';

const LEAD_MS = 250; // from the first event to the fault
const NEAREST_MS = 0.3, FARTHEST_MS = 200; // of an end to the fault
const AGAIN_MS = 20;
const REQUEST_MS = 10000;
const LEASE_S = 60; // never runs out
const CLIENTS = { present: 4, joining: 1, late: 1 };

// mulberry32: numbers in [0, 1) that the seed decides.
export function chance(seed) {
    let state = seed >>> 0;
    return () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let t = Math.imul(state ^ (state >>> 15), 1 | state);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
}

// Timers are a millisecond coarse, and what is tried here is finer.
async function at(due) {
    const coarse = due - performance.now() - 2;
    if (coarse > 0)
        await sleep(coarse);
    while (performance.now() < due)
        await new Promise(setImmediate);
}

// A channel and its author: `total` events, then the end, behind the last event in one request or in a request of its own. Each is sent under its own key until it is acknowledged.
class Channel {
    constructor(run, name, endAt) {
        const { random } = run;
        Object.assign(this, { run, name, endAt, sent: 0, endSent: false, ended: null }); // ended: when the end was acknowledged
        this.total = 2 + Math.floor(random() * 8);
        this.together = random() < 0.5;
        this.leased = random() < 0.5;
        this.url = Math.floor(random() * run.authorUrls.length);
        const times = Array.from({ length: this.total - (this.together ? 1 : 0) }, () => endAt - random() * LEAD_MS).sort((a, b) => a - b);
        this.times = this.together ? [...times, endAt] : times;
    }

    async write() {
        for (const [i, due] of this.times.entries()) {
            await at(due);
            this.sent = i + 1;
            const last = this.together && i + 1 === this.total;
            this.endSent = last;
            await this.#post(`${i + 1}`, last);
        }
        if (!this.together) {
            await at(this.endAt);
            this.endSent = true;
            await this.#post('', true);
        }
        this.ended = performance.now();
    }

    async #post(text, last) {
        const headers = { 'idempotency-key': `${this.name}-${text || 'end'}`, 'content-length': text.length, ...(text && { 'content-type': 'text/plain' }),
            ...(last ? { 'sse-end': '1' } : this.leased && { 'sse-lease': LEASE_S }) };
        for (;;) {
            const status = await this.run.post(this.url, this.name, headers, text);
            if (status === 200)
                return;
            if (![0, 502, 503].includes(status))
                return void this.run.faults.push(`${this.name}: a POST was answered with ${status}`);
            ++this.run.repeated;
            ++this.url;
            await sleep(AGAIN_MS);
        }
    }
}

// A client of one channel, which comes back with the last id it saw and stops at 204.
class Client {
    constructor(run, channel, id) {
        Object.assign(this, { run, channel, id, seen: 0, ends: 0, gapped: false, over: null, told: null }); // told: when its stream had brought the end and was over
        this.port = Math.floor(run.random() * run.ports.length);
        this.placed = new Promise(resolve => (this.onPlaced = resolve));
        this.begun = performance.now();
        this.done = this.#follow();
    }

    async #follow() {
        for (let first = true; this.over === null; first = false) {
            if (!first) {
                ++this.run.counts.reconnects;
                ++this.port;
                await sleep(AGAIN_MS + this.run.random() * 100);
            }
            await this.#connect();
            if (this.ends !== 0)
                this.told ??= performance.now();
        }
    }

    // Resolves when the response is over, however that came.
    #connect() {
        return new Promise(resolve => {
            const headers = { accept: 'text/event-stream', ...(this.id && { 'last-event-id': this.id }) };
            this.request = http.get({ host: '127.0.0.1', port: this.run.ports[this.port % this.run.ports.length], path: `/channels/${this.channel.name}`, agent: false, headers });
            this.request.on('error', resolve);
            this.request.on('response', response => {
                response.on('error', resolve);
                response.on('close', resolve);
                if (response.statusCode === 204)
                    this.#stop();
                else if (response.statusCode !== 200 && response.statusCode !== 503)
                    this.run.faults.push(`${this.channel.name}: a stream was answered with ${response.statusCode}`);
                const parser = new SseParser();
                let taken = 0;
                response.on('data', bytes => {
                    if (response.statusCode !== 200)
                        return;
                    parser.push(bytes);
                    for (; taken < parser.events.length; ++taken)
                        this.#take(parser.events[taken]);
                    this.id = parser.lastEventId || this.id;
                    if (parser.lastEventId)
                        this.onPlaced();
                });
            });
        });
    }

    #take({ type, data }) {
        const { counts } = this.run;
        if (type === 'gap') {
            ++counts.gaps;
            this.gapped = true;
        } else if (type === 'end') {
            this.#end(JSON.parse(data).reason);
        } else {
            ++counts.events;
            this.#number(Number(data));
        }
    }

    #number(n) {
        const { counts } = this.run;
        if (n <= this.seen || this.ends !== 0)
            this.#again(n <= this.seen - 1 ? 'out of order' : 'duplicated');
        else if (n > this.seen + 1 && !this.gapped)
            counts.lost += n - this.seen - 1;
        this.seen = Math.max(n, this.seen);
    }

    // Came a second time: right if a gap had said that the history is another one, as after a failover.
    #again(what) {
        ++this.run.counts[this.gapped ? 'told again' : what];
    }

    #end(reason) {
        const { channel, run } = this;
        if (this.ends++ !== 0)
            this.#again('duplicated');
        if (reason !== 'done' || !channel.endSent || this.seen < channel.total && !this.gapped)
            ++run.counts['ended early'];
    }

    #stop() {
        this.over = performance.now();
        if (this.ends === 0)
            this.run.faults.push(`${this.channel.name}: 204 to a client that was not told the end`);
    }

    giveUp() {
        this.over ??= performance.now();
        this.request.destroy();
    }
}

let runs = 0;

export class Run {
    // seed: decides names, numbers of events and distances; what the processes do meanwhile is theirs. within: seconds that a round may take.
    constructor(t, { authorUrls, ports, seed, within = 30 }) {
        Object.assign(this, { t, authorUrls, ports, seed, within, random: chance(seed), channels: 0, clients: 0, kills: 0, repeated: 0, faults: [], times: [] });
        Object.assign(this, { prefix: `ends-${process.pid}-${++runs}`, underway: 0 }); // underway: ends that were sent and not told to all when the fault struck
        this.agent = new http.Agent({ keepAlive: true, noDelay: true });
        this.counts = { events: 0, lost: 0, duplicated: 0, 'out of order': 0, gaps: 0, reconnects: 0, 'told again': 0, 'ended early': 0, 'still open': 0 };
        this.open = new Set();
        t.after(() => {
            this.agent.destroy();
            for (const client of this.open)
                client.giveUp();
        });
        t.diagnostic(`ENDS_SEED=${seed}`);
    }

    // strike() does the fault; it is called once, and awaited before the round is over.
    async round(count, strike) {
        const open = (channel, id) => {
            const client = new Client(this, channel, id);
            this.open.add(client);
            return client;
        };
        const names = Array.from({ length: count }, () => `${this.prefix}-${++this.channels}`);
        const channels = names.map(name => new Channel(this, name, 0)); // its times are relative to the fault until the clients are there
        const clients = channels.flatMap(channel => Array.from({ length: CLIENTS.present }, () => open(channel)));
        await Promise.all(clients.map(client => client.placed));
        const strikeAt = performance.now() + LEAD_MS + FARTHEST_MS;
        const writing = channels.map(async channel => {
            const distance = NEAREST_MS * (FARTHEST_MS / NEAREST_MS) ** this.random() * (this.random() < 0.5 ? -1 : 1);
            channel.endAt += strikeAt + distance;
            channel.times = channel.times.map(time => time + strikeAt + distance);
            const joining = Array.from({ length: CLIENTS.joining }, async () => {
                await at(channel.endAt + (this.random() - 0.5) * FARTHEST_MS);
                clients.push(open(channel, 'earliest'));
            });
            await Promise.all([channel.write(), ...joining]);
            for (let i = 0; i < CLIENTS.late; ++i)
                clients.push(open(channel, 'earliest'));
        });
        await at(strikeAt);
        ++this.kills;
        this.underway += channels.filter(channel => channel.endSent && clients.some(client => client.channel === channel && client.ends === 0)).length;
        await Promise.all([strike(), ...writing]);
        await this.#all(channels, clients);
    }

    // All clients have their 204; those that do not get it in time are counted and given up.
    async #all(channels, clients) {
        await until('every client is told that its channel has ended', () => clients.every(client => client.over !== null), this.within * 1000).catch(() => {});
        for (const client of clients) {
            this.counts['still open'] += client.over === null ? 1 : 0;
            client.giveUp();
            await client.done;
            const { gapped, seen, channel } = client;
            this.counts.lost += gapped ? 0 : channel.total - seen;
            this.open.delete(client);
        }
        this.clients += clients.length;
        for (const channel of channels) {
            const present = clients.filter(client => client.channel === channel && client.begun < channel.ended);
            this.times.push(Math.max(0, ...present.map(client => client.told - channel.ended)) / 1000);
        }
    }

    post(url, name, headers, text) {
        return new Promise(resolve => {
            const req = http.request(`${this.authorUrls[url % this.authorUrls.length]}/channels/${name}`, { method: 'POST', agent: this.agent, timeout: REQUEST_MS * SCALE, headers });
            req.on('timeout', () => req.destroy());
            req.on('error', () => resolve(0));
            req.on('response', response => {
                response.on('error', () => resolve(0));
                response.on('aborted', () => resolve(0));
                response.on('end', () => resolve(response.statusCode));
                response.resume();
            });
            req.end(text);
        });
    }

    // The row of the table. gaps: the history may have become another one.
    finish(fault, { gaps = false } = {}) {
        const { clients, channels, kills, counts, times } = this;
        const sorted = times.toSorted((a, b) => a - b), seconds = value => Number(value.toFixed(value < 1 ? 3 : 1));
        row(this.t, fault, { table: 'ends', clients, ...counts, kills, moments: channels, underway: this.underway, 'median s': seconds(sorted[sorted.length >> 1]), 'max s': seconds(sorted.at(-1)) });
        assert.deepEqual(this.faults, []);
        const { events, reconnects, gaps: told, 'told again': again, ...wrong } = counts;
        assert.deepEqual(wrong, { lost: 0, duplicated: 0, 'out of order': 0, 'ended early': 0, 'still open': 0 });
        if (!gaps)
            assert.deepEqual({ gaps: told, 'told again': again }, { gaps: 0, 'told again': 0 });
    }
}
