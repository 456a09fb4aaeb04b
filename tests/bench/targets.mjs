// The bounds that the project sets itself. Each is computed for every round from that round's samples alone: the machine's speed drifts between rounds.
//
//     {what, unit, most | least, stretch, of: (pick) => number or null}      pick(load, system, metric): a sample's figure, null when not measured

const ratio = (a, b) => (a === null || b === null || b === 0 ? null : a / b);
const over = (load, metric, system, other, otherLoad = load) => pick => ratio(pick(load, system, metric), pick(otherLoad, other, metric));
const figure = (load, system, metric) => pick => pick(load, system, metric);

const CPU = 'CPU for each delivery', OPENING = 'CPU to open a stream with a token';

export const TARGETS = [
    { what: `${CPU}, 1 × 1,000 × 100/s: gateway / floor`, most: 1.10, of: over('fan-1000', 'cpu_us', 'gateway', 'floor') },
    { what: `${CPU}, 1 × 1,000 × 100/s: gateway / Nchan`, most: 0.70, of: over('fan-1000', 'cpu_us', 'gateway', 'nchan') },
    { what: `${CPU}, 1 × 10,000 × 10/s: gateway / floor`, most: 1.10, of: over('fan-10000', 'cpu_us', 'gateway', 'floor') },
    { what: `${CPU}, 1 × 10,000 × 10/s: gateway / Nchan`, most: 0.70, of: over('fan-10000', 'cpu_us', 'gateway', 'nchan') },
    { what: `${CPU}, 2,000 × 5, 2,000/s: gateway / floor`, most: 1.25, of: over('many', 'cpu_us', 'gateway', 'floor') },
    { what: `${CPU}, 1 × 1,000 × 100/s: gateway / floor`, most: 1, stretch: true, of: over('fan-1000', 'cpu_us', 'gateway', 'floor') },
    { what: 'p99, 1 × 10,000 × 10/s: gateway / floor', most: 1.5, of: over('fan-10000', 'p99_ms', 'gateway', 'floor') },
    { what: 'p99, 1 × 1,000 × 50/s: gateway / floor', most: 1.2, of: over('fan-50', 'p99_ms', 'gateway', 'floor') },
    { what: 'p99, 1 × 1,000 × 50/s: gateway, HTTP/2 / floor', most: 0.3, of: over('fan-50', 'p99_ms', 'gateway-h2', 'floor') },
    { what: 'p99, 1 × 1,000 × 50/s: gateway, two workers / floor', most: 1.2, of: over('fan-50', 'p99_ms', 'gateway-2', 'floor') },
    { what: 'p99, 1 × 1,000 × 50/s: gateway, HTTP/2, two workers / floor', most: 0.3, of: over('fan-50', 'p99_ms', 'gateway-h2-2', 'floor') },
    { what: '100,000 events/s from the bus for 1 channel, 10 readers: deliveries each second', unit: '', least: 990000, of: figure('intake', 'gateway', 'deliveries_s') },
    { what: '100,000 events/s from the bus for 1 channel, 10 readers: p99', unit: 'ms', most: 100, of: figure('intake', 'gateway', 'p99_ms') },
    { what: 'p99, 1 × 100 × 50/s: gateway / floor', most: 1.5, of: over('few', 'p99_ms', 'gateway', 'floor') },
    { what: 'most deliveries/s, p99 ≤ 1 s: gateway / floor', least: 0.95, of: over('capacity', 'most', 'gateway', 'floor') },
    { what: 'most deliveries/s, two workers: gateway / Nchan', least: 1, of: over('capacity', 'most', 'gateway-2', 'nchan-2') },
    { what: `${CPU}, two workers, 1 × 10,000 × 6/s: gateway / Nchan`, most: 0.75, of: over('two-workers', 'cpu_us', 'gateway-2', 'nchan-2') },
    { what: 'PSS of an idle stream, HTTP/1.1', unit: 'KB', most: 1, of: figure('idle', 'gateway', 'pss_kb') },
    { what: 'PSS of an idle stream, HTTP/1.1 over TLS', unit: 'KB', most: 16, of: figure('idle', 'gateway-tls', 'pss_kb') },
    { what: 'PSS of an idle stream, HTTP/2, 90 a connection', unit: 'KB', most: 6, of: figure('idle', 'gateway-h2', 'pss_kb') },
    { what: 'PSS of an idle stream, HTTP/2 over TLS, 90 a connection', unit: 'KB', most: 6, of: figure('idle', 'gateway-h2-tls', 'pss_kb') },
    { what: `${CPU}, TLS, 1 × 1,000 × 100/s: gateway / TLS floor`, most: 1.15, of: over('fan-1000', 'cpu_us', 'gateway-tls', 'floor-tls') },
    { what: `${CPU}, TLS, 1 × 10,000 × 10/s: gateway / TLS floor`, most: 1.15, of: over('fan-10000', 'cpu_us', 'gateway-tls', 'floor-tls') },
    { what: `${CPU}, HTTP/2, 1 × 990 × 100/s`, unit: 'µs', most: 0.6, of: figure('fan-1000', 'gateway-h2', 'cpu_us') },
    { what: `${CPU}, HTTP/2, 1 × 9,990 × 10/s`, unit: 'µs', most: 0.6, of: figure('fan-10000', 'gateway-h2', 'cpu_us') },
    { what: `${CPU}, HTTP/2 over TLS, 1 × 990 × 100/s`, unit: 'µs', most: 0.8, of: figure('fan-1000', 'gateway-h2-tls', 'cpu_us') },
    { what: `${CPU}, HTTP/2 over TLS, 1 × 9,990 × 10/s`, unit: 'µs', most: 0.8, of: figure('fan-10000', 'gateway-h2-tls', 'cpu_us') },
    { what: 'CPU to open a stream: gateway / Nchan', most: 1, of: over('fan-10000', 'open_cpu_us', 'gateway', 'nchan') },
    { what: 'time to open 10,000 streams', unit: 'ms', most: 2000, of: figure('fan-10000', 'gateway', 'open_ms') },
    { what: `${OPENING} of HS256, again: gateway / without`, most: 1.2, of: over('auth', 'open_cpu_us', 'gateway-hs256', 'gateway') },
    { what: `${OPENING} of ES256, again: gateway / without`, most: 1.2, of: over('auth', 'open_cpu_us', 'gateway-es256', 'gateway') },
    { what: `${OPENING} of HS256, first time, TLS: gateway / without`, most: 1.2, of: over('auth', 'new_cpu_us', 'gateway-tls-hs256', 'gateway-tls') },
    { what: `${OPENING} of ES256, first time, TLS: gateway / without`, most: 1.2, of: over('auth', 'new_cpu_us', 'gateway-tls-es256', 'gateway-tls') },
    { what: `${OPENING} of HS256, first time, without TLS: gateway / without`, most: 1.2, stretch: true, of: over('auth', 'new_cpu_us', 'gateway-hs256', 'gateway') },
    { what: `${OPENING} of ES256, first time, without TLS: gateway / without`, most: 1.2, stretch: true, of: over('auth', 'new_cpu_us', 'gateway-es256', 'gateway') },
    { what: `${CPU}, opened with a token of HS256: gateway / without`, most: 1.05, of: over('auth', 'cpu_us', 'gateway-hs256', 'gateway') },
    { what: `${CPU}, opened with a token of ES256: gateway / without`, most: 1.05, of: over('auth', 'cpu_us', 'gateway-es256', 'gateway') },
    { what: 'answers, 2,000 channels, a reader each: words a second with p99 ≤ 100 ms', unit: '', least: 50000, of: figure('answers', 'gateway', 'most') },
    { what: 'answers: first byte of a reader that joins from earliest, median', unit: 'ms', most: 20, of: figure('answers', 'gateway', 'join_p50_ms') },
    { what: 'CPU of Redis for each event, 16 under way: sse_publish / the least function', most: 2, of: over('bus', 'p16_cpu_us', 'bus-publish', 'bus-least') },
    { what: 'CPU of Redis for each event, 64 under way: sse_publish / the least function', most: 2, of: over('bus', 'p64_cpu_us', 'bus-publish', 'bus-least') },
    { what: 'CPU of Redis for each event, 16 under way: sse_publish_many of 32 / the least function, of one', most: 0.8, of: over('bus', 'p16_cpu_us', 'bus-many', 'bus-least') },
    { what: 'CPU of Redis for each event, 64 under way: sse_publish_many of 32 / the least function, of one', most: 0.8, of: over('bus', 'p64_cpu_us', 'bus-many', 'bus-least') },
    { what: 'POST, 64 connections: acknowledged each second', unit: '', least: 50000, stretch: true, of: figure('post', 'publisher', 'per_second') },
    { what: 'POST, 64 connections: acknowledged each second, now / before issue 19', least: 2, of: over('post', 'per_second', 'publisher', 'publisher-before') },
    { what: 'POST, 64 connections: p99', unit: 'ms', most: 20, of: figure('post', 'publisher', 'p99_ms') },
    { what: '100,000 channels, 5,000 come and go a second: longest pause', unit: 'ms', most: 50, of: figure('churn', 'gateway', 'pause_ms') },
    { what: '100,000 channels: streams that came each second', unit: '', least: 4950, of: figure('churn', 'gateway', 'opened_s') },
];

export function spread(values) {
    const sorted = values.filter(value => typeof value === 'number' && Number.isFinite(value)).sort((a, b) => a - b);
    if (sorted.length === 0)
        return null;
    const middle = (sorted.length - 1) / 2;
    return { min: sorted[0], median: (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2, max: sorted.at(-1) };
}

// Each target with {min, median, max} over the rounds (null: not measured) and whether the median keeps the bound.
export function judged(samples, rounds) {
    return TARGETS.map(({ of, ...target }) => {
        const values = Array.from({ length: rounds }, (_, round) => of((load, system, metric) => samples[load]?.[system]?.[round]?.[metric] ?? null));
        const seen = spread(values);
        const met = seen === null ? null : target.most === undefined ? seen.median >= target.least : seen.median <= target.most;
        return { ...target, seen, met };
    });
}
