// Clients for tests: a text/event-stream parser true to WHATWG HTML section 9.2.6, streams over HTTP/1.1, TLS and HTTP/2 that keep the
// raw bytes too, and plain requests. No client library stands between a test and the bytes.
import http from 'node:http';
import https from 'node:https';
import http2 from 'node:http2';
import { until, within } from './wait.mjs';

// Feed bytes with push(); `events` are what a browser would dispatch, `blocks` every run of lines up to a blank one (comments too).
export class SseParser {
    events = [];
    blocks = []; // arrays of lines
    comments = [];
    lastEventId = '';
    retry = null;
    #decoder = new TextDecoder('utf-8'); // drops a leading BOM, as the format asks
    #pieces = []; // of the line that has not ended
    #afterCr = false;
    #lines = [];
    #idBuffer = '';
    #reset() {
        this.#lines = [];
        this.data = null;
        this.type = '';
    }

    constructor() {
        this.#reset();
        this.#idBuffer = '';
    }

    push(bytes) {
        let text = this.#decoder.decode(bytes, { stream: true });
        if (this.#afterCr && text !== '') {
            this.#afterCr = false;
            if (text.startsWith('\n'))
                text = text.slice(1);
        }
        let from = 0;
        for (const match of text.matchAll(/\r\n|\r|\n/g)) {
            const line = this.#pieces.join('') + text.slice(from, match.index);
            this.#pieces = [];
            from = match.index + match[0].length;
            this.#afterCr = match[0] === '\r' && from === text.length;
            this.#line(line);
        }
        if (from < text.length)
            this.#pieces.push(text.slice(from));
    }

    #line(line) {
        if (line === '')
            return this.#dispatch();
        this.#lines.push(line);
        if (line.startsWith(':'))
            return void this.comments.push(line.slice(1));
        const colon = line.indexOf(':');
        const field = colon < 0 ? line : line.slice(0, colon);
        const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
        if (field === 'event')
            this.type = value;
        else if (field === 'data')
            this.data = this.data === null ? value : `${this.data}\n${value}`;
        else if (field === 'id' && !value.includes('\0'))
            this.#idBuffer = value;
        else if (field === 'retry' && /^[0-9]+$/.test(value))
            this.retry = Number(value);
    }

    #dispatch() {
        this.blocks.push(this.#lines);
        this.lastEventId = this.#idBuffer;
        if (this.data !== null)
            this.events.push({ type: this.type || 'message', data: this.data, lastEventId: this.lastEventId });
        this.#reset();
    }
}

// An open response of any kind, parsed as it comes. Created by openStream() and H2.open().
export class Stream {
    constructor(status, headers, readable, close) {
        Object.assign(this, { status, headers, readable, chunks: [], parser: new SseParser(), ended: null, taken: 0, frameAt: 0 });
        this.close = close;
        readable.on('data', chunk => {
            this.chunks.push(chunk);
            this.parser.push(chunk);
        });
        this.closed = new Promise(resolve => {
            const done = why => resolve(this.ended ??= why);
            readable.on('end', () => done('end'));
            readable.on('error', error => done(error.code || error.message));
            readable.on('close', () => done('close'));
        });
    }

    get events() {
        return this.parser.events;
    }

    get raw() {
        return Buffer.concat(this.chunks);
    }

    get text() {
        return this.raw.toString();
    }

    // The raw blocks so far, each with the blank line that ends it, without the comment lines in between. Our own servers end lines with LF only.
    get frames() {
        return this.text.replaceAll(/^:.*\n/gm, '').split(/(?<=\n\n)/).filter(frame => frame.endsWith('\n\n'));
    }

