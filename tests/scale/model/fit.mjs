// Samples of the measured points → the costs of formula.mjs. Pure.
import { BASE_BYTES, EVENT_LINES, REDIS_NODE, along, touched } from './formula.mjs';
import { POSTS, SINGLE, SUBSCRIBERS } from './points.mjs';

const ROOM = 5, KEEPALIVES = 5000 / 0.5; // streams of a channel of the points `threads`; comments a second of `keepalive`
const PER = 90;
const KB_MORE = (4356 - 260) / 1024;

// {a, b} of y = a + b x, least squares.
export function line(points) {
    const n = points.length, mean = i => points.reduce((sum, point) => sum + point[i], 0) / n;
    const [x, y] = [mean(0), mean(1)];
    const b = points.reduce((sum, [px, py]) => sum + (px - x) * (py - y), 0) / points.reduce((sum, [px]) => sum + (px - x) ** 2, 0);
    return { a: y - b * x, b };
}

const positive = value => Math.max(0, value);

// `get(id)` is the sample of a point; undefined where its group was not measured: the costs that it makes are left out.
class Fit {
    costs = {};

    constructor(get, known) {
        this.get = get;
        this.known = known;
    }

    // µs of gateway CPU for each event beside what an idle gateway takes; `idle`: µs a second.
    event(id) {
        const sample = this.get(id);
        return (sample.gateway_us - this.known.gateway_idle_us * sample.seconds) / sample.events;
    }

    fan() {
        const write = [1, 3, 5, 10, 50].map(s => [s, this.event(`write-${s}`) / this.get(`write-${s}`).streams]);
        // a thread more, and the first write that it makes
        const room = this.get('threads-1');
        const more = (this.event('threads-2') - this.event('threads-1')) / (touched(2, ROOM) - 1);
        return { write_us: write, event_us: [...[50, 1000, 4000].map(rate => [rate, this.event(`event-${rate}`)]), [8000, this.event('redis-8000-1')]],
            handoff_us: positive(along(write, room.rate * ROOM / room.streams) + more) };
    }

    protocols() {
        const { known } = this;
        const write = along(known.write_us, 20);
        const tls = this.event('tls-20') / this.get('tls-20').streams - write;
        const first = along(known.event_us, 20);
        const frame = (id, each) => positive((this.event(id) - first - this.get(id).streams / PER * each) / this.get(id).streams);
        const kb = protocol => positive((this.event(`size-${protocol}-4356`) - this.event(`size-${protocol}-260`)) / this.get(`size-${protocol}-260`).streams / KB_MORE);
        const idle = this.get('keepalive');
        return { tls_write_us: tls, frame_us: { 'h1': 0, 'tls': 0, 'h2': frame('h2-20', write), 'h2-tls': frame('h2-tls-20', write + tls) },
            kb_us: Object.fromEntries(['h1', 'tls', 'h2', 'h2-tls'].map(protocol => [protocol, kb(protocol)])),
            comment_us: positive((idle.gateway_us / idle.seconds - known.gateway_idle_us) / KEEPALIVES) };
    }

    redis() {
        const idle = [1, 16].map(gateways => {
            const sample = this.get(`redis-idle-${gateways}`);
            return { gateways, redis: sample.redis_us / sample.seconds, gateway: sample.gateway_us / sample.seconds / gateways, publisher: sample.publisher_us / sample.seconds };
        });
        const base = line(idle.map(({ gateways, redis }) => [gateways, redis]));
        const event = (rate, gateways) => {
            const sample = this.get(`redis-${rate}-${gateways}`);
            return (sample.redis_us / sample.seconds - base.a - gateways * base.b) / (sample.events / sample.seconds);
        };
        const lines = Object.entries(SUBSCRIBERS).map(([rate, counts]) => [Number(rate), line(counts.map(gateways => [gateways, event(rate, gateways)]))]);
        const subscriber = lines.map(([rate, { b }]) => [rate, b]);
        const publish = [...lines.map(([rate, { a }]) => [rate, a]), ...SINGLE.map(rate => [rate, event(rate, 1) - along(subscriber, rate)])];
        return { redis_idle_us: base.a, redis_gateway_us: base.b, gateway_idle_us: idle[0].gateway, publisher_idle_us: idle[0].publisher,
            redis_publish_us: publish.sort(([a], [b]) => a - b), redis_subscriber_us: subscriber };
    }

    publish() {
        const publisher = id => (this.get(id).publisher_us - this.known.publisher_idle_us * this.get(id).seconds) / this.get(id).events;
        const redis = id => this.get(id).redis_us / this.get(id).events;
        return { publisher_us: POSTS.map(rate => [rate, publisher(`post-${rate}`)]), redis_kb_us: positive((redis('publish-4356') - redis('publish-260')) / KB_MORE) };
    }

    memory() {
        const kb = id => this.get(id).loaded_kb * 1024 / this.get(id).streams;
        const us = id => this.get(id).open_us;
        const pair = (of, protocol) => {
            const [alone, shared] = [of(`open-${protocol}-1`), of(`open-${protocol}-90`)];
            const connection = (alone - shared) * PER / (PER - 1);
            return { stream: positive(alone - connection), connection };
        };
        const [bytes, cpu] = [kb, us].map(of => ({ 'h1': { stream: 0, connection: of('open-h1') }, 'tls': { stream: 0, connection: of('open-tls') },
            'h2': pair(of, 'h2'), 'h2-tls': pair(of, 'h2-tls') }));
        const part = (costs, name) => Object.fromEntries(Object.entries(costs).map(([protocol, cost]) => [protocol, cost[name]]));
        const ring = this.get('ring');
        const each = bytes => bytes / ring.published - BASE_BYTES - EVENT_LINES;
        const subscription = this.get('open-fresh').redis_bytes / this.get('open-fresh').streams;
        const alone = this.get('one-event').redis_bytes / this.get('one-event').streams;
        return { stream_bytes: part(bytes, 'stream'), connection_bytes: part(bytes, 'connection'), open_stream_us: part(cpu, 'stream'), open_connection_us: part(cpu, 'connection'),
            channel_bytes: kb('open-fresh') - kb('open-h1'), open_channel_us: positive(us('open-fresh') - us('open-h1')),
            redis_open_us: this.get('open-fresh').redis_open_us,  gateway_bytes: { 'h1': this.get('open-h1').before_kb * 1024, 'tls': this.get('open-tls').before_kb * 1024 },
            socket_bytes: this.get('open-h1').slab_kb * 1024 / this.get('open-h1').streams / 2,
            ring_event_bytes: each((ring.loaded_kb - ring.pss_kb) * 1024), redis_event_bytes: each(ring.redis_bytes),
            redis_subscription_bytes: subscription, redis_channel_bytes: positive(alone - subscription - REDIS_NODE) };
    }
}

// In this order: what an idle gateway takes and a write costs is subtracted from the rest.
export const ORDER = ['redis', 'fan', 'protocols', 'publish', 'memory'];

// `groups`: those whose samples are there. `old`: costs known before; the new ones are laid over them.
export function fit(samples, groups, old = {}) {
    const get = id => samples[id] ?? (() => { throw new Error(`point ${id} was not measured`); })();
    const known = { ...old };
    for (const group of ORDER.filter(name => groups.includes(name)))
        Object.assign(known, new Fit(get, known)[group]());
    for (const [name, value] of Object.entries(known))
        if (/null|NaN/.test(JSON.stringify(value)))
            throw new Error(`${name} cannot be told: it needs the costs of another group, measure all`);
    return known;
}
