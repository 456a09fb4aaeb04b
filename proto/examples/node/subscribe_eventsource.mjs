// Reads a channel with the browser's interface: npm install eventsource; node subscribe_eventsource.mjs [URL]
import { EventSource } from 'eventsource';

const url = new URL(process.argv[2] ?? 'http://localhost:4043/channels/news');

// The last id goes into the address: a header holds Latin-1 only, and this library fails for good on any other id.
function request(address, { headers: { 'Last-Event-ID': id, ...headers }, ...rest }) {
    const to = new URL(address);
    if (id) to.searchParams.set('last_event_id', id);
    return fetch(to, { headers, ...rest });
}

function open() {
    const source = new EventSource(url, { fetch: request });
    for (const type of ['message', 'greeting', 'gap']) { // name each type that you want
        source.addEventListener(type, event => {
            url.searchParams.set('last_event_id', event.lastEventId);
            console.log(`${type}: ${event.data}`);
        });
    }
    source.addEventListener('error', error => {
        if (source.readyState !== EventSource.CLOSED) return; // it reconnects, with its last id, by itself
        if (![429, 502, 503, 504].includes(error.code)) throw new Error(`${error.code} ${error.message}`);
        setTimeout(open, 5000); // after such an answer it does not
    });
}

open();