    #wait(what, probe, ms) {
        const got = () => `\n--- received (${this.ended ?? 'open'}) ---\n${this.text.slice(-2000)}`;
        return until(what, () => {
            const value = probe();
            if (!value && this.ended !== null)
                throw new Error(`stream closed (${this.ended}); waited for: ${what}${got()}`);
            return value;
        }, ms, got);
    }

    // The next event or frame that was not taken yet.
    async next(ms) {
        await this.#wait(`event ${this.taken + 1}`, () => this.events.length > this.taken, ms);
        return this.events[this.taken++];
    }

    async nextFrame(ms) {
        return this.#wait('a frame', () => (this.frameAt < this.frames.length ? this.frames[this.frameAt++] : null), ms);
    }

    async take(count, ms) {
        const events = [];
        while (events.length < count)
            events.push(await this.next(ms));
        return events;
    }

    waitEvent(what, match, ms) {
        return this.#wait(what, () => this.events.find(match), ms);
    }

    // Cheaper than waitText() for megabytes.
    waitBytes(count, ms = 30000) {
        return this.#wait(`${count} bytes`, () => this.chunks.reduce((sum, chunk) => sum + chunk.length, 0) >= count, ms);
    }

    waitText(re, ms) {
        return this.#wait(`text ${re}`, () => re.exec(this.text), ms);
    }
}

// Without the headers that are undefined: { accept: undefined } sends none.
const given = headers => Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined));

const client = url => (url.protocol === 'https:' ? https : http);

// Opens a GET and returns a Stream once the head is there; the body streams on. The status is the caller's to look at. `from`: the client's address.
export function openStream(address, { headers = {}, method = 'GET', from } = {}) {
    const url = new URL(address);
    return within(`head of ${address}`, new Promise((resolve, reject) => {
        const request = client(url).request(url, {
            method, agent: false, localAddress: from, rejectUnauthorized: false, headers: given({ accept: 'text/event-stream', ...headers }) });
        request.on('error', reject);
        request.on('response', response => {
            request.on('error', () => {});
            resolve(new Stream(response.statusCode, response.headers, response, () => request.destroy()));
        });
        request.end();
    }));
}

// A whole exchange: {status, headers, body (text), bytes}. Redirects are not followed.
export function request(address, { method = 'GET', headers = {}, body = null, agent = false, from } = {}) {
    const url = new URL(address);
    return within(`${method} ${address.slice(0, 100)}`, new Promise((resolve, reject) => {
        const req = client(url).request(url, { method, agent, localAddress: from, rejectUnauthorized: false, headers });
        req.on('error', reject);
        req.on('response', response => {
            const chunks = [];
            response.on('data', chunk => chunks.push(chunk));
            response.on('error', reject);
            response.on('end', () => {
                const bytes = Buffer.concat(chunks);
                resolve({ status: response.statusCode, headers: response.headers, bytes, body: bytes.toString() });
            });
        });
        req.end(body);
    }));
}

// One HTTP/2 connection: TLS by ALPN for https addresses, prior knowledge for http ones.
export class H2 {
    static async connect(address, options = {}) {
        const session = http2.connect(address, { rejectUnauthorized: false, ...options });
        const ready = new Promise((resolve, reject) => {
            session.on('connect', resolve);
            session.on('error', reject);
        });
        await within(`HTTP/2 connection to ${address}`, ready);
        session.on('error', () => {});
        return new H2(session);
    }

    constructor(session) {
        this.session = session;
    }

    open(path, { headers = {}, method = 'GET' } = {}) {
        return within(`head of ${path}`, new Promise((resolve, reject) => {
            const stream = this.session.request({ ':path': path, ':method': method, accept: 'text/event-stream', ...headers });
            stream.on('error', reject);
            stream.on('response', head => {
                stream.on('error', () => {});
                resolve(new Stream(head[':status'], head, stream, () => stream.close(http2.constants.NGHTTP2_CANCEL)));
            });
        }));
    }

    async request(path, { headers = {}, method = 'GET', body = null } = {}) {
        return within(`${method} ${path}`, new Promise((resolve, reject) => {
            const stream = this.session.request({ ':path': path, ':method': method, ...headers }, { endStream: body === null });
            const chunks = [];
            let head;
            stream.on('error', reject);
            stream.on('response', h => (head = h));
            stream.on('data', chunk => chunks.push(chunk));
            stream.on('end', () => resolve({ status: head[':status'], headers: head, body: Buffer.concat(chunks).toString() }));
            if (body !== null)
                stream.end(body);
        }));
    }

    close() {
        this.session.destroy();
    }
}
