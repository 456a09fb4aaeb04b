// What is measured, on which systems. Interleaved: each round takes all systems of a load, one after the other.

const TOKENS = ['gateway-hs256', 'gateway-es256'], TLS_TOKENS = ['gateway-tls-hs256', 'gateway-tls-es256'];
const BARE = ['floor', 'floor-uring', 'floor-tls', 'gateway', 'gateway-tls', 'gateway-h2', 'gateway-h2-tls', 'gateway-2'];
export const PEERS = ['nchan', 'nchan-2', 'node', 'pushpin'];
const PLAIN = ['floor', 'gateway', 'nchan', 'node', 'pushpin', 'floor-uring'];
const TLS = ['floor-tls', 'gateway-tls'];
const H2 = ['gateway-h2', 'gateway-h2-tls'];

// Of another build, to compare with, where BEFORE_DIR names one.
const BEFORE = process.env.BEFORE_DIR ? ['publisher-before'] : [];

const BUS = ['bus-plain', 'bus-least', 'bus-publish', 'bus-many'];

export const PER_CONNECTION = 90;
export const CAPACITY_STREAMS = 10000, CAPACITY_P99_MS = 1000;

// kind: the function of runs.mjs that measures it. rate: events a second over all channels. again: the streams open and close before it, so often with new tokens and so often with known ones. HTTP/2 systems get the next lower multiple of
// PER_CONNECTION streams.
const FULL = [
    { name: 'fan-1000', kind: 'steady', systems: [...PLAIN, ...TLS, ...H2], channels: 1, streams: 1000, rate: 100 },
    { name: 'fan-10000', kind: 'steady', systems: [...PLAIN, ...TLS, ...H2], channels: 1, streams: 10000, rate: 10 },
    { name: 'many', kind: 'steady', systems: PLAIN.filter(name => name !== 'pushpin'), channels: 2000, streams: 10000, rate: 2000 },
    { name: 'fan-50', kind: 'steady', systems: ['floor', 'gateway', 'gateway-h2', 'gateway-2', 'gateway-h2-2'], channels: 1, streams: 1000, rate: 50 },
    { name: 'few', kind: 'steady', systems: PLAIN, channels: 1, streams: 100, rate: 50, seconds: 24 },
    { name: 'auth', kind: 'steady', systems: ['gateway', ...TOKENS, 'gateway-tls', ...TLS_TOKENS], channels: 1, streams: 10000, rate: 10, again: 5 },
    { name: 'idle', kind: 'idle', systems: [...PLAIN, ...TLS, ...H2], channels: 1, streams: 5000, rest: 3 },
    { name: 'two-workers', kind: 'steady', systems: ['gateway-2', 'nchan-2'], channels: 1, streams: CAPACITY_STREAMS, rate: 6 },
    // four channels: the rate can be set in steps of 2,500 deliveries a second
    { name: 'capacity', kind: 'capacity', systems: ['floor', 'gateway', 'nchan', 'gateway-2', 'nchan-2'], channels: 4, streams: CAPACITY_STREAMS,
        start: 32, factor: 2, precision: 0.05, warm: 1, seconds: 4 },
    // answers of language models: a word is an event; others read them from their beginning meanwhile
    { name: 'answers', kind: 'capacity', systems: ['gateway'], channels: 2000, streams: 2000, bytes: 48, joins: 100, p99: 100, start: 8000, factor: 1.4, precision: 0.1, warm: 2, seconds: 5 },
    { name: 'bus', kind: 'bus', systems: BUS, channels: 64, requests: 200000, pipelines: [16, 64] },
    // what a gateway takes from the bus: in batches, since one Redis does not publish so many one by one
    { name: 'intake', kind: 'steady', systems: ['gateway', 'gateway-2'], channels: 1, streams: 10, rate: 100000, batch: 50 },
    { name: 'post', kind: 'post', systems: ['publisher', ...BEFORE], channels: 64, connections: 64, seconds: 8 },
    { name: 'churn', kind: 'churn', systems: ['gateway'], idle: 100000, probes: 100, probeRate: 50, quiet: 5, streams: 5000, rate: 5000, seconds: 10 },
];

