// Requests of a few bytes that would cost a server much; heads.test.mjs and answers.test.mjs send them, small.test.mjs to small servers.
import { until } from '../integration/stack.mjs';
import { FLAG, Frames, TYPE, block, frame, setting } from './frames.mjs';

export const REQUESTS = 100; // that a connection may have open

const integer = (value, bits, first) => {
    const most = 2 ** bits - 1;
    if (value < most)
        return String.fromCharCode(first | value);
    let text = String.fromCharCode(first | most);
    for (value -= most; value >= 128; value >>= 7)
        text += String.fromCharCode(value & 127 | 128);
    return text + String.fromCharCode(value);
};
export const literal = text => integer(text.length, 7, 0) + text;

// A field that goes into the table of the connection, and `times` references to it, a byte each.
export const repeated = (name, value, times) => `\x40${literal(name)}${literal(value)}${'\xbe'.repeat(times - 1)}`;

// nbits 31, pbits 0, then ones: 24,000 values of 8 bytes from 4 KB of text
export const DIGEST = `-${'_'.repeat(3999)}`;

// `connections` at once, each with `streams` requests, all with the same field many times; resolves when each was answered or closed.
export async function requests(server, connections, streams, field, { end }) {
    const all = await Promise.all(Array.from({ length: connections }, () => Frames.connect(server.port, { settings: setting(4, 0) })));
    let sent = 0;
    for (const c of all)
        for (let i = 0; i < streams; ++i) {
            const head = frame(TYPE.HEADERS, FLAG.END_HEADERS | (end ? FLAG.END_STREAM : 0), c.stream += 2,
                block('POST', '/channels/attacked') + field);
            sent += head.length;
            c.send(head);
        }
    const settled = c => c.closed || (end && c.frames.filter(one => one.type === TYPE.HEADERS || one.type === TYPE.RST_STREAM).length >= streams);
    await until('all are answered or closed', () => all.every(settled), end ? 60000 : 1500, () => '').catch(error => {
        if (end)
            throw error;
    });
    const closed = all.filter(c => c.closed).length;
    all.forEach(c => c.close());
    return { sent, closed };
}

// A request whose fields go into the table of the connection, then the same again and again in 4 bytes.
function flood(first, again) {
    const frames = Array.from({ length: REQUESTS }, (_, i) => frame(TYPE.HEADERS, FLAG.END_HEADERS | FLAG.END_STREAM, 2 * i + 1, i === 0 ? first : again));
    return Buffer.concat(frames);
}
const AUTHORITY = `\x41${literal('localhost')}`;
export const page = flood(`\x82\x86\x84${AUTHORITY}`, '\x82\x86\x84\xbe');
const long = `/${'p'.repeat(110)}`;
export const missing = flood(`\x82\x86${AUTHORITY}\x44${literal(long)}`, '\x82\x86\xbf\xbe');
