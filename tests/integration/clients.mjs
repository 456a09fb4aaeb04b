// What every client of a channel has to live through: 100 events and the end of the channel, over connections that a proxy cuts, at two gateways.
import assert from 'node:assert/strict';
import { CuttingProxy } from './cutting_proxy.mjs';
import { quiet, until } from './wait.mjs';

export const EVENTS = 100;
export const RETRY_MS = 100;
export const data = n => `event ${n} ${'.'.repeat(n % 40)}`;
export const ALL = Array.from({ length: EVENTS }, (_, i) => data(i + 1));
export const ended = (channel, reason = 'done') => JSON.stringify({ channel, reason });

const told = proxy => `\nseed ${proxy.seed}\n${proxy.requests.map(seen => JSON.stringify(seen)).join('\n')}`;

// Publishes events 1 to 100 and the end, by turns at once and only when the client has heard all so far, so that it gets them both live and from the history. `heard`: how many it has.
// `alone`: the end comes by itself, else with the last event. `of`: the data of event n. A proxy that is not armed cuts once the client has an event: some forget the place of a frame without data.
export async function tell(s, proxy, channel, heard, { alone = false, of = data, type = 'text/plain' } = {}) {
    const armed = proxy.armed;
    for (let n = 1; n <= EVENTS; ++n) {
        await s.post(channel, of(n), { headers: { 'content-type': type, ...(n === EVENTS && !alone ? { 'sse-end': '1' } : {}) } });
        if (n < EVENTS && (n % 20 === 0 || (n === 1 && !armed)))
            await until(`the client of ${channel} has ${n} events`, async () => await heard() >= n, 20000, () => told(proxy));
        proxy.armed = true;
    }
    if (alone)
        await s.post(channel, '', { headers: { 'sse-end': '1' } });
}

// A proxy whose every cut falls before the end: what it may pass until then is less than the events' bytes.
export const cutting = (s, options = {}) => CuttingProxy.start(s.gw.map(gw => gw.url), { cuts: 5, most: 2000, ...options });

// After the end the client asks `asks` times more, each answered with 204, and never again.
export async function staysAway(s, proxy, { asks, ms = 10 * RETRY_MS }) {
    const after = () => proxy.streams.filter(({ status }) => status === 204).length;
    await until(`${asks} requests after the end`, () => after() === asks && proxy.streams.at(-1).status !== null, 20000, () => told(proxy));
    for (const gw of s.gw)
        await gw.waitMetric('sse_streams', 0);
    const served = async () => (await Promise.all(s.gw.map(gw => gw.metric('sse_http_requests_total', { for: 'stream' })))).reduce((sum, count) => sum + count);
    const before = [proxy.streams.length, await served()];
    await quiet(ms);
    assert.deepEqual([proxy.streams.length, await served()], before, told(proxy));
    assert.equal(after(), asks, told(proxy));
}
