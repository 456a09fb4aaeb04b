// The real programs on this machine, put under one load: gateways on the first core; Redis, publisher and load programs on the second.
//
//     const stage = await Stage.start({ gateways: 2, protocol: 'tls', threads: 1, env: {} });
//     const sample = await stage.run({ streams, channels, rate, per, via, bytes, seconds });
//     await stage.stop();
//
// A sample has the CPU time of all gateways, of Redis and of the publisher in its `seconds`, µs; of opening for each stream.
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuNs, pssKb } from '../../bench/measure.mjs';
import { CLIENT_CORE, DESCRIPTORS, Reader, SERVER_CORE, place, publish as benchPublish } from '../../bench/programs.mjs';
import { Redis, Server, certificate, freePort, tempFolder, until } from '../../integration/stack.mjs';
import { LOAD_S } from './predict.mjs';

const DELIVERY_S = 15; // who is behind has so long to deliver the rest
const CALM_MS = 200, CALM_NS = 2e6; // a gateway that has nothing to do takes less than a tenth of that CPU in that time
const READER_MAX = DESCRIPTORS - 200; // connections of one load program

const slabKb = () => Number(/^Slab:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))[1]);
const texts = settings => Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)]));
const sum = values => values.reduce((total, value) => total + value, 0);

// This process stays away from the gateways' core.
export const stayOnClientCore = () => execFileSync('taskset', ['-apc', String(CLIENT_CORE), String(process.pid)], { stdio: 'ignore' });

// A loop of the lowest priority on each core keeps it from sleeping: waking a virtual core costs as much as the work itself, and differs from host to host and from
// minute to minute. `stop()` ends it.
export class Awake {
    constructor() {
        this.loops = [SERVER_CORE, CLIENT_CORE].map(core => spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'chrt', '--idle', '0', 'taskset', '-c', String(core),
            'sh', '-c', 'while :; do :; done'], { stdio: 'ignore' }));
    }

    stop() {
        this.loops.forEach(loop => loop.kill('SIGKILL'));
    }
}

// The readers, once each has its streams; when one has not, none is left.
async function allOpen(began, streams) {
    const results = await Promise.allSettled(began);
    const readers = results.flatMap(({ value }) => (value ? [value] : []));
    const open = sum(readers.map(reader => reader.opened.open));
    if (open === streams)
        return readers;
    const why = results.flatMap(({ reason, value }) => (reason ? [reason.message] : value.errors)).slice(0, 5);
    await Promise.all(readers.map(reader => reader.end()));
    throw new Error(`only ${open} of ${streams} streams opened\n${why.join('\n')}`);
}

export class Stage {
    gateways = [];

    static async start(options = {}) {
        const stage = new Stage();
        stage.options = { gateways: 1, protocol: 'h1', threads: 1, env: {}, pinned: true, ...options };
        stage.folder = tempFolder();
        try {
            await stage.#start();
        } catch (error) {
            await stage.stop().catch(() => {});
            throw error;
        }
        return stage;
    }

    async #start() {
        const { gateways } = this.options;
        this.redisPort = await freePort();
        this.redis = new Redis(join(this.folder, 'redis'), { port: this.redisPort, bind: '127.0.0.1' });
        await this.#run(this.redis, CLIENT_CORE);
        const shared = { PORT: 0, HOST: '127.0.0.1', ADMIN_PORT: 0, REDIS_URL: `redis://127.0.0.1:${this.redisPort}` };
        const listeners = { public: 'PORT', admin: 'ADMIN_PORT' };
        this.publisher = new Server('sse-publisher', 'publisher', texts({ ...shared, TICKERS: 'off' }), listeners);
        await this.#run(this.publisher, CLIENT_CORE);
        const settings = { ...shared, THREADS: this.options.threads, DRAIN_SECONDS: 0, CHANNEL_RATE: 0, ...this.#protocol(), ...this.options.env };
        this.gateways = Array.from({ length: gateways }, (_, i) => new Server('sse-gateway', `gateway ${i}`, texts(settings), listeners));
        await Promise.all(this.gateways.map(gateway => this.#run(gateway, SERVER_CORE)));
    }

    #protocol() {
        const { protocol } = this.options;
        if (protocol.endsWith('tls')) {
            const { cert, key } = certificate(this.folder);
            return { TLS_CERT: cert, TLS_KEY: key };
        }
        return protocol === 'h2' ? { HTTP2_CLEARTEXT: 'on' } : {};
    }

    #run(proc, core) {
        proc.argv = place(this.options.pinned ? core : null, proc.argv);
        return proc.start();
    }

