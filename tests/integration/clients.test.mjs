// Unmodified npm packages on a channel, from its first event to its end: eventsource, openai and the AI SDK. Their connections are cut at random bytes and go to two gateways by turns.
// Those that run in browsers are in tests/e2e/clients.test.mjs.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { EventSource } from 'eventsource';
import OpenAI from 'openai';
import { Stream } from 'openai/streaming';
import { DefaultChatTransport, readUIMessageStream } from 'ai';
import { ALL, EVENTS, RETRY_MS, cutting, data, ended, staysAway, tell } from './clients.mjs';
import { openStream } from './sse.mjs';
import { Stack, until } from './stack.mjs';

const s = await Stack.start({ gateways: 2, env: { RETRY_MS } });

// Reads with the eventsource package: what `message` and `end` bring.
function listen(url) {
    const source = new EventSource(url);
    const heard = { source, data: [], ends: [], others: [] };
    source.onmessage = event => heard.data.push(event.data);
    source.addEventListener('end', event => heard.ends.push(event.data));
    for (const type of ['gap', 'error'])
        source.addEventListener(type, event => event.data !== undefined && heard.others.push(event));
    return heard;
}

for (const [name, query, options] of [
    ['from its beginning', '?last_event_id=earliest', {}],
    ['that it found empty', '', { alone: true, armed: false }]])
    test(`eventsource reads a channel ${name}, and after its end asks once and never again`, async () => {
        const channel = `eventsource/${query.length}`;
        const proxy = await cutting(s, options);
        const heard = listen(`${proxy.url}/channels/${channel}${query}`);
        await until('it is open', () => heard.source.readyState === EventSource.OPEN);
        await tell(s, proxy, channel, () => heard.data.length, options);
        await staysAway(s, proxy, { asks: 1 });
        assert.deepEqual(heard.data, ALL);
        assert.deepEqual(heard.ends, [ended(channel)]);
        assert.deepEqual(heard.others, []);
        assert.equal(proxy.cuts, 5);
        assert.equal(heard.source.readyState, EventSource.CLOSED);
    });

for (const [where, behind] of [['inside its last event', /event: end\nda/], ['right behind its last event', /event: end\n[^]*?\n\n/]])
    test(`eventsource hears the end once when the connection is cut ${where}`, async () => {
        const channel = `eventsource/${where.replaceAll(' ', '-')}`;
        const proxy = await cutting(s, { cuts: 0, behind });
        const heard = listen(`${proxy.url}/channels/${channel}?last_event_id=earliest`);
        await s.gw[0].waitMetric('sse_streams', 1);
        await tell(s, proxy, channel, () => heard.data.length);
        await staysAway(s, proxy, { asks: 1 });
        assert.deepEqual([heard.data, heard.ends, proxy.cuts], [ALL, [ended(channel)], 1]);
    });

// What a client of a language model gets: objects, no event of the gateway's own, and [DONE].
const QUERY = '?last_event_id=earliest&end=[DONE]&place=0&gap=close';
const chunk = n => JSON.stringify({ id: 'answer', object: 'chat.completion.chunk', created: 1, model: 'scripted',
    choices: [{ index: 0, delta: { content: data(n) }, finish_reason: n === EVENTS ? 'stop' : null }] });

// An answer is whole when its last part came; else its reader starts over, as it can't resume.
async function wholeAnswer(read, proxy) {
    for (;;) {
        const before = proxy.cuts;
        try {
            const parts = await read();
            if (proxy.cuts === before)
                return parts;
            assert.fail('a connection that was cut passed for an end');
        } catch (error) {
            if (proxy.cuts === before || error.code === 'ERR_ASSERTION')
                throw error;
        }
    }
}

for (const [how, open] of [
    ['Stream.fromSSEResponse', async url => Stream.fromSSEResponse(await fetch(url), new AbortController())],
    ['a client of its own', (url, path) => new OpenAI({ baseURL: url.slice(0, -path.length), apiKey: 'none', maxRetries: 0 })
        .get(path, { stream: true, headers: { accept: 'text/event-stream' } })]]) // left alone it asks for JSON
    test(`openai reads a whole answer through ${how}, before, during and after`, async () => {
        const channel = `openai/${how.length}`;
        const path = `/channels/${channel}${QUERY}`;
        const proxy = await cutting(s, { most: 9000 });
        let most = 0;
        const read = async base => {
            const chunks = [];
            for await (const part of await open(base + path, path))
                most = Math.max(most, chunks.push(part));
            return chunks;
        };
        const during = wholeAnswer(() => read(proxy.url), proxy);
        await s.gw[0].waitMetric('sse_streams', 1);
        await tell(s, proxy, channel, () => most, { of: chunk, type: 'application/json' });
        assert.deepEqual((await during).map(part => part.choices[0].delta.content), ALL);
        assert.ok(proxy.cuts > 0);
        await staysAway(s, proxy, { asks: 0 });
        assert.deepEqual((await read(s.gw[1].url)).map(part => part.choices[0].delta.content), ALL);
    });

// The parts of the AI SDK's UI message stream that event n stands for.
const part = n => JSON.stringify(n === 1 ? { type: 'start', messageId: 'answer' } : n === 2 ? { type: 'text-start', id: 'text' } :
    n === EVENTS - 1 ? { type: 'text-end', id: 'text' } : n === EVENTS ? { type: 'finish' } : { type: 'text-delta', id: 'text', delta: data(n) });
const TEXT = ALL.slice(2, -2).join('');

test('the AI SDK reads a whole answer through DefaultChatTransport, before, during and after, and knows from a 204 that there is none', async () => {
    const channel = 'chat/42';
    const proxy = await cutting(s, { most: 9000 });
    let most = 0;
    const transportOf = (base, after = 'earliest') => new DefaultChatTransport({
        prepareReconnectToStreamRequest: ({ id }) => ({ api: `${base}/channels/chat/${id}${QUERY.replace('earliest', encodeURIComponent(after))}` }) });
    const read = async base => {
        const stream = await transportOf(base).reconnectToStream({ chatId: '42' });
        let count = 0, message;
        const counted = stream.pipeThrough(new TransformStream({ transform: (value, control) => ((most = Math.max(most, ++count)), control.enqueue(value)) }));
        for await (message of readUIMessageStream({ stream: counted, terminateOnError: true }));
        return message;
    };
    const during = wholeAnswer(() => read(proxy.url), proxy);
    await s.gw[0].waitMetric('sse_streams', 1);
    await tell(s, proxy, channel, () => most, { of: part, type: 'application/json' });
    assert.deepEqual((await during).parts.map(({ type, text, state }) => ({ type, text, state })), [{ type: 'text', text: TEXT, state: 'done' }]);
    assert.ok(proxy.cuts > 0);
    await staysAway(s, proxy, { asks: 0 });
    assert.equal((await read(s.gw[1].url)).parts[0].text, TEXT);

    const { lastEventId } = await (await openStream(`${s.gw[0].url}/channels/${channel}?last_event_id=earliest`)).waitEvent('the end', ({ type }) => type === 'end');
    assert.equal(await transportOf(s.gw[1].url, lastEventId).reconnectToStream({ chatId: '42' }), null);
});
