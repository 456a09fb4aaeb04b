// The token for gateways that ask for one, and the ways to the gateway that use it. Kept in this variable and nowhere else.
import { Source } from './source.js';

export const PAGE_CHANNELS = ['letters', 'counter', 'usd_eur', 'post']; // what every copy of the page reads

let token = '';
const listeners = [];

export function setToken(value) {
    token = value;
    for (const listener of listeners)
        listener();
}

export const onToken = listener => listeners.push(listener);

// Addresses are relative to the page, so that it also works below a path of a proxy.
function address(path, parameters = []) {
    const url = new URL(path, document.baseURI);
    for (const [name, value] of parameters)
        url.searchParams.append(name, value);
    return url;
}

// One stream of several channels: the browser's connections are few (6 an address over HTTP/1.1), channels in a stream are not.
// `native`: the browser's own EventSource, which can send no header: no token, and the last id goes in the query.
export function openStream(channels, { lastEventId = '', last = 0, native = false } = {}) {
    const parameters = channels.map(name => ['channel', name]);
    if (lastEventId !== '' && native)
        parameters.push(['last_event_id', lastEventId]);
    else if (lastEventId === '' && last > 0)
        parameters.push(['last', last]);
    const url = address('subscribe', parameters);
    return native ? new EventSource(url) : new Source(url, { token, lastEventId });
}

// Publishes one event; resolves with its id, or throws with the status and the gateway's own sentence. `end`: the channel ends behind it; without data there is only the end.
export async function publish(channel, data, { type = '', end = false } = {}) {
    const only = end && data === '';
    const headers = { 'idempotency-key': key(), ...(end && { 'sse-end': '1' }), ...(!only && { 'content-type': isJson(data) ? 'application/json' : 'text/plain' }) };
    if (token !== '')
        headers.authorization = `Bearer ${token}`;
    const url = address(`channels/${encodeURIComponent(channel)}`, type === '' || only ? [] : [['event', type]]);
    const answer = await fetch(url, { method: 'POST', headers, body: data });
    const { id, error } = await answer.json().catch(() => ({}));
    if (!answer.ok || typeof id !== 'string') // a proxy may answer 200 with a page of its own
        throw new Error(`${answer.status}, ${error ?? 'and the answer has no id'}`);
    return id;
}

// Objects alone: other JSON goes as the text it is.
function isJson(text) {
    try {
        return JSON.parse(text)?.constructor === Object;
    } catch {
        return false;
    }
}

// So that a browser that sends the request twice publishes once.
const key = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), n => n.toString(36)).join('-');
