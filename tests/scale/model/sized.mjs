// Events of any size for tests/scale/model: the C programs of tests/bench know one size only. Few streams and low rates: it is Node.js.
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import { createConnection } from 'node:net';
import { until } from '../../integration/wait.mjs';

const name = channel => `bench-${channel}`;

// Counts and checks the numbers of one stream's events; `data:` begins with the number.
class Track {
    last = 0;
    #text = '';

    constructor(reader) {
        this.reader = reader;
    }

    take(text) {
        this.reader.bytes += text.length;
        this.#text += text;
        for (let end; (end = this.#text.indexOf('\n\n')) >= 0; this.#text = this.#text.slice(end + 2)) {
            const number = /^data: (\d+) /m.exec(this.#text.slice(0, end))?.[1];
            if (number !== undefined)
                this.#count(Number(number));
        }
    }

    #count(number) {
        ++this.reader.events;
        if (number !== this.last + 1)
            ++this.reader.disorder;
        this.last = Math.max(this.last, number);
    }
}

export class SizedReader {
    tracks = [];
    opened = { open: 0 };
    errors = [];
    events = 0;
    bytes = 0;
    disorder = 0;
    closed = 0;

    static async open(ports, protocol, { each, channels }) {
        const reader = new SizedReader();
        reader.ends = [];
        for (const port of ports)
            await Promise.all(Array.from({ length: each }, (_, i) => reader.#stream(port, protocol, `/channels/${name(i % channels)}`)));
        return reader;
    }

    async #stream(port, protocol, path) {
        const track = new Track(this);
        const stream = protocol.startsWith('h2') ? await this.#http2(port, protocol, path) : await this.#http1(port, protocol, path);
        stream.setEncoding('latin1');
        stream.on('data', text => track.take(text));
        stream.on('close', () => this.ending || ++this.closed);
        stream.on('error', () => {});
        this.tracks.push(track);
        ++this.opened.open;
    }

    async #http1(port, protocol, path) {
        const options = { port, path, host: '127.0.0.1', headers: { accept: 'text/event-stream' }, agent: false, rejectUnauthorized: false };
        const request = (protocol === 'tls' ? https : http).get(options);
        const [response] = await once(request, 'response');
        this.ends.push(() => request.destroy());
        return response;
    }

    // All streams of a gateway on as few connections as it allows.
    async #http2(port, protocol, path) {
        this.sessions ??= new Map();
        const used = this.sessions.get(port) ?? [];
        if (used.length === 0 || used.at(-1).taken === 90) {
            const session = http2.connect(`${protocol === 'h2-tls' ? 'https' : 'http'}://127.0.0.1:${port}`, { rejectUnauthorized: false });
            used.push({ session, taken: 0 });
            this.sessions.set(port, used);
            this.ends.push(() => session.destroy());
        }
        ++used.at(-1).taken;
        const stream = used.at(-1).session.request({ ':path': path, accept: 'text/event-stream' });
        await once(stream, 'response');
        return stream;
    }

    mark() {
        Object.assign(this, { events: 0, bytes: 0, disorder: 0 });
    }

    async expect(last, seconds) {
        await until(`all streams have event ${last}`, () => this.tracks.every(track => track.last >= last), seconds * 1000).catch(() => {});
        const lost = this.tracks.reduce((sum, track) => sum + Math.max(0, last - track.last), 0);
        return { events: this.events, bytes: this.bytes, lost, duplicated: 0, out_of_order: this.disorder, foreign: 0, closed: this.closed };
    }

    end() {
        this.ending = true;
        this.ends.forEach(end => end());
    }
}

export class SizedPublisher {
    // Durable events of `bytes` of data, over one connection to Redis, evenly `rate` a second.
    static async run(port, { channels, rate, bytes, seconds }) {
        const socket = createConnection(port, '127.0.0.1');
        let answers = 0, failed = 0;
        socket.on('data', data => {
            const text = data.toString('latin1');
            answers += text.split('$9\r\npublished\r\n').length - 1;
            failed += /^-/m.test(text) ? 1 : 0;
        });
        await once(socket, 'connect');
        const total = Math.ceil(rate * seconds / channels) * channels;
        const start = performance.now();
        for (let sent = 0; sent < total; ++sent) {
            const wait = start + sent * 1000 / rate - performance.now();
            if (wait > 0)
                await new Promise(resolve => setTimeout(resolve, wait));
            socket.write(command(sent % channels, Math.floor(sent / channels) + 1, bytes));
        }
        await until('Redis answers', () => answers + failed >= total, 10000);
        socket.destroy();
        return { last_seq: total / channels, failed };
    }
}

function command(channel, number, bytes) {
    const words = ['FCALL', 'sse_publish', '1', `sse:${name(channel)}`, `${number} `.padEnd(bytes, '.')];
    return `*${words.length}\r\n${words.map(word => `$${word.length}\r\n${word}\r\n`).join('')}`;
}
