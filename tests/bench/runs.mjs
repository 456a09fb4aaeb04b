// How each kind of load of plan.mjs is measured: kind → async (load, name, memory) → one sample, a flat object of numbers.
// `memory` is an object that a system of a load keeps from round to round.
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../integration/wait.mjs';
import { cpuNs, pssKb } from './measure.mjs';
import { CAPACITY_P99_MS, PER_CONNECTION } from './plan.mjs';
import { DESCRIPTORS, Reader, churn, post, publish, redisBenchmark } from './programs.mjs';
import { start } from './servers.mjs';

const SPARE_DESCRIPTORS = 1000;
const DELIVERY_S = 20; // a server that is behind has so long to deliver the rest

const per = (ns, count) => (count === 0 ? null : ns / 1000 / count);

// Runs `body` with the system `name` started, and ends it whatever happens.
async function using(name, body) {
    const system = await start(name);
    let result;
    try {
        result = await body(system);
    } catch (error) {
        await system.stop().catch(() => {});
        throw error;
    }
    await system.stop();
    return result;
}

async function reading(system, options, body) {
    const reader = await Reader.open(system, options);
    try {
        return await body(reader);
    } finally {
        await reader.end();
    }
}

// `body` with all streams open and heard; what opening them took is in `opening`.
function opened(system, load, body) {
    const before = cpuNs(system.pids());
    return reading(system, { streams: load.streams, channels: load.channels, bytes: load.bytes }, async reader => {
        await system.subscribed(load.channels);
        const opening = { open_ms: reader.opened.ms, open_cpu_us: per(cpuNs(system.pids()) - before, load.streams) };
        return body(reader, opening);
    });
}

const wrong = ({ lost, duplicated, out_of_order, foreign, closed }) => ({ lost, duplicated, out_of_order, foreign, closed });

// Publishes for warm + seconds; the window begins after `warm` and ends when every stream has every event.
async function window(system, reader, { channels, rate, warm, seconds, bytes, batch }) {
    const published = publish(system, { channels, rate, seconds: warm + seconds, bytes, batch });
    published.catch(() => {});
    await sleep(warm * 1000);
    const [server, redis] = [system.pids(), system.redisPids()];
    const before = { server: cpuNs(server), redis: cpuNs(redis) };
    await reader.mark();
    const sent = await published;
    const report = await reader.expect(sent.last_seq, DELIVERY_S);
    const [cpu, redisCpu] = [cpuNs(server) - before.server, cpuNs(redis) - before.redis];
    return {
        cpu_us: per(cpu, report.events), events: report.events, deliveries_s: report.events / report.seconds,
        p50_ms: report.p50_us / 1000, p90_ms: report.p90_us / 1000, p99_ms: report.p99_us / 1000, p999_ms: report.p999_us / 1000,
        max_ms: report.max_us / 1000, ...wrong(report),
        redis_cpu_us: redis.length === 0 ? null : per(redisCpu, sent.sent * seconds / (warm + seconds)),
        publish_failed: sent.failed, publish_p99_ms: sent.ack_p99_us / 1000,
        // one core for the load programs and Redis: near 1, the figures are theirs and not the server's
        client_load: (report.cpu_us + sent.cpu_us * seconds / (warm + seconds) + redisCpu / 1000) / (report.seconds * 1e6),
    };
}

// HTTP/2 connections are all full.
const fitted = (system, load) =>
    (system.reader.protocol === 'h2' ? { ...load, streams: Math.max(1, Math.floor(load.streams / PER_CONNECTION)) * PER_CONNECTION } : load);

// CPU to open each of the streams, µs; they are closed again.
async function comeAndGo(system, load) {
    const { open_cpu_us: cpu } = await opened(system, load, (_, opening) => opening);
    await system.gateway.waitMetric('sse_streams', 0, { ms: 30000 });
    return cpu;
}

