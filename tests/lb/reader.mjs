// A client as a browser is: it comes back with its last event id after every cut, as late as the stream's `retry:` says, and gives up for good on any answer
// but 200.
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../integration/stack.mjs';

const RETRY_MS = 100; // until the stream says otherwise

export class Reader {
    // open(headers) resolves with a Stream. Ends with the test t. `comebacks`: when it lost its stream, the retry it then had, and when it
    // was open again.
    constructor(t, name, open) {
        Object.assign(this, { name, open, data: [], lastEventId: '', opened: 0, lost: 0, gaveUp: null, stopped: false, stream: null, retry: RETRY_MS, comebacks: [] });
        this.done = this.#run();
        t.after(() => this.stop());
    }

    async #run() {
        let away = null;
        while (!this.stopped && this.gaveUp === null) {
            const stream = await this.open(this.lastEventId === '' ? {} : { 'last-event-id': this.lastEventId }).catch(() => null);
            if (this.stopped) {
                stream?.close();
            } else if (stream?.status === 200) {
                if (away !== null)
                    this.comebacks.push({ ...away, back: performance.now() });
                await this.#read(stream);
                away = { lost: performance.now(), retry: this.retry };
            } else if (stream !== null) {
                this.gaveUp = `${this.name}: answer ${stream.status} after ${this.data.length} events`;
            }
            if (!this.stopped && this.gaveUp === null)
                await sleep(this.retry);
        }
    }

    async #read(stream) {
        this.stream = stream;
        this.opened += 1;
        let taken = 0;
        const take = () => {
            for (; taken < stream.events.length; ++taken)
                this.data.push(stream.events[taken].data);
            this.lastEventId = stream.parser.lastEventId || this.lastEventId;
            this.retry = stream.parser.retry ?? this.retry;
        };
        stream.readable.on('data', take);
        take();
        await stream.closed;
        take();
        this.lost += 1;
    }

    // It has a stream now.
    get isOpen() {
        return this.opened > this.lost;
    }

    // Waits until it is open and has a position to come back with.
    async ready() {
        await until(`${this.name} is open`, () => this.gaveUp !== null || this.stream?.parser.blocks.length > 0);
        this.#check();
    }

    async waitData(count, ms) {
        await until(`${this.name} has ${count} events`, () => this.gaveUp !== null || this.data.length >= count, ms,
            () => `; it has ${this.data.length}: …${this.data.slice(-5)}`);
        this.#check();
    }

    #check() {
        if (this.gaveUp !== null)
            throw new Error(this.gaveUp);
    }

    async stop() {
        this.stopped = true;
        this.stream?.close();
        await this.done;
    }
}
