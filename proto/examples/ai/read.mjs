// Reads an answer of chat completions with OpenAI's library, from its beginning, whether it is still being written or not: node read.mjs CHANNEL. Needs `openai` of npm.
import { Stream } from 'openai/streaming';

const GATEWAY = process.env.GATEWAY ?? 'http://localhost:4043';
const url = `${GATEWAY}/channels/${process.argv[2]}?last_event_id=earliest&end=[DONE]&place=0&gap=close`;

const aborter = new AbortController();
const response = await fetch(url, { signal: aborter.signal });
if (response.status !== 200)
    throw new Error(`${response.status} ${await response.text()}`);
let whole = false;
for await (const { choices: [{ delta, finish_reason: reason }] } of Stream.fromSSEResponse(response, aborter)) {
    process.stdout.write(delta.content ?? '');
    whole ||= reason !== null;
}
console.log();
process.exitCode = whole ? 0 : 1; // the worker died, or the gateway shuts down: read it again from its beginning