// With tokens that are new each time, and then with those of the last time, `again` times each: one opening alone costs up to half more or less than the next. Over TLS once: the
// handshakes take long, and vary less than what they cost.
async function openings(system, load) {
    const times = system.reader.tls ? 1 : load.again, cost = { new_cpu_us: 0, open_cpu_us: 0 };
    for (let i = 0; i < times; ++i) {
        system.freshTokens(load.streams);
        cost.new_cpu_us += await comeAndGo(system, load) / times;
    }
    for (let i = 0; i < times; ++i)
        cost.open_cpu_us += await comeAndGo(system, load) / times;
    return cost;
}

const steady = (load, name) => using(name, async system => {
    const full = fitted(system, load);
    const again = load.again ? await openings(system, full) : {};
    return opened(system, full, async (reader, opening) => ({ ...await window(system, reader, load), ...opening, ...again }));
});

const idle = (load, name) => using(name, async system => {
        // what the first connection brings in belongs to no stream
    await reading(system, { streams: fitted(system, { streams: 1 }).streams, channels: 1 }, () => system.subscribed(1));
    const before = pssKb(system.pids());
    const full = fitted(system, load);
    return opened(system, full, async (reader, opening) => {
        await sleep(load.rest * 1000);
        const pss = pssKb(system.pids());
        const report = await reader.report();
        return { pss_kb: (pss - before) / full.streams, total_kb: pss, ...opening, closed: report.closed };
    });
});

// The highest rate that `probe` passes, within `precision`: up (or down) from `first` by `factor`, then halving the rest.
export async function highest(probe, { first, factor, precision, most = 20 }) {
    let good = 0, bad = Infinity, rate = Math.round(first);
    for (let i = 0; i < most && rate > good && rate < bad; ++i) {
        if (await probe(rate))
            good = rate;
        else
            bad = rate;
        if (good !== 0 && bad / good <= 1 + precision)
            break;
        rate = bad === Infinity ? Math.ceil(good * factor) : good === 0 ? Math.floor(bad / factor) : Math.round(Math.sqrt(good * bad));
    }
    return good;
}

const clean = sample => sample.lost + sample.closed + sample.publish_failed === 0;

// While the load runs: streams that come, read their channel from its beginning, and go. The time until the first byte of each.
async function joining(system, { joins, channels, warm, seconds }) {
    await sleep(warm * 1000);
    const report = await churn(system, { path: `${system.path}?last_event_id=earliest`, channels, rate: joins, seconds: seconds - 1, streams: joins });
    return { join_p50_ms: report.p50_ms, join_p99_ms: report.p99_ms, join_failed: report.failed + report.closed };
}

function capacity(load, name, memory) {
    const deliveries = load.streams / load.channels;
    // the rounds after the first begin near its result
    const search = memory.rate ? { first: memory.rate * 0.95, factor: 1.08 } : { first: load.start, factor: load.factor };
    let best = {}, disorder = { duplicated: 0, out_of_order: 0 };
    // A step that broke streams ends its server too: the next one starts fresh.
    const step = (system, rate) => opened(system, load, async reader => {
        const joined = load.joins ? joining(system, load) : null;
        const sample = await window(system, reader, { ...load, rate });
        disorder = { duplicated: disorder.duplicated + sample.duplicated, out_of_order: disorder.out_of_order + sample.out_of_order };
        const passed = clean(sample) && sample.p99_ms <= (load.p99 ?? CAPACITY_P99_MS);
        const joins = await joined;
        if (passed && rate * deliveries > (best.most ?? 0))
            best = { most: rate * deliveries, cpu_us: sample.cpu_us, redis_cpu_us: sample.redis_cpu_us, p99_ms: sample.p99_ms, client_load: sample.client_load, ...joins };
        return passed;
    });
    return highest(rate => using(name, system => step(system, rate)), { precision: load.precision, most: load.most, ...search })
        .then(rate => {
            memory.rate = rate;
            return { most: 0, ...best, ...disorder };
        });
}

