// Publishes texts together, all or none: node publish_many.mjs URL TEXT... Node 18, no library. Up to 1,000 go in one request.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

const [url, ...texts] = process.argv.slice(2);
const body = texts.map(data => `${JSON.stringify({ data, event: 'greeting' })}\n`).join('');

async function publish() {
    const key = randomUUID(); // makes all tries one: a second one gets the first one's answer, and nothing is sent again
    for (let attempt = 0; attempt < 10; ++attempt) {
        const answer = await fetch(url, { method: 'POST', body, signal: AbortSignal.timeout(10_000),
            headers: { 'content-type': 'application/x-ndjson', 'idempotency-key': key } }).catch(() => null);
        if (answer?.ok)
            return (await answer.json()).ids;
        if (answer !== null && ![429, 502, 503, 504].includes(answer.status))
            throw new Error(`${answer.status} ${await answer.text()}`);
        await sleep(1000 * Number(answer?.headers.get('retry-after') ?? 1));
    }
    throw new Error('not published');
}

console.log((await publish()).join('\n'));
