// Publishes numbers 1, 2, 3 … on a channel, each again and again under its own Idempotency-Key until it is acknowledged, over one HTTP/2 connection.
import { connect } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';

const REQUEST_MS = 10000;
const AGAIN_MS = 50;

export class Author {
    constructor({ origin, ca, channel }) {
        Object.assign(this, { origin, ca, channel, count: 0, again: 0, faults: [], running: null });
    }

    async burst(count) {
        for (let i = 0; i < count; ++i)
            await this.#publish();
    }

    start(rate) {
        this.stopping = false;
        this.running = this.#run(1000 / rate);
    }

    async stop() {
        this.stopping = true;
        await this.running;
    }

    // The number of an event that was sent and acknowledged after the call.
    async more() {
        const want = this.count + 2; // one may have been on its way
        while (this.count < want)
            await sleep(5);
        return want;
    }

    async #run(period) {
        for (let due = performance.now(); !this.stopping; due = Math.max(due + period, performance.now() - period)) {
            await sleep(Math.max(0, due - performance.now()));
            await this.#publish();
        }
    }

    async #publish() {
        const number = this.count + 1;
        const body = `${number} ${'x'.repeat(64)}`;
        for (;;) {
            const status = await this.#post(`${this.channel}-${number}`, body);
            if (status === 200)
                break;
            if (status !== 0 && status < 500)
                this.faults.push(status);
            ++this.again;
            await sleep(AGAIN_MS);
        }
        this.count = number;
    }

    // The status, or 0 when there is no answer.
    #post(key, body) {
        if (!this.session || this.session.closed || this.session.destroyed) {
            const session = connect(this.origin, { ca: this.ca });
            const forget = () => { this.session = this.session === session ? null : this.session; };
            session.on('error', forget).on('goaway', forget).on('close', forget);
            this.session = session;
        }
        return new Promise(resolve => {
            let status = 0;
            const post = this.session.request({ ':method': 'POST', ':path': `/channels/${this.channel}`, 'content-type': 'text/plain', 'idempotency-key': key });
            post.setTimeout(REQUEST_MS, () => post.destroy());
            post.on('response', head => { status = head[':status']; });
            post.on('error', () => { status = 0; }).on('close', () => resolve(status));
            post.resume().end(body);
        });
    }
}
