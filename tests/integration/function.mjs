// What the tests of the Redis functions (proto/bus/sse.lua) have in common.
import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { until } from './wait.mjs';

const source = path => readFileSync(fileURLToPath(new URL(`../../proto/${path}`, import.meta.url)));
export const library = source('bus/sse.lua');
export const vectors = name => JSON.parse(source(`vectors/${name}.json`));

export const log = name => `{sse:${name}}:log`;

// The stream, oldest first: {at, payload}.
export const entries = async (redis, name) => (await redis.command(['XRANGE', log(name), '-', '+'], { raw: true }))
    .map(([at, [, payload]]) => ({ at: at.toString(), payload }));

// {at, prev, sse} of a payload in our format.
export function parse(payload) {
    const [whole, at, prev] = /^\x1esse1 (\d+-\d+) (\d+-\d+)\n/.exec(payload.toString('latin1'));
    return { at, prev, sse: payload.subarray(whole.length) };
}

// The rule of proto/event_id.h once more.
const hash = (from, text) => [...Buffer.from(text)].reduce((h, byte) => BigInt.asUintN(32, h * 1664525n + BigInt(byte)), from);
export function eventId(name, ms, seq) {
    const of = hash(1013904223n, name);
    const sum = hash(of, `${ms}-${seq}`);
    const hex = (n, digits) => n.toString(16).padStart(digits, '0');
    const [m, s] = [hex(BigInt(ms), 12), hex(BigInt(seq), 6)];
    return `${m.slice(0, 8)}-${m.slice(8)}-4${s.slice(0, 3)}-8${s.slice(3)}-${hex((sum >> 16n) ^ (sum & 0xffffn), 4)}${hex(of, 8)}`;
}

export const compare = (a, b) => {
    const [[am, as], [bm, bs]] = [a, b].map(position => position.split('-').map(BigInt));
    return am !== bm ? (am < bm ? -1 : 1) : as === bs ? 0 : as < bs ? -1 : 1;
};

// The value of a vector: a text, or {hex}, or {repeat, times}.
export function bytes(value) {
    if (typeof value === 'string')
        return Buffer.from(value);
    return value.hex !== undefined ? Buffer.from(value.hex, 'hex') : Buffer.from(value.repeat.repeat(value.times));
}

// What is published to one channel, as Buffers.
export class Listener {
    static async open(redis, name, command = 'SUBSCRIBE') {
        const listener = new Listener();
        listener.socket = createConnection(redis.socket);
        listener.buf = Buffer.alloc(0);
        listener.socket.on('data', data => (listener.buf = Buffer.concat([listener.buf, data])));
        listener.socket.write(`${command} sse:${name}\r\n`);
        await until('subscribed', () => /:1\r\n$/.test(listener.buf.toString('latin1')));
        listener.buf = Buffer.alloc(0);
        return listener;
    }

    // *3 "message" channel payload
    #take() {
        const lengths = [];
        let at = this.buf.indexOf('\r\n') + 2;
        if (at < 2)
            return null;
        for (let item = 0; item < 3; ++item) {
            const eol = this.buf.indexOf('\r\n', at);
            if (eol < 0)
                return null;
            lengths.push(Number(this.buf.toString('latin1', at + 1, eol)));
            at = eol + 2 + lengths.at(-1) + 2;
        }
        if (this.buf.length < at)
            return null;
        const payload = this.buf.subarray(at - 2 - lengths[2], at - 2);
        this.buf = this.buf.subarray(at);
        return payload;
    }

    next() {
        return until('a published message', () => this.#take());
    }

    close() {
        assert.equal(this.buf.length, 0, 'nothing else was published');
        this.socket.destroy();
    }
}
