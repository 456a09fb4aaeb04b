// HTTP/2 frames by hand over a Raw connection, for what is slow rather than fast; attack.c has what is fast.
import { Raw } from '../integration/raw.mjs';
import { until } from '../integration/wait.mjs';

export const TYPE = { DATA: 0, HEADERS: 1, PRIORITY: 2, RST_STREAM: 3, SETTINGS: 4, PING: 6, GOAWAY: 7, WINDOW_UPDATE: 8, CONTINUATION: 9 };
export const FLAG = { END_STREAM: 1, ACK: 1, END_HEADERS: 4 };
export const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

export function frame(type, flags, stream, payload = '') {
    const body = Buffer.from(payload, 'latin1'), head = Buffer.alloc(9);
    head.writeUIntBE(body.length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, body]);
}

export const u32 = value => String.fromCharCode(value >>> 24, value >>> 16 & 255, value >>> 8 & 255, value & 255);
export const setting = (name, value) => frame(TYPE.SETTINGS, 0, 0, String.fromCharCode(0, name) + u32(value));

// A header block of literal fields: the four pseudo-headers, then `fields` ([name, value]). An authority of null is left out.
export function block(method, path, fields = [], authority = 'localhost') {
    const rest = n => (n < 128 ? String.fromCharCode(n) : String.fromCharCode(n % 128 + 128) + rest(Math.floor(n / 128)));
    const text = s => (s.length < 127 ? String.fromCharCode(s.length) : `\x7f${rest(s.length - 127)}`) + s; // RFC 7541 section 5.1
    return [['\x02', method], ['\x04', path], ['\x06', 'http'], ['\x01', authority]].filter(([, value]) => value !== null).map(([index, value]) => index + text(value)).join('') +
        fields.map(([name, value]) => `\0${text(name)}${text(value)}`).join('');
}

// Of a head that begins with :status, as libh2o writes it.
export function statusOf({ payload }) {
    const indexed = { 0x88: 200, 0x89: 204, 0x8b: 304, 0x8c: 400, 0x8d: 404, 0x8e: 500 }[payload[0]];
    return indexed ?? Number(payload.subarray(2, 5).toString());
}

export class Frames {
    static async connect(port, { settings = frame(TYPE.SETTINGS, 0, 0), ...options } = {}) {
        const raw = await Raw.connect(port, options);
        raw.socket.write(Buffer.concat([Buffer.from(PREFACE), settings]));
        return new Frames(raw);
    }

    constructor(raw) {
        Object.assign(this, { raw, stream: -1, at: 0, taken: 0, seen: [], bytes: Buffer.alloc(0) });
    }

    send(...frames) {
        if (!this.raw.ended)
            this.raw.socket.write(Buffer.concat(frames));
        return this;
    }

    // Opens a stream; its number.
    request(method, path, { end = true, fields = [], flags = FLAG.END_HEADERS, authority } = {}) {
        this.stream += 2;
        this.send(frame(TYPE.HEADERS, flags | (end ? FLAG.END_STREAM : 0), this.stream, block(method, path, fields, authority)));
        return this.stream;
    }

    // All frames that came so far: {type, flags, stream, payload}.
    get frames() {
        while (this.taken < this.raw.chunks.length)
            this.bytes = Buffer.concat([this.bytes.subarray(this.at), this.raw.chunks[this.taken++]]), this.at = 0;
        for (;;) {
            const rest = this.bytes.length - this.at;
            if (rest < 9 || rest < 9 + this.bytes.readUIntBE(this.at, 3))
                return this.seen;
            const length = this.bytes.readUIntBE(this.at, 3), from = this.at;
            this.at += 9 + length;
            this.seen.push({ type: this.bytes[from + 3], flags: this.bytes[from + 4], stream: this.bytes.readUInt32BE(from + 5),
                payload: this.bytes.subarray(from + 9, this.at) });
        }
    }

    find(type, match = () => true) {
        return this.frames.find(one => one.type === type && match(one));
    }

    wait(what, type, match, ms) {
        return until(what, () => {
            const found = this.find(type, match);
            if (!found && this.raw.ended)
                throw new Error(`connection closed; waited for: ${what}`);
            return found;
        }, ms);
    }

    get closed() {
        return this.raw.ended;
    }

    waitEnd(ms) {
        return this.raw.waitEnd(ms);
    }

    close() {
        this.raw.close();
    }
}
