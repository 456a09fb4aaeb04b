// A cluster of three shards under the load of tests/fault: 1,000 events/s on 1,000 channels, one event a second each, to 1,000 clients, each of which checks every number.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { ClusterSet, slotOf } from '../integration/cluster_set.mjs';
import { until } from '../integration/wait.mjs';
import { scaled } from '../fault/load.mjs';
import { since } from '../fault/rows.mjs';
import { Stage } from './stage.mjs';

const AT_ONCE = 10; // slots under way at the same time in moveSlowly()
const NEVER_MS = 600000; // for KEEPALIVE_MS: a client hears of events only, so its silence is theirs

// For set.nodeTimeout where no shard is to fail over, however busy the machine is.
export const PATIENT_MS = 5000;

export class ClusterStage extends Stage {
    // set: options of ClusterSet; else as Load's.
    static async start(t, { set = {}, env = {}, ...options } = {}) {
        const stage = new this();
        t.after(() => stage.stop());
        const cluster = await ClusterSet.start(set);
        await stage.begin(t, cluster, { channels: scaled(1000), env: { KEEPALIVE_MS: NEVER_MS, ...cluster.env(), ...env }, ...options });
        await stage.load.follow.listen();
        stage.stalls = monitorEventLoopDelay({ resolution: 10 });
        stage.stalls.enable();
        return stage;
    }

    // Each slot that holds a channel of the load and belongs to the shard, in the order of the slots.
    async busySlots(shard) {
        const [map, primary] = [await this.set.map(), await this.set.primary(shard)];
        return [...new Set(this.names.map(slotOf))].filter(slot => map[slot] === primary).sort((a, b) => a - b);
    }

    // Numbers of the channels for whose slots `wanted` holds.
    channels(wanted) {
        return this.names.flatMap((name, channel) => (wanted(slotOf(name)) ? [channel] : []));
    }

    async shardChannels(shard) {
        const [map, primary] = [await this.set.map(), await this.set.primary(shard)];
        return this.channels(slot => map[slot] === primary);
    }

    // The fault strikes the primary of shard 0; resolves when all nodes name another one and each client has an event of each of its channels that was acknowledged after that.
    async failover(fault, shard = 0) {
        const start = performance.now();
        this.old = await this.set.primary(shard);
        await fault(this.old);
        this.next = await this.set.moved(shard, this.old);
        const lasted = since(start);
        await this.load.recovery();
        return { seconds: since(start), lasted };
    }

    // The fault is what happens until `action` is done. {seconds, lasted}
    async during(action) {
        const start = performance.now();
        await action();
        const lasted = since(start);
        await this.load.recovery();
        return { seconds: since(start), lasted };
    }

    // Moves the slots so that each is under way for a good while: `ms` with its keys at the source, `ms` with some of them at either end, `ms` with all at the target.
    async moveSlowly(slots, to, ms = 100) {
        let keys = 0;
        for (let i = 0; i < slots.length; i += AT_ONCE) {
            const moves = [];
            for (const slot of slots.slice(i, i + AT_ONCE))
                moves.push(await this.set.beginMove(slot, to));
            for (const most of [1, Infinity]) {
                await this.load.last(ms);
                for (const move of moves)
                    keys += await this.set.moveKeys(move, most);
            }
            await this.load.last(ms);
            for (const move of moves)
                await this.set.endMove(move);
        }
        return keys;
    }

    // The longest that the machine let nobody run, as far as this process noticed.
    get stalledMs() {
        return this.stalls.max / 1e6;
    }

    // The old primary follows the new one.
    async returned() {
        await until('the old primary is a replica in step', () => this.old.command(['ROLE']).then(role => role[0] === 'slave' && role[3] === 'connected', () => false), 30000);
    }

    // How many events of each of these channels are acknowledged.
    counts(channels) {
        return channels.map(channel => this.load.author.counts[channel]);
    }

    // Nothing is left that anybody complains of.
    async finish(...args) {
        await Promise.all(this.programs.map(program => program.waitReady()));
        return super.finish(...args);
    }

    async histories() {
        const map = await this.set.map();
        return name => map[slotOf(name)];
    }

    ownFigures(report) {
        return { silence: Number((report.silence_ms / 1000).toFixed(1)), 'told 503': this.load.author.unavailable, twins: report.twins };
    }
}
