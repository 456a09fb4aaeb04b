// The load that the faults strike: 1,000 events/s on 50 channels to 2,000 clients that come back with their last id.
import assert from 'node:assert/strict';
import { freePort, SCALE, Stack, until } from '../integration/stack.mjs';
import { Author } from './author.mjs';
import { BusProxy } from './bus_proxy.mjs';
import { Follow } from './follow.mjs';
import { figures, row, since } from './rows.mjs';

// FAULT_SCALE: part of the full size, for small machines and CI.
export const FAULT_SCALE = Number(process.env.FAULT_SCALE || 1);
export const scaled = n => Math.max(1, Math.round(n * FAULT_SCALE));

const CHANNELS = 50;
const WARM_MS = 1500 * Math.max(0.5, FAULT_SCALE);

export const AOF = { appendonly: 'yes', appendfsync: 'always' };

export class Load {
    // Ends with the test `t`. options: as Stack's, and {proxy: true}: the bus goes through s.proxy; {ports: stack => […]}: where clients connect; {streams, channels, rate}
    static async start(t, { proxy = false, ports, streams = scaled(2000), channels = CHANNELS, rate = scaled(1000), pad, spread, follow = {}, ...options } = {}) {
        const load = new Load();
        t.after(() => load.stop());
        if (proxy) {
            load.redisPort = await freePort();
            load.proxy = await BusProxy.start(t, { port: load.redisPort, host: '127.0.0.1' });
            options = { ...options, redis: { ...options.redis, port: load.redisPort }, env: { ...options.env, REDIS_URL: load.proxy.url } };
        }
        load.stack = await Stack.start({ gateways: 2, publishers: 2, ...options, env: { KEEPALIVE_MS: 1000, DRAIN_SECONDS: 1, ...options.env } });
        load.author = new Author(load.stack.pub.map(p => p.url), { channels, rate, pad, spread });
        load.each = follow.each ?? 1;
        load.follow = await Follow.start(t, await (ports ?? (stack => stack.gw.map(gw => gw.port)))(load.stack), { streams, channels, ...follow });
        await load.author.start().more();
        await until('the load flows', async () => (await load.follow.report()).events > 0);
        await new Promise(resolve => setTimeout(resolve, WARM_MS)); // the load itself, not a condition
        return load;
    }

    // Lets the load go on for a while under the fault: how long the fault lasts is its own property.
    last(ms) {
        return new Promise(resolve => setTimeout(resolve, ms * SCALE));
    }

    // Seconds until each client has an event of each of its channels that was sent and acknowledged after the call.
    async recovery(ms = 60000) {
        const start = performance.now();
        await this.follow.expect(await this.author.more(), ms);
        return since(start);
    }

    // Ends the load, prints the row, asserts that every client has every acknowledged event once and in order.
    async finish(t, fault, more = {}, { gaps = 0 } = {}) {
        await this.author.stop();
        const report = await this.follow.expect(this.author.counts);
        row(t, fault, figures(report, more));
        assert.deepEqual({ faults: this.author.faults, lost: report.lost, duplicated: report.duplicated, 'out of order': report.out_of_order,
            gaps: report.gaps, malformed: report.malformed }, { faults: [], lost: 0, duplicated: 0, 'out of order': 0, gaps, malformed: 0 });
        assert.equal(report.events - report.twins, this.#deliveries(report));
        await this.stop();
        return report;
    }

    async stop() {
        this.author?.close();
        await this.follow?.stop();
        await this.stack?.stop();
    }

    // How many deliveries make every stream complete.
    #deliveries(report) {
        const { counts } = this.author;
        let sum = 0;
        for (let i = 0; i < report.streams * this.each; ++i)
            sum += counts[i % counts.length];
        return sum;
    }
}
