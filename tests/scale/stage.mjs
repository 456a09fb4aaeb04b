// Several Redis under the load of tests/fault: 1,000 events/s to 1,000 clients, each of which checks every number. Stage: a primary, two replicas and three sentinels, 100 channels.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { Load, scaled } from '../fault/load.mjs';
import { figures, row, since } from '../fault/rows.mjs';
import { SentinelSet } from '../integration/sentinel.mjs';
import { until } from '../integration/wait.mjs';

export const TIMEOUT_MS = 2000; // REDIS_TIMEOUT_MS

export class Stage {
    // set: options of SentinelSet; else as Load's.
    static async start(t, { set = {}, ...options } = {}) {
        const stage = new this();
        t.after(() => stage.stop());
        await stage.begin(t, await SentinelSet.start(set), options);
        stage.old = await stage.set.primary();
        return stage;
    }

    async begin(t, set, { channels = scaled(100), streams = scaled(1000), env = {}, ...options }) {
        this.set = set;
        this.load = await Load.start(t, { channels, streams, redis: { start: false }, env: { REDIS_TIMEOUT_MS: TIMEOUT_MS, REDIS_URL: set.url(), ...env }, ...options });
        this.programs = [...this.load.stack.gw, ...this.load.stack.pub];
        await Promise.all(this.programs.map(program => program.waitReady()));
    }

    // The fault; resolves when the sentinels name a new primary and each client has an event of each channel that was acknowledged after that. {named, seconds} since the fault.
    async failover(fault) {
        const start = performance.now();
        await fault(this.old);
        this.next = await this.set.moved(this.old);
        const named = since(start);
        await this.load.recovery();
        return { seconds: since(start), named };
    }

    // The sentinels have made the old primary a replica. They cut its clients off then, this one too.
    async returned() {
        await until('the old primary is a replica in step', () => this.old.command(['ROLE']).then(role => role[3] === 'connected', () => false), 30000);
    }

    // The names of the channels, by the numbers that the author and the clients have for them.
    get names() {
        const { counts, prefix } = this.load.author;
        return counts.map((_, channel) => `${prefix}-${channel}`);
    }

    // Channel name => the node that has its history.
    async histories() {
        const primary = await this.set.primary();
        return () => primary;
    }

    // Acknowledged events that are not in the history: their write did not survive.
    async gone() {
        const { names, load: { author: { counts } } } = this;
        const node = await this.histories();
        const missing = await Promise.all(counts.map(async (count, channel) => {
            const text = String(await node(names[channel]).command(['XRANGE', `{sse:${names[channel]}}:log`, '-', '+']));
            const there = new Set([...text.matchAll(/\ndata: \d+ (\d+) /g)].map(([, number]) => Number(number)));
            return Array.from({ length: count }, (_, i) => i + 1).filter(number => !there.has(number)).length;
        }));
        return missing.reduce((sum, n) => sum + n, 0);
    }

    // Ends the load and prints the row. With `gaps` the clients may have been told of some, and of an event again right behind one, since the first time its write did not survive.
    async finish(t, fault, more = {}, { gaps = false, reconnects = 0 } = {}) {
        const { load } = this;
        await load.author.stop();
        const report = await load.follow.expect(load.author.counts);
        const gone = await this.gone();
        row(t, fault, figures(report, { ...more, ...this.ownFigures(report), 'told again': report.retold, gone }));
        assert.deepEqual({ faults: load.author.faults, lost: report.lost, duplicated: report.duplicated, 'out of order': report.out_of_order, malformed: report.malformed,
            reconnects: report.reconnects }, { faults: [], lost: 0, duplicated: 0, 'out of order': 0, malformed: 0, reconnects });
        if (!gaps)
            assert.deepEqual({ gaps: report.gaps, retold: report.retold, gone }, { gaps: 0, retold: 0, gone: 0 });
        await load.stop();
        return { ...report, gone };
    }

    ownFigures() {
        return {};
    }

    async stop() {
        await this.load?.stop();
        await this.set?.stop();
    }
}

// Two network namespaces with an address each, reached by this machine in any case, and by each other until cut(). Needs root.
export class Islands {
    constructor(t) {
        const n = process.pid % 250;
        this.names = ['a', 'b'].map(name => `sse-${process.pid}-${name}`);
        this.hosts = [1, 2].map(i => `10.213.${n}.${i}`);
        t.after(() => this.#remove());
        const ip = line => execFileSync('ip', line.split(' '), { stdio: 'pipe' });
        const [a, b] = this.names;
        for (const [i, name] of this.names.entries()) {
            ip(`netns add ${name}`);
            ip(`link add s${process.pid}${i} type veth peer name wire netns ${name}`);
            ip(`addr add 10.214.${n}.${i * 4 + 1}/30 dev s${process.pid}${i}`);
            ip(`link set s${process.pid}${i} up`);
            ip(`-n ${name} addr add 10.214.${n}.${i * 4 + 2}/30 dev wire`);
            ip(`-n ${name} link set wire up`);
            ip(`-n ${name} link set lo up`);
            ip(`-n ${name} addr add ${this.hosts[i]}/32 dev lo`);
            ip(`route add ${this.hosts[i]}/32 via 10.214.${n}.${i * 4 + 2}`);
        }
        ip(`-n ${a} link add between type veth peer name between netns ${b}`);
        for (const [i, name] of this.names.entries()) {
            ip(`-n ${name} addr add 10.215.${n}.${i + 1}/30 dev between`);
            ip(`-n ${name} link set between up`);
            ip(`-n ${name} route add ${this.hosts[1 - i]}/32 via 10.215.${n}.${2 - i} src ${this.hosts[i]}`);
        }
        this.cut = () => ip(`-n ${b} link set between down`);
        this.join = () => {
            ip(`-n ${b} link set between up`);
            ip(`-n ${b} route replace ${this.hosts[0]}/32 via 10.215.${n}.1 src ${this.hosts[1]}`);
        };
    }

    // The first node on one, all others and the sentinels on the other: `at` of SentinelSet.
    at(i) {
        const island = i === 0 ? 0 : 1;
        return { host: this.hosts[island], wrap: ['ip', 'netns', 'exec', this.names[island]] };
    }

    #remove() {
        for (const [i, name] of this.names.entries()) {
            execFileSync('ip', ['netns', 'del', name]);
            execFileSync('sh', ['-c', `ip link del s${process.pid}${i} 2>/dev/null || true`]);
        }
    }
}
