// How many of what a workload takes: nodes, cores, memory, Redis shards, network. Pure.
import { channelBytes, gatewayLoad, gatewayMemory, historyBytes, openUs, publisherUs, redisUs, touched } from './formula.mjs';

const DAY_S = 86400; // HISTORY_TTL
const NODES_MAX = 100000, SHARDS_MAX = 100000;
const FIRST_RETRY_S = 6; // RETRY_MS: until then all streams of a lost node are back

// {streams, channels, rate, bytes, toAll, protocol, per, together, cores, memory, network, load, most, history, redisMemory, balancer}
//   streams are spread evenly over the channels; `toAll` is the share of the publishes that go to one channel more, which every stream has, too
//   memory, redisMemory: GB of a node, of a shard; network: Gbit/s of a node; load: share of cores and network that may be used; most: streams of a node
export function plan(costs, input) {
    const workload = classes(input);
    const kept = workload.map(one => Math.min(input.history, one.rate / one.channels * DAY_S));
    const nodes = fewestNodes(costs, input, workload, kept);
    const gateway = { ...nodes.at, nodes: nodes.count + 1 };
    const redis = shards(costs, input, workload, kept, gateway);
    const publishers = fewest(count => publisherUs(costs, input.rate / count) / 1e6 <= input.load, 2);
    const publisherCores = publishers * publisherUs(costs, input.rate / publishers) / 1e6;
    const balancers = Math.max(2, Math.ceil(gateway.connections / input.balancer) + 1);
    return { ...gateway, ...redis, publishers, publisherCores, balancers, perBalancer: Math.ceil(gateway.connections / (balancers - 1)), storm: storm(costs, input, gateway) };
}

function classes({ streams, channels, rate, toAll }) {
    const all = [];
    if (toAll < 1)
        all.push({ channels, each: streams / channels, rate: rate * (1 - toAll) });
    if (toAll > 0)
        all.push({ channels: 1, each: streams, rate: rate * toAll });
    return all;
}

// The first number from `least` on that `fits`.
export function fewest(fits, least = 1, most = SHARDS_MAX) {
    let bad = least - 1, good = least;
    while (good <= most && !fits(good))
        [bad, good] = [good, good * 2];
    while (good - bad > 1) {
        const middle = Math.floor((bad + good) / 2);
        [bad, good] = fits(middle) ? [bad, middle] : [middle, good];
    }
    return good <= most ? good : Infinity;
}

// What one of `count` nodes has to do and to hold.
function node(costs, input, workload, kept, count) {
    const { protocol, per, bytes, together, cores } = input;
    const load = gatewayLoad(costs, workload, { gateways: count, threads: cores, protocol, per, bytes, together });
    const held = gatewayMemory(costs, { streams: load.streams / count, connections: load.connections / count, channels: 0, kept: 0, bytes, protocol });
    const memory = load.classes.reduce((sum, one, i) => sum + one.channels * one.at / count * channelBytes(costs, kept[i], bytes), 0);
    const kernel = held.kernel, own = held.own + memory;
    return { ...load, count, cores: load.us / 1e6, own, kernel, bus: load.heard * busUs(costs, load.heard) / 1e6 };
}

// Its first thread takes all events from Redis.
const busUs = (costs, heard) => costs.gateway_idle_us / Math.max(heard, 1) + costs.event_us.reduce((least, [, us]) => Math.min(least, us), Infinity);

const HEARD = 'events heard';
const LIMITS = {
    'cores': (at, input) => at.cores / at.count / (input.cores * input.load),
    'memory': (at, input) => (at.own + at.kernel) / (input.memory * 1e9),
    'network': (at, input) => at.out * 8 / at.count / (input.network * 1e9 * input.load),
    'streams': (at, input) => at.streams / at.count / input.most,
    [HEARD]: (at, input) => at.bus / input.load,
};

function fewestNodes(costs, input, workload, kept) {
    const fits = count => {
        const at = node(costs, input, workload, kept, count);
        return Object.values(LIMITS).every(share => share(at, input) <= 1);
    };
    const count = fewest(fits, 1, NODES_MAX);
    if (count === Infinity) {
        const at = node(costs, input, workload, kept, NODES_MAX);
        const [name] = Object.entries(LIMITS).find(([, share]) => share(at, input) > 1);
        const why = name === HEARD ? `each hears ${Math.round(at.heard).toLocaleString('en')} events/s, more than its one thread that listens to Redis can take: ` +
            'publish less, or keep the streams of a channel together' : `too much ${name}`;
        throw new Error(`no number of gateways up to ${NODES_MAX} is enough: ${why}`);
    }
    const at = node(costs, input, workload, kept, count);
    const share = Object.entries(LIMITS).map(([name, of]) => [name, of(at, input)]).sort(([, a], [, b]) => b - a);
    return { count, at: { ...at, bound: share[0][0] } };
}

function shards(costs, input, workload, kept, gateway) {
    const { load, bytes, redisMemory } = input;
    const total = { rate: 0, hits: 0, bytes: 0 };
    gateway.classes.forEach((one, i) => {
        total.rate += one.rate;
        total.hits += one.rate * one.at;
        total.bytes += one.channels * (historyBytes(costs, kept[i], bytes) + one.at * costs.redis_subscription_bytes);
    });
    const at = total.rate === 0 ? 0 : total.hits / total.rate;
    const us = count => redisUs(costs, { rate: total.rate / count, at, gateways: gateway.nodes / count, bytes });
    const forCpu = fewest(count => us(count) / 1e6 <= load), forMemory = Math.ceil(total.bytes / (redisMemory * 1e9));
    const count = Math.max(forCpu, forMemory, 1);
    const hottest = workload.map((one, i) => redisUs(costs, { rate: one.rate / one.channels, at: gateway.classes[i].at, gateways: 0, bytes }) / 1e6);
    return { shards: count, redisBound: forCpu >= forMemory ? 'cores' : 'memory', redisCores: count * us(count) / 1e6, redisBytes: total.bytes, fanOut: at,
        tooHot: Math.max(...hottest) > load };
}

// A node is lost: all its streams come to the others, which go on with their work.
function storm(costs, input, gateway) {
    const { protocol, per, cores, streams, channels } = input;
    const others = Math.max(1, gateway.nodes - 1), lost = streams / gateway.nodes;
    const spare = Math.max(0.1, 1 - gateway.cores / others / cores) * cores * others;
    const new_ = Math.min(1, channels * touched(gateway.nodes, streams / channels) / gateway.nodes / lost);
    return { streams: lost, seconds: lost * openUs(costs, protocol, per, new_) / 1e6 / spare, within: FIRST_RETRY_S };
}
