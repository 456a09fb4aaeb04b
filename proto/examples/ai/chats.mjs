// The chats of the application: their questions, and a channel for each answer, which ends once and for good.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const GATEWAY = process.env.GATEWAY ?? 'http://localhost:4043';
const chats = new Map(); // id → questions; a database, in a real application

const channel = (chat, n) => `${GATEWAY}/channels/chat/${chat}/${n}?last_event_id=`;
// The reader hands every event to the AI SDK, which knows its own parts and [DONE], and no others: hence `end`, `place` and `gap`.
const stream = (chat, n, after) => `${channel(chat, n)}${after}&end=[DONE]&place=0&gap=close`;

// Starts a worker for the answer; where the answer comes.
export function ask(chat, question) {
    const questions = chats.get(chat) ?? [];
    const n = questions.push(question) - 1;
    chats.set(chat, questions);
    spawn(process.execPath, [fileURLToPath(new URL('worker.mjs', import.meta.url)), `chat/${chat}/${n}`, question.parts[0].text], { stdio: 'inherit' });
    return stream(chat, n, 'earliest');
}

// What there is of a chat, and where the rest of its newest answer comes. An answer that has not ended yet is not in it: it is read from its beginning.
export async function state(chat) {
    const messages = [];
    let resume = null;
    for (const [n, question] of (chats.get(chat) ?? []).entries()) {
        const response = await fetch(`${channel(chat, n)}earliest`, { headers: { accept: 'application/json' } });
        const answer = await response.json();
        if (!response.ok)
            throw new Error(`the gateway: ${answer.error}`);
        const text = answer.events.filter(({ event }) => event !== 'end').map(({ data }) => JSON.parse(data).delta ?? '').join('');
        messages.push(question, ...(answer.ended ? [{ id: `answer-${n}`, role: 'assistant', parts: [{ type: 'text', text }] }] : []));
        resume = stream(chat, n, answer.ended ? answer.last_event_id : 'earliest');
    }
    return { messages, resume };
}
