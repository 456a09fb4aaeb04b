// A client as a browser is: it comes back with its last event id after every cut, and gives up for good on any answer but 200.
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../integration/stack.mjs';

export class Reader {
    // open(headers) resolves with a Stream. Ends with the test t.
    constructor(t, name, open) {
        Object.assign(this, { name, open, data: [], lastEventId: '', opened: 0, gaveUp: null, stopped: false, stream: null });
        this.done = this.#run();
        t.after(() => this.stop());
    }

    async #run() {
        while (!this.stopped && this.gaveUp === null) {
            const stream = await this.open(this.lastEventId === '' ? {} : { 'last-event-id': this.lastEventId }).catch(() => null);
            if (stream === null) {
                await sleep(50);
                continue;
            }
            if (stream.status !== 200)
                this.gaveUp = `${this.name}: answer ${stream.status} after ${this.data.length} events`;
            this.opened += stream.status === 200 ? 1 : 0;
            await this.#read(stream);
        }
    }

    async #read(stream) {
        this.stream = stream;
        let taken = 0;
        const take = () => {
            for (; taken < stream.events.length; ++taken)
                this.data.push(stream.events[taken].data);
            this.lastEventId = stream.parser.lastEventId || this.lastEventId;
        };
        stream.readable.on('data', take);
        take();
        await stream.closed;
        take();
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