const posting = (load, name) => using(name, async system => {
    const { channels, connections, seconds } = load;
    await post(system, { channels, connections, seconds: 1 });
    const before = { server: cpuNs(system.pids()), redis: cpuNs(system.redisPids()) };
    const report = await post(system, { channels, connections, seconds });
    return { per_second: report.per_second, p50_ms: report.p50_ms, p99_ms: report.p99_ms, max_ms: report.max_ms, failed: report.failed,
        cpu_us: per(cpuNs(system.pids()) - before.server, report.acked), redis_cpu_us: per(cpuNs(system.redisPids()) - before.redis, report.acked),
        load_cpu_us: report.cpu_us / report.acked };
});

// What Redis itself spends on an event, by how many commands are under way on a connection.
const bus = (load, name) => using(name, async system => {
    const sample = {}, { channels, requests, pipelines } = load;
    let sent = 0;
    const time = async (count, pipeline) => {
        const before = cpuNs(system.redisPids());
        for (const command of system.commands)
            await redisBenchmark(system, command, { count: Math.ceil(count / system.batch), pipeline, channels });
        sent += Math.ceil(count / system.batch) * system.batch;
        return per(cpuNs(system.redisPids()) - before, count);
    };
    await time(Math.ceil(requests / 10), pipelines[0]);
    for (const pipeline of pipelines)
        sample[`p${pipeline}_cpu_us`] = await time(requests, pipeline);
    let kept = 0;
    for (const key of await system.redis.command(['KEYS', '*:log'])) {
        const info = await system.redis.command(['XINFO', 'STREAM', key]);
        kept += info[info.indexOf('entries-added') + 1];
    }
    return { ...sample, events: kept, lost: sent - kept };
});

// A listener for each of `idle` channels, and beside them streams that come and go on ever new channels, while probe streams measure how long the
// gateway looks away. Where a process may not have a descriptor for each listener they share HTTP/2 connections.
const churning = load => {
    const shared = DESCRIPTORS < load.idle + load.streams + SPARE_DESCRIPTORS;
    return using(shared ? 'gateway-h2' : 'gateway', async system => {
        const crowdOptions = { streams: load.idle, channels: load.idle, path: '/channels/idle-%d', ...system.reader };
        system.reader = {}; // probes and those who come and go have connections of their own
        const before = pssKb(system.pids());
        return reading(system, crowdOptions, crowd => churned(system, load, crowd, before));
    });
};

async function churned(system, load, crowd, before) {
    if (crowd.opened.open !== load.idle)
        throw new Error(`only ${crowd.opened.open} of ${load.idle} streams opened\n${crowd.errors.join('\n')}`);
    await until('all channels are heard', async () => (await system.redis.command(['PUBSUB', 'CHANNELS', 'sse:idle-*'])).length === load.idle, 60000);
    const pss = pssKb(system.pids());
    return opened(system, { streams: load.probes, channels: 1 }, async reader => {
        const quiet = await window(system, reader, { channels: 1, rate: load.probeRate, warm: 1, seconds: load.quiet });
        await reader.ask('reset');
        const came = churn(system, { path: '/channels/churn-%d', rate: load.rate, seconds: load.seconds, streams: load.streams });
        came.catch(() => {});
        const probe = await window(system, reader, { channels: 1, rate: load.probeRate, warm: 1, seconds: load.seconds + 2 });
        const report = await came;
        const { closed } = await crowd.report();
        return { pause_ms: probe.max_ms, pause_p99_ms: probe.p99_ms, quiet_ms: quiet.max_ms, ...wrong(probe),
            closed: probe.closed + closed + report.closed, failed: report.failed,
            crowd_open_ms: crowd.opened.ms, crowd_pss_kb: (pss - before) / load.idle, opened_s: report.opened / report.seconds,
            head_p50_ms: report.p50_ms, head_p99_ms: report.p99_ms, head_max_ms: report.max_ms, client_load: probe.client_load };
    });
}

export const RUNS = { steady, idle, capacity, post: posting, bus, churn: churning };
