// Publishes a text once, however often it has to ask: node publish.mjs TEXT [URL]. Node 18, no library.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

const [text, url = 'http://localhost:4043/channels/news'] = process.argv.slice(2);

async function publish() {
    const key = randomUUID(); // makes all tries one: a second one gets the first one's answer, and nothing is sent again
    for (let attempt = 0; attempt < 10; ++attempt) {
        const answer = await fetch(url, { method: 'POST', body: text, signal: AbortSignal.timeout(10_000),
            headers: { 'content-type': 'text/plain', 'idempotency-key': key } }).catch(() => null);
        if (answer?.ok)
            return (await answer.json()).id;
        if (answer !== null && ![429, 502, 503, 504].includes(answer.status))
            throw new Error(`${answer.status} ${await answer.text()}`);
        await sleep(1000 * Number(answer?.headers.get('retry-after') ?? 1));
    }
    throw new Error('not published');
}

console.log(await publish());