const TINY = { channels: 10, streams: 100, rate: 100, warm: 1, seconds: 1 };
const QUICK = [
    { name: 'fan-1000', kind: 'steady', systems: BARE, ...TINY, channels: 1 },
    { name: 'auth', kind: 'steady', systems: TOKENS, ...TINY, channels: 1, again: 1 },
    { name: 'many', kind: 'steady', systems: ['floor', 'gateway', 'gateway-h2-tls', 'gateway-2'], ...TINY },
    { name: 'idle', kind: 'idle', systems: ['gateway'], channels: 1, streams: 100, rest: 0.2 },
    { name: 'capacity', kind: 'capacity', systems: ['gateway'], channels: 1, streams: 100, start: 8, factor: 4, precision: 4, most: 2, warm: 1, seconds: 1 },
    { name: 'answers', kind: 'capacity', systems: ['gateway'], channels: 20, streams: 20, bytes: 48, joins: 20, p99: 1000, start: 100, factor: 4, precision: 4, most: 2, warm: 1, seconds: 2 },
    { name: 'bus', kind: 'bus', systems: BUS, channels: 8, requests: 1000, pipelines: [16] },
    { name: 'intake', kind: 'steady', systems: ['gateway'], channels: 2, streams: 10, rate: 2000, batch: 5, warm: 1, seconds: 1 },
    { name: 'post', kind: 'post', systems: ['publisher'], channels: 8, connections: 8, seconds: 1 },
    { name: 'churn', kind: 'churn', systems: ['gateway'], idle: 200, probes: 10, probeRate: 50, quiet: 1, streams: 50, rate: 100, seconds: 1 },
];

export const DEFAULTS = { warm: 2, seconds: 8 };

export function plan({ quick, only, loads }) {
    const chosen = (quick ? QUICK : FULL).filter(load => loads === null || loads.includes(load.name));
    return chosen.map(load => ({ ...DEFAULTS, ...load, systems: load.systems.filter(name => only === null || only.includes(name)) }))
        .filter(load => load.systems.length !== 0);
}

export const TITLES = {
    'fan-1000': '1 channel, 1,000 streams, 100/s',
    'fan-10000': '1 channel, 10,000 streams, 10/s',
    'many': '2,000 channels × 5 streams, 2,000/s',
    'fan-50': '1 channel, 1,000 streams, 50/s',
    'few': '1 channel, 100 streams, 50/s',
    'intake': '1 channel, 10 streams, 100,000/s in batches of 50',
    'two-workers': '1 channel, 10,000 streams, 6/s',
    'auth': 'with tokens, 1 channel, 10,000 streams, 10/s',
};

export const NAMES = {
    'floor': 'floor: one `send(2)` for each delivery',
    'floor-uring': 'floor: io_uring, batched',
    'floor-tls': 'floor: TLS 1.3, `SSL_write`',
    'gateway': '**SSE Gateway**',
    'gateway-tls': '**SSE Gateway**, TLS',
    'gateway-h2': '**SSE Gateway**, HTTP/2',
    'gateway-h2-tls': '**SSE Gateway**, HTTP/2 over TLS',
    'gateway-2': '**SSE Gateway**, two workers',
    'gateway-h2-2': '**SSE Gateway**, HTTP/2, two workers',
    'gateway-hs256': '**SSE Gateway**, tokens of HS256',
    'gateway-es256': '**SSE Gateway**, tokens of ES256',
    'gateway-tls-hs256': '**SSE Gateway**, TLS, tokens of HS256',
    'gateway-tls-es256': '**SSE Gateway**, TLS, tokens of ES256',
    'nchan': 'Nchan with Redis',
    'nchan-2': 'Nchan with Redis, two workers',
    'node': 'Node: better-sse with ioredis',
    'pushpin': 'Pushpin',
    'publisher': '**sse-publisher**',
    'publisher-before': 'sse-publisher of the build to compare with',
    'bus-plain': '`XADD` and `PUBLISH`, two commands',
    'bus-least': 'a function of these two and nothing else',
    'bus-publish': '**`sse_publish`**',
    'bus-many': '**`sse_publish_many`**, 32 events a call',
};
