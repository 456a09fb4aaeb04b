// Publishes, however often it has to ask. `key` makes all tries one. Node 18, no library.
import { setTimeout as sleep } from 'node:timers/promises';

const GATEWAY = process.env.GATEWAY ?? 'http://localhost:4043';
const LEASE_S = process.env.LEASE_S ?? '30'; // longer than there is ever nothing to say: if no more comes for so long, gateways tell readers that the channel is abandoned

export async function publish(channel, key, data, { end = false } = {}) {
    const headers = { 'content-type': 'text/plain', 'idempotency-key': key, ...(end ? { 'sse-end': '1' } : { 'sse-lease': LEASE_S }) };
    for (let attempt = 0; attempt < 10; ++attempt) {
        const answer = await fetch(`${GATEWAY}/channels/${channel}`, { method: 'POST', body: data, headers, signal: AbortSignal.timeout(10_000) }).catch(() => null);
        if (answer?.ok)
            return (await answer.json()).id;
        if (answer !== null && ![429, 502, 503, 504].includes(answer.status))
            throw new Error(`${answer.status} ${await answer.text()}`);
        await sleep(1000 * Number(answer?.headers.get('retry-after') ?? 1));
    }
    throw new Error('not published');
}
