// The arithmetic of the model: costs (costs.json) and a workload in, loads out. Pure.
//
// A workload is a list of classes {channels, each, rate}: that many channels with `each` streams, `rate` events a second over all of them. CPU is in µs a second
// until it is said to be cores; memory in bytes.

const KEEPALIVE_S = 15; // KEEPALIVE_MS
export const EVENT_LINES = 76; // bytes of an event beside its data: `event:`, `id:`, `retry:`, the names of the fields
const CHUNK = 7, H2_FRAME = 9, TLS_RECORD = 22, TCP_IP = 52, ETHERNET = 38, SEGMENT = 1448; // TCP with time stamps over IPv4; preamble and gap of Ethernet
export const REDIS_NODE = 4096; // stream-node-max-bytes, reserved at once
export const BASE_BYTES = 256; // of data: what all costs but `kb` were measured with
export const PROTOCOLS = ['h1', 'tls', 'h2', 'h2-tls'];

const isHttp2 = protocol => protocol.startsWith('h2');
const isTls = protocol => protocol.endsWith('tls');

// A measured curve [[x, y], …] at x: straight between two points over the logarithm of x, flat beyond its ends.
export function along(points, x) {
    if (x <= points[0][0])
        return points[0][1];
    for (let i = 1; i < points.length; ++i) {
        const [[x0, y0], [x1, y1]] = [points[i - 1], points[i]];
        if (x <= x1)
            return y0 + (y1 - y0) * Math.log(x / x0) / Math.log(x1 / x0);
    }
    return points.at(-1)[1];
}

// How many of `places` have one at least of `n` that are put there by chance.
export const touched = (places, n) => (places <= 1 ? Math.min(1, n) : -places * Math.expm1(n * Math.log1p(-1 / places)));

// µs of one write to one connection that gets `s` a second.
export const writeUs = (costs, protocol, s) => along(costs.write_us, s) + tlsUs(costs, protocol);
const tlsUs = (costs, protocol) => (isTls(protocol) ? costs.tls_write_us : 0);

// µs of one event of one stream beside its write.
export const frameUs = (costs, protocol, bytes) => costs.frame_us[protocol] + costs.kb_us[protocol] * (bytes - BASE_BYTES) / 1024;

// Comments a second of a stream with events by chance, `s` a second.
export const comments = s => (s * KEEPALIVE_S > 1e-6 ? s / Math.expm1(s * KEEPALIVE_S) : 1 / KEEPALIVE_S);

// Bytes of one write with `frames` events, as a network card sees them, and what the client's acknowledgements add.
export function writeBytes(protocol, frames, bytes) {
    const data = frames * (bytes + EVENT_LINES + (isHttp2(protocol) ? H2_FRAME : CHUNK)) + (isTls(protocol) ? TLS_RECORD : 0);
    const segments = Math.ceil(data / SEGMENT);
    return { out: data + segments * (TCP_IP + ETHERNET), back: Math.ceil(segments / 2) * (TCP_IP + ETHERNET) };
}

// How one class falls on `gateways` of `threads`: what one event of it touches.
function spread({ channels, each, rate }, { gateways, threads, protocol, per, together }) {
    const streams = channels * each;
    const at = together ? 1 : touched(gateways, each); // gateways with a stream of the channel
    const size = isHttp2(protocol) ? per : 1; // of a connection
    const connections = Math.ceil(streams / size);
    const homes = together ? Math.min(gateways, channels) : 1; // parts of all streams of which the channel's are in one
    const writes = connections / homes * (1 - Math.max(0, 1 - each * homes / streams) ** size);
    const workers = Math.min(at * touched(threads, each / at), Math.max(at, writes));
    return { channels, each, rate, streams, at, workers, connections, writes };
}

// CPU of all gateways together, what each hears and sends.
export function gatewayLoad(costs, workload, layout) {
    const { gateways, threads, protocol, bytes } = layout;
    const classes = workload.map(one => spread(one, layout));
    const connections = Math.max(...classes.map(one => one.connections));
    const streams = Math.max(...classes.map(one => one.streams));
    const written = classes.reduce((sum, one) => sum + one.rate * one.writes, 0) / connections; // writes a second of a connection
    const heard = classes.reduce((sum, one) => sum + one.rate * one.at, 0) / gateways; // events a second of a gateway
    const perStream = classes.reduce((sum, one) => sum + one.rate * one.each, 0) / streams;
    let us = gateways * (costs.gateway_idle_us + heard * along(costs.event_us, heard)) + streams * comments(perStream) * costs.comment_us;
    const net = { out: 0, back: 0 };
    for (const { rate, each, at, workers, writes } of classes) {
        // the first write of each gateway is in event_us, of each further thread in handoff_us
        us += rate * ((writes - workers) * along(costs.write_us, written) + writes * tlsUs(costs, protocol) + each * frameUs(costs, protocol, bytes));
        us += rate * (workers - at) * costs.handoff_us;
        const sent = writeBytes(protocol, each / writes, bytes);
        net.out += rate * writes * sent.out;
        net.back += rate * writes * sent.back;
    }
    return { us, heard, connections, streams, deliveries: perStream * streams, out: net.out, back: net.back, classes };
}

// CPU of one Redis that gets `rate` events a second, each for `at` of `gateways`.
export const redisUs = (costs, { rate, at, gateways, bytes = BASE_BYTES }) =>
    costs.redis_idle_us + gateways * costs.redis_gateway_us +
    rate * (along(costs.redis_publish_us, rate) + at * along(costs.redis_subscriber_us, rate) + costs.redis_kb_us * (bytes - BASE_BYTES) / 1024);

export const publisherUs = (costs, rate) => costs.publisher_idle_us + rate * along(costs.publisher_us, rate);

// Bytes of a channel with a history of `kept` events: of a gateway, of Redis, which has one more node than are full.
export const channelBytes = (costs, kept, bytes) => costs.channel_bytes + kept * (bytes + EVENT_LINES + costs.ring_event_bytes);
export const historyBytes = (costs, kept, bytes) =>
    costs.redis_channel_bytes + (Math.floor(kept * (bytes + EVENT_LINES + costs.redis_event_bytes) / REDIS_NODE) + 1) * REDIS_NODE;

// Memory of one gateway, bytes; `kept`: events that it keeps of each of its channels.
export function gatewayMemory(costs, { streams, connections, channels, kept, bytes, protocol }) {
    const own = costs.gateway_bytes[isTls(protocol) ? 'tls' : 'h1'] + streams * costs.stream_bytes[protocol] + connections * costs.connection_bytes[protocol] +
        channels * channelBytes(costs, kept, bytes);
    return { own, kernel: connections * costs.socket_bytes };
}

// CPU to open streams at a gateway, µs each: its part of a connection, and of a channel when it is new there.
export const openUs = (costs, protocol, per, fresh) =>
    costs.open_stream_us[protocol] + costs.open_connection_us[protocol] / (isHttp2(protocol) ? per : 1) + fresh * costs.open_channel_us;
