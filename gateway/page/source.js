// EventSource over fetch, for what the browser's own can't: a token in a header, events of any type, and why a connection failed.
//
//     const source = new Source('/channels/news', { token, lastEventId });
//     source.addEventListener('message', event => event.data, event.lastEventId);    any type; '*' hears all of them
//     source.addEventListener('open', () => source.gateway);                         which gateway answered
//     source.addEventListener('error', () => source.readyState, source.why);         CONNECTING: it comes back by itself
//
// `open` and `error` are always the connection's. An event of the stream that has such a type reaches only '*', with its type in `kind`.
//
// Where none of that is needed, `new EventSource(url)` does the same.

const RETRY_MS = 3000; // until the stream says otherwise
const OWN = ['open', 'error', '*']; // events of this object, not of the stream
const LATER = [429, 500, 502, 503, 504]; // answers that another try may change

// A text/event-stream, line by line: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
export class Parser {
    #rest = '';
    #afterCr = false;
    #event = { type: '', data: [], id: null };

    constructor({ onEvent, onId, onRetry }) {
        Object.assign(this, { onEvent, onId, onRetry });
    }

    push(text) {
        if (this.#afterCr && text.startsWith('\n'))
            text = text.slice(1);
        this.#afterCr = text === '' ? this.#afterCr : text.endsWith('\r');
        const lines = (this.#rest + text).split(/\r\n|\r|\n/);
        this.#rest = lines.pop();
        for (const line of lines)
            this.#line(line);
    }

    #line(line) {
        if (line === '')
            return this.#dispatch();
        const [, field, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
        if (field === 'event')
            this.#event.type = value ?? '';
        else if (field === 'data')
            this.#event.data.push(value ?? '');
        else if (field === 'id' && !value?.includes('\0'))
            this.#event.id = value ?? '';
        else if (field === 'retry' && /^[0-9]+$/.test(value))
            this.onRetry(Number(value));
    }

    #dispatch() {
        const { type, data, id } = this.#event;
        this.#event = { type: '', data: [], id: null };
        if (id !== null)
            this.onId(id);
        if (data.length !== 0)
            this.onEvent(type || 'message', data.join('\n'));
    }
}

export class Source extends EventTarget {
    static CONNECTING = 0;
    static OPEN = 1;
    static CLOSED = 2;

    readyState = Source.CONNECTING;
    gateway = ''; // its name, once it answered
    why = ''; // the connection failed
    ended = false; // its channels have ended
    #retryMs = RETRY_MS;
    #abort = new AbortController();

    constructor(url, { token = '', lastEventId = '' } = {}) {
        super();
        Object.assign(this, { url, token, lastEventId });
        this.#run();
    }

    close() {
        this.readyState = Source.CLOSED;
        this.#abort.abort();
    }

    async #run() {
        while (this.readyState !== Source.CLOSED) {
            let later = true;
            try {
                later = await this.#connect();
            } catch (error) {
                this.why = error.message;
            }
            if (this.readyState === Source.CLOSED)
                return;
            this.readyState = later ? Source.CONNECTING : Source.CLOSED;
            this.dispatchEvent(new Event('error'));
            if (later)
                await this.#pause(this.#retryMs * (0.8 + 0.4 * Math.random())); // not all clients at once
        }
    }

    // Reads one connection to its end. False when there is no use in coming back.
    async #connect() {
        const headers = { accept: 'text/event-stream' };
        if (this.token !== '')
            headers.authorization = `Bearer ${this.token}`;
        const url = new URL(this.url, globalThis.location?.href);
        if (this.lastEventId !== '')
            url.searchParams.set('last_event_id', this.lastEventId); // a header holds Latin-1 only, an id any text
        const answer = await fetch(url, { headers, cache: 'no-store', signal: this.#abort.signal });
        this.gateway = answer.headers.get('sse-gateway') ?? '';
        if (answer.status === 204) { // as a browser's own takes it
            this.ended = true;
            this.why = 'its channels have ended';
            return false;
        }
        if (answer.status !== 200) {
            this.why = await answer.json().then(({ error }) => error, () => `status ${answer.status}`);
            return LATER.includes(answer.status);
        }
        this.readyState = Source.OPEN;
        this.why = '';
        this.dispatchEvent(new Event('open'));
        await this.#read(answer.body);
        this.why = 'the connection ended';
        return true;
    }

    async #read(body) {
        const parser = new Parser({
            onEvent: (type, data) => this.#dispatch(type, data),
            onId: id => { this.lastEventId = id; },
            onRetry: ms => { this.#retryMs = ms; },
        });
        const reader = body.pipeThrough(new TextDecoderStream()).getReader();
        for (let part = await reader.read(); !part.done; part = await reader.read())
            parser.push(part.value);
    }

    #dispatch(type, data) {
        if (this.readyState !== Source.OPEN)
            return;
        for (const name of OWN.includes(type) ? ['*'] : [type, '*']) {
            const event = new MessageEvent(name, { data, lastEventId: this.lastEventId });
            event.kind = type; // for those who listen to '*'
            this.dispatchEvent(event);
        }
    }

    #pause(ms) {
        return new Promise(resolve => {
            const timer = setTimeout(resolve, ms);
            this.#abort.signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
        });
    }
}