    // What programs.mjs takes as a system: one gateway, as a reader sees it.
    seen(gateway, per = 90) {
        const { protocol, pinned } = this.options;
        const http2 = protocol.startsWith('h2') ? { protocol: 'h2', 'per-connection': per } : {};
        return { address: `127.0.0.1:${gateway.ports.public}`, path: '/channels/bench-%d', clientCore: pinned ? CLIENT_CORE : null,
            reader: { tls: protocol.endsWith('tls'), ...http2 } };
    }

    // Readers of `streams` in all, the same number at each gateway, in processes that their descriptors allow; all at once if `together`.
    async open({ streams, channels, per = 90, bytes, apart = false, together = false }) {
        const each = Math.floor(streams / this.gateways.length);
        const began = [];
        for (const { gateway, i, some } of this.#parts(each, per)) {
            began.push(Reader.open({ ...this.seen(gateway, per), path: this.path(i, apart) }, { streams: some, channels, bytes }));
            if (!together)
                await Promise.allSettled(began);
        }
        const readers = await allOpen(began, each * this.gateways.length);
        await this.heard(apart ? channels * this.gateways.length : channels);
        return readers;
    }

    // [{gateway, its index i, some streams}]: a load program for each.
    #parts(each, per) {
        const most = READER_MAX * (this.options.protocol.startsWith('h2') ? per : 1);
        return this.gateways.flatMap((gateway, i) =>
            Array.from({ length: Math.ceil(each / most) }, (_, part) => ({ gateway, i, some: Math.min(most, each - part * most) })));
    }

    // `apart`: no channel has streams at two gateways.
    path(i, apart) {
        return apart ? `/channels/bench-${'abcdefghijklmnop'[i]}-%d` : '/channels/bench-%d';
    }

    heard(channels) {
        return until(`${channels} channels are heard`, async () => (await this.redis.command(['PUBSUB', 'CHANNELS', 'sse:bench-*'])).length >= channels, 30000);
    }

    // Publishes `rate` a second over all channels. `apart`: each gateway's channels have their part of it.
    publish({ channels, rate, via = 'redis', bytes, apart = false }, seconds) {
        const clientCore = this.options.pinned ? CLIENT_CORE : null;
        const to = via === 'redis' ? `127.0.0.1:${this.redisPort}` : `127.0.0.1:${this.publisher.ports.public}`;
        const paths = apart ? this.gateways.map((_, i) => this.path(i, true)) : [undefined];
        return Promise.all(paths.map(path => benchPublish({ clientCore, publish: { via, to, bytes, ...(path === undefined ? {} : { path }) } },
            { channels, rate: Math.round(rate / paths.length), seconds }))).then(all => ({ last_seq: all[0].last_seq, failed: sum(all.map(one => one.failed)) }));
    }

    #roles() {
        return { gateway: this.gateways.map(gateway => gateway.pid), redis: [this.redis.pid], publisher: [this.publisher.pid] };
    }

    // What each role used over `body`, in µs, and how long that was.
    async #metered(body) {
        const roles = Object.entries(this.#roles());
        const before = roles.map(([, pids]) => cpuNs(pids));
        const start = performance.now();
        const result = await body();
        const seconds = (performance.now() - start) / 1000;
        return { ...result, seconds, ...Object.fromEntries(roles.map(([role, pids], i) => [`${role}_us`, (cpuNs(pids) - before[i]) / 1000])) };
    }

    #opening(before, { streams }) {
        const roles = this.#roles();
        return { open_us: (cpuNs(roles.gateway) - before.gateway) / 1000 / streams, redis_open_us: (cpuNs(roles.redis) - before.redis) / 1000 / streams,
            pss_kb: pssKb(roles.gateway) - before.pss, slab_kb: slabKb() - before.slab };
    }

    // Until the gateways have done what the opening of streams leaves them to do: what they hold then is the streams'.
    settled() {
        const pids = this.#roles().gateway;
        let before = cpuNs(pids);
        return until('the gateways have nothing to do', async () => {
            await sleep(CALM_MS);
            const used = cpuNs(pids) - before;
            before += used;
            return used < CALM_NS * pids.length;
        }, 30000);
    }

    // One load, from the opening of its streams to their end. `seconds` are measured after one second of the same. `settle`: the opening counts until settled().
    async run({ seconds = LOAD_S - 1, warm = 1, settle = false, ...load }) {
        const roles = this.#roles();
        const before = { pss: pssKb(roles.gateway), gateway: cpuNs(roles.gateway), redis: cpuNs(roles.redis), slab: slabKb(), used: await this.redisBytes() };
        const readers = await this.open(load);
        try {
            if (settle)
                await this.settled();
            const opened = this.#opening(before, load);
            const published = load.rate === 0 ? null : this.publish(load, warm + seconds);
            published?.catch(() => {});
            await sleep(warm * 1000);
            await Promise.all(readers.map(reader => reader.mark()));
            const sample = await this.#metered(async () => {
                if (published === null)
                    await sleep(seconds * 1000);
                const { last_seq: last, failed } = await published ?? { last_seq: 0, failed: 0 };
                return summary(await Promise.all(readers.map(reader => reader.expect(last, DELIVERY_S))), failed);
            });
            return { ...opened, ...sample, events: sample.deliveries * load.channels * (load.apart ? this.gateways.length : 1) / load.streams, published: load.rate * (warm + seconds),
                before_kb: before.pss / roles.gateway.length, loaded_kb: pssKb(roles.gateway) - before.pss, redis_bytes: await this.redisBytes() - before.used };
        } finally {
            await Promise.all(readers.map(reader => reader.end()));
            await Promise.all(this.gateways.map(gateway => gateway.waitMetric('sse_streams', 0, { ms: 30000 })));
        }
    }

    async redisBytes() {
        return Number(/^used_memory:(\d+)/m.exec(await this.redis.command(['INFO', 'memory']))[1]);
    }

    async stop() {
        const faults = [];
        for (const proc of [...this.gateways, this.publisher, this.redis].filter(proc => proc?.child))
            faults.push(await proc.end());
        rmSync(this.folder, { recursive: true, force: true });
        const wrong = faults.filter(fault => fault !== null);
        if (wrong.length !== 0)
            throw new Error(wrong.join('\n'));
    }
}

export const using = async (options, body) => {
    const stage = await Stage.start(options);
    try {
        return await body(stage);
    } finally {
        await stage.stop();
    }
};

const WRONG = ['lost', 'duplicated', 'out_of_order', 'foreign', 'closed'];

function summary(reports, failed) {
    const total = name => sum(reports.map(report => report[name]));
    const wrong = Object.fromEntries(WRONG.map(name => [name, total(name)]).filter(([, n]) => n !== 0));
    if (Object.keys(wrong).length !== 0 || failed !== 0)
        throw new Error(`the load went wrong: ${JSON.stringify({ ...wrong, failed })}`);
    return { deliveries: total('events'), wire: total('bytes'), p99_ms: Math.max(...reports.map(report => report.p99_us ?? 0)) / 1000 };
}
