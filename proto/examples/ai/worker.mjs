// Writes the model's answer into a channel and ends it: node worker.mjs CHANNEL QUESTION [parts|chunks|html]. Node 18, no library.
import { model } from './model.mjs';
import { publish } from './publish.mjs';

const forms = {
    // the UI message stream of the AI SDK, for useChat
    async *parts(chunks) {
        yield { type: 'start' };
        yield { type: 'text-start', id: 'text' };
        for await (const { choices: [{ delta }] } of chunks)
            if (delta.content)
                yield { type: 'text-delta', id: 'text', delta: delta.content };
        yield { type: 'text-end', id: 'text' };
        yield { type: 'finish' };
    },
    // what the model says, for OpenAI's library
    chunks: chunks => chunks,
    // an element for each word, for htmx; the words are somebody's input
    async *html(chunks) {
        for await (const { choices: [{ delta }] } of chunks)
            if (delta.content)
                yield `<span>${delta.content.replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`)}</span>`;
    },
};

const [channel, question, form = 'parts'] = process.argv.slice(2);
let n = 0;
for await (const event of forms[form](model(question)))
    await publish(channel, `${++n}`, typeof event === 'string' ? event : JSON.stringify(event));
await publish(channel, 'end', '', { end: true });
