// Publishes numbered events over HTTP, each again and again under its own Idempotency-Key until it is acknowledged, each channel in order.
//
//     const author = new Author(s.pub.map(p => p.url), { channels: 50, rate: 1000 });
//     author.start();  …  await author.stop();
//                          spread: true has each publisher take the posts of as many channels, whatever failed before
//     author.counts        events acknowledged, for each channel: what every client must have
//     await author.more()  resolves when each channel has one acknowledged event that was sent after the call
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const REQUEST_MS = 20000;
const AGAIN_MS = 50;

let runs = 0;

export class Author {
    constructor(urls, { channels = 1, rate = 100, prefix = 'fault', pad = 64, spread = false } = {}) {
        Object.assign(this, { urls, channels, rate, prefix, spread, text: 'x'.repeat(pad) });
        this.run = `${process.pid}-${++runs}`;
        this.agent = new Agent({ keepAlive: true, noDelay: true });
        this.counts = Array(channels).fill(0);
        this.attempts = 0;
        this.unavailable = 0; // 503 answers
        this.failed = 0; // requests without an answer
        this.faults = []; // answers that should not be
        this.url = 0;
        this.chains = null;
    }

    get acknowledged() {
        return this.counts.reduce((sum, count) => sum + count, 0);
    }

    start() {
        this.stopping = false;
        this.chains = this.counts.map((_, channel) => this.#chain(channel));
        return this;
    }

    // Resolves when what was begun is acknowledged.
    async stop() {
        this.stopping = true;
        await Promise.all(this.chains ?? []);
        this.chains = null;
    }

    close() {
        this.stopping = true;
        this.closed = true;
        this.agent.destroy();
    }

    // `count` events on each channel, as fast as they are acknowledged.
    async burst(count) {
        await Promise.all(this.counts.map(async (_, channel) => {
            for (let i = 0; i < count; ++i)
                await this.#publish(channel);
        }));
    }

    async more() {
        const want = this.counts.map(count => count + 2); // one may have been on its way
        while (this.counts.some((count, i) => count < want[i]))
            await sleep(5);
        return want;
    }

    async #chain(channel) {
        const period = 1000 * this.channels / this.rate;
        let due = performance.now() + period * channel / this.channels;
        while (!this.stopping) {
            const wait = due - performance.now();
            if (wait > 0)
                await sleep(wait);
            await this.#publish(channel);
            due = Math.max(due + period, performance.now() - period); // what an outage held up is not made up for
        }
    }

    async #publish(channel) {
        const number = this.counts[channel] + 1;
        const key = `${this.run}-${channel}-${number}`;
        const body = `${channel} ${number} ${this.text}\n${number}`;
        while (!this.closed) {
            ++this.attempts;
            const url = this.urls[(this.url + (this.spread ? channel : 0)) % this.urls.length];
            const status = await this.#post(url, channel, key, body);
            if (status === 200)
                break;
            if (status === 503)
                ++this.unavailable;
            else if (status === 0)
                ++this.failed;
            else
                this.faults.push(status);
            ++this.url;
            await sleep(AGAIN_MS);
        }
        this.counts[channel] = number;
    }

    // The status, or 0.
    #post(url, channel, key, body) {
        return new Promise(resolve => {
            const req = request(`${url}/channels/${this.prefix}-${channel}`, { method: 'POST', agent: this.agent, timeout: REQUEST_MS,
                headers: { 'content-type': 'text/plain', 'content-length': Buffer.byteLength(body), 'idempotency-key': key } });
            req.on('timeout', () => req.destroy());
            req.on('error', () => resolve(0));
            req.on('response', response => {
                if (response.statusCode === 503 && !/^\d+$/.test(response.headers['retry-after'] ?? ''))
                    this.faults.push('503 without Retry-After');
                response.on('error', () => resolve(0));
                response.on('aborted', () => resolve(0));
                response.on('end', () => resolve(response.statusCode));
                response.resume();
            });
            req.end(body);
        });
    }
}
