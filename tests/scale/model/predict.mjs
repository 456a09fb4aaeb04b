// What the model says of a point of points.mjs, in the units of its sample. Pure.
import { gatewayLoad, gatewayMemory, historyBytes, publisherUs, redisUs } from './formula.mjs';

export const LOAD_S = 4; // of a point: a second before, and what is measured

// Cores of each role, and memory of all gateways and of the histories in Redis with the point's load behind them, MB.
export function predict(costs, { stage, load }) {
    const { gateways = 1, protocol = 'h1', threads = 1 } = stage;
    const { streams, channels, rate, per = 90, bytes = 256, via = 'redis', apart = false } = load;
    const published = rate * LOAD_S;
    const layout = { gateways, threads, protocol, per, bytes, together: apart };
    // `apart`: each gateway has as many channels of its own
    const all = apart ? channels * gateways : channels;
    const workload = [{ channels: all, each: streams / all, rate }];
    const gateway = gatewayLoad(costs, workload, layout);
    const at = gateway.classes[0].at;
    const own = gatewayMemory(costs, { streams: streams / gateways, connections: gateway.connections / gateways, channels, kept: published / all, bytes, protocol }).own;
    return {
        gateway: gateway.us / 1e6, redis: redisUs(costs, { rate, at, gateways, bytes }) / 1e6,
        publisher: publisherUs(costs, via === 'post' ? rate : 0) / 1e6, memory: own * gateways / 1e6,
        history: all * (historyBytes(costs, published / all, bytes) + at * costs.redis_subscription_bytes) / 1e6,
    };
}

// The same of a sample. Its window begins and ends with events, so its length is theirs.
export function observed(sample, { stage: { gateways = 1 }, load: { rate } }) {
    const us = sample.events / rate * 1e6;
    return { gateway: sample.gateway_us / us, redis: sample.redis_us / us, publisher: sample.publisher_us / us,
        memory: (sample.loaded_kb + sample.before_kb * gateways) * 1024 / 1e6, history: sample.redis_bytes / 1e6 };
}
