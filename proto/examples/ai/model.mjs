// A language model that needs no network and no key: it says the same each time, word by word, in the objects that OpenAI's chat completions stream. Put your own in its place.
import { setTimeout as sleep } from 'node:timers/promises';

const TEXT = `An answer is a channel. Its worker publishes each word and, with the last one, the end. Readers come before, during and after:
each gets the whole answer, in order, and then its request ends. Whoever was cut off in the middle asks for the rest.`;

export async function* model(question, { waitMs = Number(process.env.MODEL_MS ?? 40) } = {}) {
    const chunk = (delta, reason = null) => ({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: Math.floor(Date.now() / 1000), model: 'scripted',
        choices: [{ index: 0, delta, finish_reason: reason }] });
    yield chunk({ role: 'assistant', content: '' });
    for (const word of `You asked: ${question}. ${TEXT}`.match(/\S+\s*/g)) {
        await sleep(waitMs);
        yield chunk({ content: word });
    }
    yield chunk({}, 'stop');
}
