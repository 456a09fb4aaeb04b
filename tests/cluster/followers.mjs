// Streams that come back with their last event id, over HTTP/1.1 and HTTP/2 with TLS, and check each number of the channel: an event's data is its
// number, from 1 on.
import { connect as connectHttp2 } from 'node:http2';
import { request } from 'node:https';

const EACH_CONNECTION = 10; // streams on one HTTP/2 connection
const HEAD_MS = 10000;
const AGAIN_MS = 200;

// Calls onEvent({type, data, id}) for each event of the bytes fed to it, by the rules of HTML's section on server-sent events.
export class Reader {
    #rest = '';
    #event = { type: '', data: [] };

    constructor(onEvent, id = '') {
        this.onEvent = onEvent;
        this.id = id;
        this.decoder = new TextDecoder();
    }

    feed(bytes) {
        const lines = (this.#rest + this.decoder.decode(bytes, { stream: true })).split('\n');
        this.#rest = lines.pop();
        for (const line of lines)
            this.#line(line);
    }

    #line(line) {
        if (line === '') {
            const { type, data } = this.#event;
            this.#event = { type: '', data: [] };
            this.onEvent({ type: type || 'message', data: data.join('\n'), id: this.id, empty: data.length === 0 });
            return;
        }
        const colon = line.indexOf(':');
        const name = colon < 0 ? line : line.slice(0, colon);
        const value = colon < 0 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1));
        if (name === 'data')
            this.#event.data.push(value);
        else if (name === 'event')
            this.#event.type = value;
        else if (name === 'id')
            this.id = value;
    }
}

// The HTTP/2 connection that some streams share; a new one when the server says goodbye or it breaks.
class Line {
    constructor(origin, ca) {
        Object.assign(this, { origin, ca, session: null });
    }

    request(headers) {
        if (!this.session || this.session.closed || this.session.destroyed) {
            const session = connectHttp2(this.origin, { ca: this.ca });
            const forget = () => { this.session = this.session === session ? null : this.session; };
            session.on('error', forget).on('goaway', forget).on('close', forget);
            this.session = session;
        }
        return this.session.request(headers);
    }
}

class Stream {
    constructor(all, line) {
        Object.assign(this, { all, line, open: false, last: 0, missing: new Set(), id: '' });
        this.#dial();
    }

    // A refusal and the end of a stream are the same to it: it comes back.
    #dial() {
        const { all } = this;
        const headers = { accept: 'text/event-stream', ...(this.id ? { 'last-event-id': this.id } : {}) };
        const reader = new Reader(event => this.#event(event), this.id);
        let done = false;
        const over = () => {
            if (done)
                return;
            done = true;
            clearTimeout(timer);
            all.refused += !this.open;
            this.open = false;
            source.destroy();
            if (!all.closed)
                setTimeout(() => this.#dial(), AGAIN_MS * (0.25 + 0.75 * Math.random()));
        };
        const answered = status => {
            clearTimeout(timer);
            if (status !== 200)
                return over();
            this.open = true;
            ++all.connects;
        };
        const reading = incoming => incoming.on('data', bytes => reader.feed(bytes)).on('end', over).on('close', over).on('error', over);
        const timer = setTimeout(over, HEAD_MS);
        let source;
        if (this.line) {
            source = reading(this.line.request({ ':path': all.path, ...headers })).on('response', head => answered(head[':status']));
        } else {
            source = request(all.origin + all.path, { agent: false, ca: all.ca, headers }).on('error', over).end();
            source.on('response', answer => { reading(answer); answered(answer.statusCode); });
        }
        this.source = source;
    }

    #event({ type, data, id, empty }) {
        this.id = id;
        if (empty)
            return;
        if (type === 'gap') {
            ++this.all.gaps;
            return;
        }
        ++this.all.events;
        const number = Number(data.split(' ')[0]);
        if (!Number.isSafeInteger(number) || number < 1)
            ++this.all.malformed;
        else
            this.#number(number);
    }

    #number(number) {
        if (number > this.last) {
            for (let n = this.last + 1; n < number; ++n)
                this.missing.add(n);
            this.last = number;
        } else if (this.missing.delete(number)) {
            ++this.all.outOfOrder;
        } else {
            ++this.all.duplicated;
        }
    }
}

export class Followers {
    // `streams` streams of `channel`, every other one over HTTP/2.
    constructor({ origin, ca, streams, channel }) {
        Object.assign(this, { origin, ca, path: `/channels/${channel}`, closed: false });
        Object.assign(this, { connects: 0, refused: 0, events: 0, duplicated: 0, outOfOrder: 0, gaps: 0, malformed: 0 });
        const lines = Array.from({ length: Math.ceil(streams / 2 / EACH_CONNECTION) }, () => new Line(origin, ca));
        this.streams = Array.from({ length: streams }, (_, i) => new Stream(this, i % 2 ? lines[(i >> 1) % lines.length] : null));
    }

    // Open, and with a position.
    get ready() {
        return this.streams.filter(stream => stream.open && stream.id).length;
    }

    complete(number) {
        return this.streams.filter(stream => stream.last >= number).length;
    }

    report() {
        const lost = this.streams.reduce((sum, stream) => sum + stream.missing.size, 0);
        return { streams: this.streams.length, open: this.streams.filter(stream => stream.open).length, events: this.events, lost, duplicated: this.duplicated,
            out_of_order: this.outOfOrder, gaps: this.gaps, malformed: this.malformed, reconnects: this.connects - this.streams.length, refused: this.refused };
    }
}
