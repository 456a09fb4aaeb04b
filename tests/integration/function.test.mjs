// The Redis function sse_publish (proto/bus/sse.lua) in a real redis-server, against proto/vectors and proto/README.md.
import { before, after, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bytes, compare, entries, eventId, library, Listener, log, parse, vectors } from './function.mjs';
import { Redis, RespClient } from './redis.mjs';
import { freePort } from './stack.mjs';
import { until, within } from './wait.mjs';

const folder = mkdtempSync(join(tmpdir(), 'sse-function-'));
const redis = new Redis(join(folder, 'one'));
const servers = [redis];
let fresh = 0;

before(async () => {
    await redis.start();
    await redis.command(['FUNCTION', 'LOAD', library]);
});
after(async () => {
    const faults = await Promise.all(servers.map(server => server.end()));
    rmSync(folder, { recursive: true, force: true });
    assert.deepEqual(faults, servers.map(() => null));
});

const channel = () => `c${++fresh}`;

// [id, position, outcome]
const publish = (name, data, options = {}, client = redis) =>
    client.command(['FCALL', 'sse_publish', 1, `sse:${name}`, data, ...Object.entries(options).flat()]);

const newest = async name => parse((await entries(redis, name)).at(-1).payload);
const sse = async name => (await newest(name)).sse.toString();
const length = name => redis.command(['XLEN', log(name)]);

test('the id rule used here is the golden one', () => {
    for (const row of vectors('event_id').ids)
        assert.equal(eventId(row.channel, row.ms, row.seq), row.id);
});

test('what the publisher leaves out is what the function takes without it', () => {
    const file = name => readFileSync(fileURLToPath(new URL(`../../proto/bus/${name}`, import.meta.url)), 'utf8');
    const usual = /enum \{ HISTORY_LEN = (\d+), HISTORY_BYTES = (\d+), HISTORY_TTL_S = (\d+) \}/.exec(file('publish_send.c')).slice(1);
    const taken = /maxlen = (\d+), step = (\d+) \/ STEPS, .* ttl = (\d+) \}/.exec(file('sse.lua')).slice(1);
    assert.deepEqual(usual, taken);
});

test('by hand, with redis-cli: id, position, outcome', async () => {
    const out = await redis.cli('FCALL', 'sse_publish', '1', 'sse:post', '{"test":"hi"}');
    const [id, position, outcome] = out.trim().split('\n');
    assert.equal(outcome, 'published');
    assert.equal(id, eventId('post', ...position.split('-')));
    assert.equal(await sse('post'), `data: {"test":"hi"}\nid: ${id}\n\n`);
});

test('event and retry lines are written byte for byte as in the golden vectors', async () => {
    let rows = 0;
    for (const row of vectors('sse').encode.filter(({ event, data, id }) => event && data.length === 1 && id)) {
        const name = channel();
        const options = { event: bytes(row.event), id: bytes(row.id), retry: row.retry ?? 'none' };
        const [id, , outcome] = await publish(name, bytes(row.data[0]), options);
        assert.equal(outcome, 'published', row.name);
        assert.equal(id, bytes(row.id).toString(), row.name);
        const want = bytes(row.bytes).toString('latin1').replace(/^event: message\n/, ''); // which is not written
        assert.equal((await newest(name)).sse.toString('latin1'), want, row.name);
        ++rows;
    }
    assert.ok(rows >= 20);
});

test('every channel name of the golden vectors is taken, and its id is the golden rule', async () => {
    for (const name of vectors('channel').good) {
        const [id, position] = await publish(name, 'x');
        assert.equal(id, eventId(name, ...position.split('-')), name);
    }
});

test('every bad channel name is refused and leaves no key', async () => {
    const keys = await redis.command(['DBSIZE']);
    for (const { name } of vectors('channel').bad) {
        const key = Buffer.concat([Buffer.from('sse:'), bytes(name)]);
        await assert.rejects(redis.command(['FCALL', 'sse_publish', 1, key, 'x']),
            /^Error: ERR sse_publish: the channel name [^\n]+$/);
    }
    assert.equal(await redis.command(['DBSIZE']), keys);
});

test('the stream entry is the published message, and each names the one before it', async () => {
    const name = channel();
    const listener = await Listener.open(redis, name);
    let last = '0-0';
    for (let i = 0; i < 5; ++i) {
        const [id, position] = await publish(name, `n${i}`);
        const heard = await listener.next();
        const { at, payload } = (await entries(redis, name)).at(-1);
        assert.deepEqual(heard, payload);
        assert.equal(at, position);
        const message = parse(payload);
        assert.deepEqual([message.at, message.prev], [position, last]);
        assert.equal(message.sse.toString(), `data: n${i}\nid: ${id}\n\n`);
        last = position;
    }
    listener.close();
});

test('an empty event, id or key is as good as none', async () => {
    const name = channel();
    const [id, position] = await publish(name, 'x', { event: '', id: '', key: '' });
    assert.equal(id, eventId(name, ...position.split('-')));
    assert.equal(await sse(name), `data: x\nid: ${id}\n\n`);
    assert.equal((await publish(name, 'x', { event: '', id: '', key: '' }))[2], 'published');
});

const long = 'a'.repeat(201);
const faults = [
    ['no data', ['sse:f'], 'wants data after the key'],
    ['a key without a prefix', ['post', 'x'], 'wants one key, PREFIX:NAME, as in sse:news'],
    ['a key with an empty prefix', [':post', 'x'], 'wants one key, PREFIX:NAME, as in sse:news'],
    ['a prefix with another byte', ['s.se:post', 'x'], 'wants one key, PREFIX:NAME, as in sse:news'],
    ['a prefix too long', [`${'p'.repeat(33)}:post`, 'x'], 'wants one key, PREFIX:NAME, as in sse:news'],
    ['an unknown option', ['sse:f', 'x', 'colour', 'red'],
        'unknown option; the options are event, id, retry, key, author, maxlen, maxbytes, maxdata, ttl, changed, count, end and lease'],
    ['an option of another case', ['sse:f', 'x', 'ID', '1'],
        'unknown option; the options are event, id, retry, key, author, maxlen, maxbytes, maxdata, ttl, changed, count, end and lease'],
    ['an option without value', ['sse:f', 'x', 'event', 'a', 'id'], 'the option id has no value'],
    ['id with LF', ['sse:f', 'x', 'id', 'a\nretry: 1'], 'id holds CR, LF or NUL'],
    ['id with CR', ['sse:f', 'x', 'id', 'a\r'], 'id holds CR, LF or NUL'],
    ['id with NUL', ['sse:f', 'x', 'id', '\0'], 'id holds CR, LF or NUL'],
    ['id too long', ['sse:f', 'x', 'id', long], 'id is longer than 200 bytes'],
    ['id not UTF-8', ['sse:f', 'x', 'id', Buffer.from([0x61, 0xff])], 'id is not valid UTF-8'],
    ['event with LF', ['sse:f', 'x', 'event', '\ndata: evil'], 'event holds CR, LF or NUL'],
    ['event with CR', ['sse:f', 'x', 'event', '\r'], 'event holds CR, LF or NUL'],
    ['event with NUL', ['sse:f', 'x', 'event', 'a\0b'], 'event holds CR, LF or NUL'],
    ['event too long', ['sse:f', 'x', 'event', long], 'event is longer than 200 bytes'],
    ['event not UTF-8', ['sse:f', 'x', 'event', Buffer.from([0xc0, 0x80])], 'event is not valid UTF-8'],
    ['key too long', ['sse:f', 'x', 'key', long], 'key is longer than 200 bytes'],
    ...['gap', 'error', 'open', 'end'].map(type => [`the reserved event ${type}`, ['sse:f', 'x', 'event', type],
        'event is reserved: gap, error, open and end are events of the gateway and the browser']),
    ...[' gap', 'gap ', '\tgap', 'gap\t', ' ', 'greeting '].map(type => [`event ${JSON.stringify(type)}`, ['sse:f', 'x', 'event', type], 'event begins or ends with a blank, which some readers remove']),
    ...['\x01', '\t', '\v', '\f', '\x1b', '\x7f'].map(byte => [`id with byte ${byte.charCodeAt(0)}`, ['sse:f', 'x', 'id', `a${byte}b`],
        'id holds a control character, which HTTP does not carry']),
    ...[' a', 'a ', ' '].map(id => [`id '${id}'`, ['sse:f', 'x', 'id', id], 'id begins or ends with a blank, which HTTP does not carry']),
    ['author too long', ['sse:f', 'x', 'author', 'a'.repeat(8193)], 'author is longer than 8192 bytes'],
    ...['', '0', '1.5', '1125899906842625'].map(value => [`maxbytes ${value}`, ['sse:f', 'x', 'maxbytes', value],
        'maxbytes is not an integer from 1 to 1125899906842624']),
    ...['\n'.repeat(3), '\r'.repeat(3), 'a\r\nb\nc\r', '\r\n'.repeat(3), 'x'.repeat(22)].map(data => [`data ${JSON.stringify(data)}`,
        ['sse:f', data, 'maxdata', 27], "data takes more bytes on the stream, with 'data: ' in front of each line, than maxdata: 27"]),
    ...['', '-1', '1.5', '1e3', '0x10', '3600001', '86400000', ' 1', '1 ', '1\0', 'None', '9'.repeat(400)].map(value =>
        [`retry ${value.slice(0, 20)}`, ['sse:f', 'x', 'retry', value], "retry is not 'none' or an integer from 0 to 3600000"]),
    ...['', '0', '-1', 'x', '1.5', '2147483648', '9'.repeat(400)].flatMap(value => ['maxlen', 'maxdata', 'ttl'].map(option =>
        [`${option} ${value.slice(0, 20)}`, ['sse:f', 'x', option, value], `${option} is not an integer from 1 to 2147483647`])),
    ...['', '2', 'yes'].flatMap(value => ['changed', 'count'].map(option =>
        [`${option} ${value}`, ['sse:f', 'x', option, value], `${option} is not 0 or 1`])),
    ...['', '2', 'yes'].map(value => [`end ${value}`, ['sse:f', 'x', 'end', value], 'end is not 0 or 1']),
    ...['', '0', '-1', 'x', '1.5', '86401', 'none'].map(value => [`lease ${value}`, ['sse:f', 'x', 'lease', value], 'lease is not an integer from 1 to 86400']),
    ...[['changed', '1'], ['count', '1'], ['lease', '5']].map(other => [`end with ${other[0]}`, ['sse:f', 'x', 'end', '1', ...other], 'end excludes changed, count and lease']),
    ...[['id', 'a'], ['event', 'a']].map(other => [`only an end, with ${other[0]}`, ['sse:f', '', 'end', '1', ...other], 'an end without data has no event or id of its own']),
    ['changed with count', ['sse:f', 'x', 'changed', '1', 'count', '1'], 'changed and count exclude each other'],
];
test('every fault is named in one sentence, and nothing was done', async () => {
    const listener = await Listener.open(redis, 'f');
    const keys = await redis.command(['DBSIZE']);
    for (const [name, argv, sentence] of faults)
        await assert.rejects(redis.command(['FCALL', 'sse_publish', 1, ...argv]),
            { message: `ERR sse_publish: ${sentence}` }, name);
    for (const wrong of [[0, 'x'], [2, 'sse:f', 'sse:g', 'x']])
        await assert.rejects(redis.command(['FCALL', 'sse_publish', ...wrong]),
            { message: 'ERR sse_publish: wants one key, PREFIX:NAME, as in sse:news' });
    assert.equal(await redis.command(['DBSIZE']), keys);
    listener.close();
});

test('UTF-8 in id and event is judged as in the golden vectors', async () => {
    for (const row of vectors('sse').refuse.filter(({ retry }) => retry === undefined)) {
        const [option, value] = row.event === undefined ? ['id', row.id] : ['event', row.event];
        await assert.rejects(publish('f', 'x', { [option]: bytes(value) }), { message: `ERR sse_publish: ${row.fault}` }, row.name);
    }
    for (const value of ['\u0080', '\u07ff', '\u0800', '\ud7ff', '\ue000', '\uffff', '\u{10000}', '\u{10ffff}', 'größe 🙂'])
        assert.equal((await publish(channel(), 'x', { id: value, event: value }))[0], value);
    for (const hex of ['c1bf', 'e09fbf', 'f08fbfbf', 'f5808080', 'c2', 'e28282e2', '61bf'])
        await assert.rejects(publish('f', 'x', { id: Buffer.from(hex, 'hex') }),
            { message: 'ERR sse_publish: id is not valid UTF-8' }, hex);
});

for (const option of ['id', 'key'])
    test(`the same ${option} again returns the first answer and publishes nothing`, async () => {
        const name = channel();
        const listener = await Listener.open(redis, name);
        const first = await publish(name, 'one', { [option]: 'with spaces 1-2' });
        assert.equal(first[2], 'published');
        await listener.next();
        assert.deepEqual(await publish(name, 'one', { [option]: 'with spaces 1-2', retry: 1, maxlen: 5 }), [first[0], first[1], 'duplicate']);
        for (const [data, options] of [['two', {}], ['one', { event: 'other' }], ['one\n', {}], ['', { count: 1 }]])
            await assert.rejects(publish(name, data, { [option]: 'with spaces 1-2', ...options }),
                { message: `CONFLICT sse_publish: this ${option} was used for another event within 300 s` });
        assert.equal(await length(name), 1);
        const memory = `{sse:${name}}:${option}:with spaces 1-2`;
        const ttl = await redis.command(['TTL', memory]);
        assert.ok(ttl > 290 && ttl <= 300, `remembered for ${ttl} s`);
        assert.equal((await publish(channel(), 'x', { [option]: 'with spaces 1-2' }))[2], 'published', 'not on another channel');
        await redis.command(['PEXPIRE', memory, 1]);
        await until('forgotten', async () => (await redis.command(['EXISTS', memory])) === 0);
        assert.equal((await publish(name, 'two', { [option]: 'with spaces 1-2' }))[2], 'published');
        await listener.next();
        listener.close();
    });

test('id and key together: either one makes it a duplicate', async () => {
    const name = channel();
    const [id, position] = await publish(name, 'x', { id: 'i1', key: 'k1' });
    assert.equal(id, 'i1');
    assert.deepEqual(await publish(name, 'x', { id: 'i1', key: 'k2' }), [id, position, 'duplicate']);
    assert.deepEqual(await publish(name, 'x', { id: 'i2', key: 'k1' }), [id, position, 'duplicate']);
    assert.deepEqual(await publish(name, 'x', { key: 'i1' }).then(answer => answer[2]), 'published');
    assert.equal(await length(name), 2);
});

test('a key is one author\'s alone', async () => {
    const name = channel();
    const first = await publish(name, 'mine', { key: 'order-17', author: 'ann' });
    const others = [await publish(name, 'yours', { key: 'order-17', author: 'bob' }), await publish(name, 'whose', { key: 'order-17' }),
        await publish(name, 'long', { key: 'order-17', author: 'a'.repeat(8192) })];
    assert.deepEqual(others.map(answer => answer[2]), ['published', 'published', 'published']);
    assert.deepEqual(await publish(name, 'mine', { key: 'order-17', author: 'ann' }), [first[0], first[1], 'duplicate']);
    await assert.rejects(publish(name, 'yours', { key: 'order-17', author: 'ann' }), /^Error: CONFLICT sse_publish: this key /);
    assert.equal(await length(name), 4);
});

test('a key or id remembered by version 1 still gets the first answer', async () => {
    const name = channel();
    await redis.command(['SET', `{sse:${name}}:key:old`, 'an id 5-1']);
    assert.deepEqual(await publish(name, 'x', { key: 'old' }), ['an id', '5-1', 'duplicate']);
});

test('data may take as many bytes on the stream as maxdata says, exactly', async () => {
    const name = channel();
    for (const data of ['', 'x'.repeat(20), 'a\nb', 'a\rb', 'a\r\nb', '\n', '\r', '\r\n', '\n\r', '\r\n\r\n', 'a\r\n\n\rb']) {
        const size = data.split(/\r\n|\r|\n/).reduce((sum, line) => sum + 'data: \n'.length + line.length, 0);
        await assert.rejects(publish(name, data, { maxdata: size - 1 }), /than maxdata/, JSON.stringify(data));
        assert.equal((await publish(name, data, { maxdata: size }))[2], 'published', JSON.stringify(data));
    }
});

test('two connections that race with the same keys publish each once', async () => {
    const name = channel();
    const clients = [new RespClient(redis.socket), new RespClient(redis.socket)];
    const calls = Array.from({ length: 200 }, (_, i) => Promise.all(clients.map((client, c) =>
        publish(name, `${i}`, { key: `ticker:${i}`, retry: c }, client))));
    for (const [a, b] of await within('all answers', Promise.all(calls))) {
        assert.deepEqual(a.slice(0, 2), b.slice(0, 2));
        assert.deepEqual([a[2], b[2]].sort(), ['duplicate', 'published']);
    }
    assert.equal(await length(name), 200);
    clients.forEach(client => client.close());
});

test('changed publishes only what differs from the newest data', async () => {
    const name = channel();
    const first = await publish(name, '1.10', { changed: 1 });
    assert.equal(first[2], 'published');
    assert.deepEqual(await publish(name, '1.10', { changed: 1 }), [first[0], first[1], 'unchanged']);
    assert.deepEqual(await publish(name, '1.10', { changed: 1, event: 'other', retry: 'none' }), [first[0], first[1], 'unchanged']);
    assert.equal((await publish(name, '1.10', { changed: 0 }))[2], 'published');
    const pairs = ['1.1', '1.10', '1.1\n0', '1.1\r\n0\n', '', '\n', 'a\nb', 'a', 'event: x', 'data: a', 'a'];
    for (const data of pairs) {
        const answer = await publish(name, data, { changed: 1 });
        assert.equal(answer[2], 'published', JSON.stringify(data));
        assert.deepEqual(await publish(name, data, { changed: 1 }), [answer[0], answer[1], 'unchanged'], JSON.stringify(data));
    }
    await publish(name, 'a\nb', { event: 'typed', id: 'mine', retry: 'none' });
    const [id, , outcome] = await publish(name, 'a\r\nb', { changed: 1 });
    assert.deepEqual([id, outcome], ['mine', 'unchanged'], 'breaks are alike');
    await redis.command(['XADD', log(name), '*', 'm', 'by hand']);
    assert.equal((await publish(name, 'by hand', { changed: 1 }))[2], 'published', 'an entry that is not ours differs');
});

test('an unchanged answer is remembered, too: a late repeat can not bring old data back', async () => {
    const name = channel();
    const first = await publish(name, 'old', { key: 'k0' });
    assert.equal((await publish(name, 'old', { key: 'k1', changed: 1 }))[2], 'unchanged');
    await publish(name, 'new');
    assert.deepEqual(await publish(name, 'old', { key: 'k1', changed: 1 }), [first[0], first[1], 'duplicate']);
});

test('count publishes the next integers, and a duplicate uses none up', async () => {
    const name = channel();
    const data = async () => /^data: (.*)$/m.exec(await sse(name))[1];
    for (const want of ['1', '2', '3']) {
        assert.equal((await publish(name, 'ignored', { count: 1, key: `ticker:${want}` }))[2], 'published');
        assert.equal((await publish(name, 'ignored', { count: 1, key: `ticker:${want}` }))[2], 'duplicate');
        assert.equal(await data(), want);
    }
    await assert.rejects(publish(name, '', { count: 1, retry: 'x' }), /ERR sse_publish: retry/);
    assert.equal(await redis.command(['GET', `{sse:${name}}:count`], {}), '3');
    await redis.command(['SET', `{sse:${name}}:count`, '9007199254740993']);
    await publish(name, '', { count: 1 });
    assert.equal(await data(), '9007199254740994', 'exact above 2^53');
    await redis.command(['SET', `{sse:${name}}:count`, 'seven']);
    await assert.rejects(publish(name, '', { count: 1 }), /not an integer/);
    assert.equal(await length(name), 4, 'and nothing was published');
});

test('maxlen trims the stream, ttl is set again at each event', async () => {
    const name = channel();
    await publish(name, 'x');
    const usual = await redis.command(['TTL', log(name)]);
    assert.ok(usual > 86390 && usual <= 86401, `TTL ${usual}`);
    await Promise.all(Array.from({ length: 1000 }, (_, i) => publish(name, `x${i}`, { maxlen: 100, ttl: 77 })));
    const kept = await length(name);
    assert.ok(kept >= 100 && kept < 300, `about 100 entries: ${kept}`);
    const ttl = await redis.command(['TTL', log(name)]);
    assert.ok(ttl > 70 && ttl <= 78, `TTL ${ttl}`);
    const [{ payload }] = (await entries(redis, name)).slice(-1);
    assert.match(payload.toString(), /data: x999\n/);
});

// What maxbytes must have kept: the newest events, at most N bytes of messages, and one or two sixteenths less after a trim.
async function kept(name, max, sent) {
    const list = await entries(redis, name);
    const sizes = list.map(({ payload }) => payload.length);
    const total = sizes.reduce((sum, n) => sum + n, 0);
    assert.ok(list.length === 1 || total <= max, `${total} bytes of at most ${max}`);
    assert.deepEqual(list.map(({ at }) => at), sent.slice(-list.length), 'the newest ones, without a hole');
    return { list, total };
}

test('maxbytes bounds the bytes of the history, whatever the sizes of its events', async () => {
    const max = 100000, step = max / 16;
    for (const sizes of [[10], [3000], [40000], [10, 3000], [1, 200, 20000, 5], [90000, 100], [200000, 10, 10]]) {
        const name = channel();
        const sent = [];
        let fullest = 0;
        for (let i = 0, bytes = 0; bytes < 4 * max && i < 6000; ++i) {
            const size = sizes[i % sizes.length];
            bytes += size;
            sent.push((await publish(name, 'x'.repeat(size), { maxlen: 100000, maxbytes: max }))[1]);
            if (size >= step || i % 50 === 0)
                fullest = Math.max(fullest, (await kept(name, max, sent)).total);
        }
        const { list, total } = await kept(name, max, sent);
        const lost = sent.length - list.length;
        assert.ok(lost === 0 || total > max - 2 * step - Math.max(...sizes) - 200, `${sizes}: ${total} bytes of ${max} are kept`);
        assert.ok(fullest <= Math.max(max, Math.max(...sizes) + 200));
    }
});

test('one large event does not throw out a long history of small ones that fits beside it', async () => {
    const name = channel();
    const sent = [];
    for (let i = 0; i < 1000; ++i)
        sent.push((await publish(name, `small ${i}`, { maxbytes: 1000000 }))[1]);
    sent.push((await publish(name, 'x'.repeat(500000), { maxbytes: 1000000 }))[1]);
    assert.equal((await kept(name, 1000000, sent)).list.length, 1001);
});

test('maxbytes may change from call to call, and histories of version 1 have no sums', async () => {
    const name = channel();
    const sent = [];
    for (let i = 0; i < 20; ++i)
        sent.push(await redis.command(['XADD', log(name), '*', 'm', 'x'.repeat(1000)]));
    for (let i = 0; i < 400; ++i)
        sent.push((await publish(name, 'x'.repeat(900), { maxlen: 100000, maxbytes: [10000, 1000000, 50000][i % 3] }))[1]);
    for (let i = 0; i < 4; ++i)
        sent.push((await publish(name, 'x'.repeat(900), { maxlen: 100000, maxbytes: 10000 }))[1]);
    await kept(name, 10000, sent);
});

test('a burst of 1000 has strictly rising positions and an unbroken chain, many in one millisecond', async () => {
    const name = channel();
    const answers = await Promise.all(Array.from({ length: 1000 }, (_, i) => publish(name, `${i}`, { maxlen: 5000 })));
    const list = await entries(redis, name);
    assert.equal(list.length, 1000);
    assert.equal(new Set(answers.map(([id]) => id)).size, 1000);
    let last = '0-0', shared = 0;
    for (const [i, { at, payload }] of list.entries()) {
        const message = parse(payload);
        assert.equal(compare(at, last), 1);
        assert.deepEqual([message.at, message.prev], [at, last]);
        assert.deepEqual(answers[i], [eventId(name, ...at.split('-')), at, 'published']);
        assert.match(message.sse.toString(), new RegExp(`^data: ${i}\n`));
        shared += !at.endsWith('-0');
        last = at;
    }
    assert.ok(shared > 0, 'some shared their millisecond');
});

test('data of all bytes and of 1 MiB goes through', async () => {
    const name = channel();
    const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const listener = await Listener.open(redis, name);
    await publish(name, all, { id: 'i' });
    // LF at 10 and CR at 13 split it into three lines
    const want = Buffer.concat(['data: ', all.subarray(0, 10), '\ndata: ', all.subarray(11, 13), '\ndata: ',
        all.subarray(14), '\nid: i\n\n'].map(part => Buffer.from(part)));
    assert.deepEqual(parse(await listener.next()).sse, want);
    const large = Buffer.alloc(1 << 20, 'x');
    await publish(name, large, { id: 'j' });
    assert.deepEqual(parse(await listener.next()).sse,
        Buffer.concat([Buffer.from('data: '), large, Buffer.from('\nid: j\n\n')]));
    await publish(name, Buffer.alloc(1 << 20, '\n'), { id: 'k', maxdata: 7 * ((1 << 20) + 1) });
    assert.equal(parse(await listener.next()).sse.length, 'id: k\n\n'.length + 7 * ((1 << 20) + 1));
    listener.close();
});

test('an emptied stream goes on from the last id it ever had', async () => {
    const name = channel();
    const future = Date.now() + 3600000;
    const [, kept] = await publish(name, 'x');
    await redis.command(['XADD', log(name), `${future}-5`, 'm', 'x']);
    await redis.command(['XTRIM', log(name), 'MAXLEN', '=', 0]);
    assert.equal((await publish(name, 'y'))[1], `${future}-6`);
    assert.equal((await newest(name)).prev, kept);
    await redis.command(['DEL', log(name)]);
    assert.equal((await publish(name, 'z'))[1], `${future}-7`);
    assert.equal((await newest(name)).prev, `${future}-6`);
});

test('a history that expired, was deleted or evicted: the next event names the last one before it', async () => {
    const name = channel();
    const last = `{sse:${name}}:last`;
    await publish(name, 'x', { ttl: 100 });
    const [, position] = await publish(name, 'y', { ttl: 100 });
    assert.equal(await redis.command(['GET', last]), position);
    const ttl = await redis.command(['TTL', last]);
    assert.ok(ttl > 604690 && ttl <= 604901, String(ttl));
    await redis.command(['DEL', log(name)]);
    const [, next] = await publish(name, 'z');
    const { at, prev } = await newest(name);
    assert.deepEqual([at, prev], [next, position]);
    assert.equal(compare(next, position), 1);
    await redis.command(['DEL', log(name), last]);
    await publish(name, 'z');
    assert.equal((await newest(name)).prev, '0-0');
});

test('an id that stands for a time, or for a place that is still to come, is refused', async () => {
    const [name, other] = [channel(), channel()];
    const far = Date.now() + 3600000;
    for (const id of ['80000000-0000-4000-8000-d6c33c6ef35f', eventId('', far, 0), eventId('', 5, 0)])
        await assert.rejects(publish(name, 'x', { id }),
            { message: 'ERR sse_publish: id has the form of a place in all channels, which only gateways give' });
    for (const id of [eventId(name, far, 0), eventId(other, far, 0), eventId(other, 2 ** 48 - 1, 2 ** 24 - 1)])
        await assert.rejects(publish(name, 'x', { id }),
            { message: "ERR sse_publish: id has the form of the bus's own and stands for a place that is still to come" });
    assert.deepEqual(await redis.command(['KEYS', `{sse:${name}}:*`]), []);
    const before = eventId(name, Date.now() - 1, 7);
    for (const id of [before, eventId(other, 5, 0), eventId('', far, 0).replace(/.$/, '0'), eventId('', far, 0).toUpperCase()])
        assert.equal((await publish(name, 'x', { id }))[0], id);
});

test('after XDEL of the newest entry: above what was deleted, chained to the last event that there was', async () => {
    const name = channel();
    const future = Date.now() + 3600000;
    const [, kept] = await publish(name, 'x');
    await redis.command(['XADD', log(name), `${future}-5`, 'm', 'x']);
    await redis.command(['XDEL', log(name), `${future}-5`]);
    assert.equal((await publish(name, 'y'))[1], `${future}-6`);
    assert.equal((await newest(name)).prev, kept);
});

test('an entry by hand is not what the next event names, nor an end, nor data that are unchanged', async () => {
    for (const fields of [['by', 'hand'], ['m', 'x'], ['m', '\x1esse1 1-1 0-0\ndata: y\nid: i\n\n'], ['m', '\x1esse2 1-1 0-0 end\nevent: end\ndata: y\n\n']]) {
        const name = channel();
        const [, kept] = await publish(name, 'x');
        const by = await redis.command(['XADD', log(name), '*', ...fields]);
        const [, next, outcome] = await publish(name, 'y', { changed: 1 });
        assert.equal(outcome, 'published');
        assert.equal((await newest(name)).prev, kept);
        assert.equal(compare(next, by), 1);
        assert.equal(await redis.command(['GET', `{sse:${name}}:last`]), next);
        await redis.command(['DEL', `{sse:${name}}:last`]);
        await redis.command(['XADD', log(name), '*', ...fields]);
        const [, last] = await publish(name, 'z');
        assert.equal((await newest(name)).prev, next, 'it is found among the newest entries');
        await redis.command(['DEL', `{sse:${name}}:last`]);
        for (let i = 0; i < 16; ++i)
            await redis.command(['XADD', log(name), '*', ...fields]);
        await publish(name, 'z');
        assert.equal((await newest(name)).prev, '0-0', `${last} is too far`);
        const [id, at] = await publish(name, 'z', { end: 1 });
        await redis.command(['XADD', log(name), '*', ...fields]);
        await assert.rejects(publish(name, 'z'), /^Error: ENDED /);
        await redis.command(['XTRIM', log(name), 'MAXLEN', '=', 1]);
        const over = await redis.command(['GET', `{sse:${name}}:last`]);
        assert.notEqual(over, at, `${id} is not the end`);
        await publish(name, 'new');
        assert.equal((await newest(name)).prev, over);
    }
});

const limit = 2 ** 48 - 1;
const hour = Date.now() + 3600000;
for (const [top, next] of [
    [`${hour}-0`, `${hour}-1`], [`${hour}-16777214`, `${hour}-16777215`], [`${hour}-16777215`, `${hour + 1}-0`],
    [`${hour}-18446744073709551615`, `${hour + 1}-0`],
    [`${limit}-0`, `${limit}-1`], [`${limit}-16777215`, null], [`${limit + 1}-0`, null],
    ['18446744073709551615-18446744073709551615', null]])
    test(`a hand-made entry ${top} is followed by ${next ?? 'a refusal'}`, async () => {
        const name = channel();
        await redis.command(['XADD', log(name), top, 'by', 'hand']);
        if (next === null) {
            await assert.rejects(publish(name, 'x', { count: 1, key: 'k' }), { message:
                `HISTORY sse_publish: the stream ${log(name)} has an entry too far in the future, added by hand: delete the stream` });
            assert.deepEqual(await redis.command(['KEYS', `{sse:${name}}:*`]), [log(name)]);
            return;
        }
        assert.deepEqual(await publish(name, 'x'), [eventId(name, ...next.split('-')), next, 'published']);
        const { at, prev } = await newest(name);
        assert.deepEqual([at, prev], [next, '0-0']);
    });

test('a stream key of another type is an error, and nothing was done', async () => {
    const name = channel();
    await redis.command(['SET', log(name), 'x']);
    await assert.rejects(publish(name, 'x', { count: 1, key: 'k', id: 'i' }), /^Error: WRONGTYPE/);
    assert.deepEqual(await redis.command(['KEYS', `{sse:${name}}:*`]), [log(name)]);
});

test('a Redis that is out of memory refuses before anything is done', async () => {
    const name = channel();
    const listener = await Listener.open(redis, name);
    await redis.command(['CONFIG', 'SET', 'maxmemory', '1mb']);
    try {
        await assert.rejects(publish(name, 'x', { count: 1, key: 'k' }), /^Error: OOM/);
    } finally {
        await redis.command(['CONFIG', 'SET', 'maxmemory', '0']);
    }
    assert.deepEqual(await redis.command(['KEYS', `{sse:${name}}:*`]), []);
    listener.close();
});

for (const [command, rules] of [['PUBLISH', ['resetchannels']], ['PUBLISH', ['-publish']], ['XADD', ['-xadd']],
    ['EXPIRE', ['-expire']], ['INCR', ['-incr']], ['SET', ['-set']]])
    test(`a user who may not ${command} (${rules}) is refused before the first write`, async () => {
        const name = channel();
        await redis.command(['ACL', 'SETUSER', 'half', 'reset', 'on', '>secret', '+@all', '~*', '&*', ...rules]);
        const client = new RespClient(redis.socket);
        await client.command(['AUTH', 'half', 'secret']);
        await assert.rejects(publish(name, 'x', { count: 1, key: 'k' }, client),
            { message: `NOPERM sse_publish: the Redis user is not allowed to ${command} here` });
        assert.deepEqual(await redis.command(['KEYS', `{sse:${name}}:*`]), []);
        client.close();
    });

// What the function remembers of a channel lets a plain event go a shorter way.
const known = async (options = {}) => {
    const name = channel();
    const list = [await publish(name, '1', options), await publish(name, '2', options)];
    return { name, last: list[1][1] };
};
const marked = async name => [await entries(redis, name).then(list => list.map(({ at }) => at)), await redis.command(['GET', `{sse:${name}}:last`]), await redis.command(['TTL', `{sse:${name}}:last`]) > 0];

for (const [command, rules] of [['PUBLISH', ['resetchannels']], ['PUBLISH', ['-publish']], ['XADD', ['-xadd']], ['EXPIRE', ['-expire']], ['SET', ['-set']]])
    test(`a user who may not ${command} (${rules}) changes nothing on a known channel either`, async () => {
        const { name } = await known();
        const before = await marked(name);
        const listener = await Listener.open(redis, name);
        await redis.command(['ACL', 'SETUSER', 'half', 'reset', 'on', '>secret', '+@all', '~*', '&*', ...rules]);
        const client = new RespClient(redis.socket);
        await client.command(['AUTH', 'half', 'secret']);
        for (const options of [{}, { ttl: 99 }].slice(command === 'EXPIRE' ? 1 : 0)) // the time to live is set once a second, and when it is another one
            await assert.rejects(publish(name, 'x', options, client), { message: `NOPERM sse_publish: the Redis user is not allowed to ${command} here` });
        assert.deepEqual(await marked(name), before);
        client.close();
        listener.close();
    });

test('a known channel whose history or marker somebody changed: the next event goes on from what is there', async () => {
    const follows = async (change, want) => {
        const { name, last } = await known();
        await change(name, last);
        const [, position] = await publish(name, 'x');
        const { at, prev } = await newest(name);
        assert.deepEqual([at, prev], [position, want(last)]);
        assert.ok(prev === '0-0' || compare(position, last) === 1);
        assert.equal(await redis.command(['GET', `{sse:${name}}:last`]), position);
        for (const key of [log(name), `{sse:${name}}:last`])
            assert.ok(await redis.command(['TTL', key]) > 0, `${key} has an end`);
        return position;
    };
    const far = `${Date.now() + 3600000}-5`;
    await follows(name => redis.command(['DEL', log(name)]), last => last);
    await follows(name => redis.command(['DEL', `{sse:${name}}:last`]), last => last);
    await follows(name => redis.command(['DEL', log(name), `{sse:${name}}:last`]), () => '0-0');
    await follows((name, last) => redis.command(['XDEL', log(name), last]), last => last);
    await follows(name => redis.command(['XTRIM', log(name), 'MAXLEN', '0']), last => last);
    assert.equal(await follows(name => redis.command(['SET', `{sse:${name}}:last`, far, 'EX', 1000]), () => far), far.replace(/5$/, '6'));
    assert.equal(await follows(name => redis.command(['XADD', log(name), far, 'by', 'hand']), last => last), far.replace(/5$/, '6'));
    await follows(name => redis.command(['XADD', log(name), '*', 'by', 'hand']), last => last);
    const { name } = await known();
    await redis.command(['DEL', `{sse:${name}}:last`]);
    await redis.command(['LPUSH', `{sse:${name}}:last`, 'x']);
    await assert.rejects(publish(name, 'x'), /^Error: WRONGTYPE/);
    assert.equal(await length(name), 2);
});

test('a refusal on a known channel that came to its end elsewhere leaves the marker as it is', async () => {
    const { name, last } = await known();
    const at = last.replace(/-(\d+)$/, (_, seq) => `-${Number(seq) + 1}`);
    await redis.command(['XADD', log(name), at, 'm', `\x1esse2 ${at} ${last} end\nevent: end\ndata: x\n\n`]);
    await redis.command(['SET', `{sse:${name}}:last`, at, 'EX', 1000]);
    await assert.rejects(publish(name, 'x'), REFUSED);
    assert.deepEqual(await marked(name), [(await entries(redis, name)).map(entry => entry.at), at, true]);
});

test('ttl counts at once when it is another one, and is set again in each second', async () => {
    const { name } = await known({ ttl: 1000 });
    const ttl = async () => await redis.command(['TTL', log(name)]);
    await publish(name, 'x', { ttl: 50 });
    assert.ok(await ttl() <= 51);
    await publish(name, 'x', { ttl: 1000 });
    assert.ok(await ttl() > 990);
    await redis.command(['PEXPIRE', log(name), 100000]);
    await until('set again', async () => {
        await publish(name, 'x', { ttl: 1000 });
        return await ttl() > 990;
    });
});

test('a known channel keeps maxlen, too, and by the bytes of its events no more than maxbytes', async () => {
    const name = channel(), sent = [];
    for (let i = 0; i < 3000; ++i)
        sent.push((await publish(name, 'x'.repeat(i % 50), { maxlen: 200 }))[1]);
    const count = await length(name);
    assert.ok(count >= 200 && count < 320, `${count} entries`);
    assert.deepEqual((await entries(redis, name)).map(({ at }) => at), sent.slice(-count));
});

test('what a call was once made with is not taken for another one', async () => {
    const name = channel(), options = [{ event: 'a' }, { event: 'b' }, { retry: 5 }, { event: 'a', retry: 5 }, { lease: 30 }, { event: 'a' }, {}];
    for (let round = 0; round < 3; ++round)
        for (const each of options) {
            const [id] = await publish(name, 'x', each);
            const payload = (await entries(redis, name)).at(-1).payload.toString();
            assert.equal(payload.split('\n').slice(1).join('\n'), `${each.event ? `event: ${each.event}\n` : ''}data: x\nid: ${id}\n${each.retry ? `retry: ${each.retry}\n` : ''}\n`);
            assert.equal(/ lease=30$/.test(payload.split('\n')[0]), each.lease === 30);
        }
    await assert.rejects(publish(name, 'x'.repeat(50), { maxdata: 27 }), /than maxdata: 27$/);
    assert.equal((await publish(name, 'x'.repeat(20), { maxdata: 27 }))[2], 'published');
    await assert.rejects(publish(name, 'x'.repeat(50), { maxdata: 27 }), /than maxdata: 27$/);
    await assert.rejects(redis.command(['FCALL', 'sse_publish', 1, `sse:${name}`, 'x', 'event']), /the option event has no value$/);
    await assert.rejects(redis.command(['FCALL', 'sse_publish', 2, `sse:${name}`, 'sse:other', 'x']), /wants one key/);
    await assert.rejects(redis.command(['FCALL', 'sse_publish', 1, `sse:${name}`]), /wants data after the key$/);
});

test('more channels than the function remembers, and one that comes again', async () => {
    const names = Array.from({ length: 4200 }, () => channel());
    const first = await Promise.all(names.map(name => publish(name, 'x')));
    for (const i of [0, 1, 4199]) {
        const [id, position] = await publish(names[i], 'y');
        assert.equal(id, eventId(names[i], ...position.split('-')));
        assert.equal((await newest(names[i])).prev, first[i][1]);
    }
});

test('in Redis Cluster all of it stays in one slot', async () => {
    const cluster = new Redis(join(folder, 'cluster'), { bind: '127.0.0.1', port: await freePort(),
        'cluster-port': await freePort(), 'cluster-enabled': 'yes' });
    servers.push(cluster);
    await cluster.start();
    await cluster.command(['CLUSTER', 'ADDSLOTSRANGE', 0, 16383]);
    await until('cluster is up', async () => /cluster_state:ok/.test(await cluster.command(['CLUSTER', 'INFO'])));
    await cluster.command(['FUNCTION', 'LOAD', library]);
    for (const name of ['post', 'exchange_rates/usd_eur', 'n'.repeat(200)]) {
        assert.equal((await publish(name, 'x', { count: 1, id: 'a}{b', key: '{k}' }, cluster))[2], 'published');
        assert.equal((await publish(name, '', { id: 'a}{b', count: 1 }, cluster))[2], 'duplicate');
        assert.equal((await publish(name, '1', { changed: 1 }, cluster))[2], 'unchanged');
        const slots = await Promise.all(['id:a}{b', 'key:{k}', 'count'].map(rest => `{sse:${name}}:${rest}`)
            .concat(`sse:${name}`, log(name)).map(key => cluster.command(['CLUSTER', 'KEYSLOT', key])));
        assert.equal(new Set(slots).size, 1);
    }
});

const END = (name, position) => `event: end\ndata: {"channel":"${name}","reason":"done"}\nid: ${eventId(name, ...position.split('-'))}\n\n`;
const headers = async name => (await entries(redis, name)).map(({ payload }) => payload.toString('latin1').split('\n')[0]);
const REFUSED = { message: 'ENDED sse_publish: the channel has ended; it is new again when its history is gone' };

test('end 1 appends the event and then the end, as two entries and two messages, and answers with the event', async () => {
    const name = channel();
    const listener = await Listener.open(redis, name);
    const [, before] = await publish(name, 'first');
    await listener.next();
    const [id, position, outcome] = await publish(name, 'last', { event: 'greeting', id: 'mine', retry: 7, end: 1 });
    assert.deepEqual([id, outcome], ['mine', 'published']);
    const [, event, end] = await entries(redis, name);
    assert.equal(event.at, position);
    assert.equal(event.payload.toString(), `\x1esse1 ${position} ${before}\nevent: greeting\ndata: last\nid: mine\nretry: 7\n\n`);
    assert.equal(compare(end.at, position), 1);
    assert.equal(end.payload.toString(), `\x1esse2 ${end.at} ${position} end\n${END(name, end.at)}`);
    assert.deepEqual([await listener.next(), await listener.next()], [event.payload, end.payload]);
    assert.equal(await redis.command(['GET', `{sse:${name}}:last`], {}), end.at);
    await assert.rejects(publish(name, 'more'), REFUSED);
    listener.close();
});

test('end 1 without data appends only the end, and answers with it', async () => {
    const name = channel();
    const [, before] = await publish(name, 'first');
    const [id, position, outcome] = await publish(name, '', { end: 1, retry: 9, key: 'k' });
    assert.equal(outcome, 'published');
    assert.deepEqual((await entries(redis, name)).map(({ payload }) => payload.toString()).slice(1), [`\x1esse2 ${position} ${before} end\n${END(name, position)}`]);
    assert.equal(id, eventId(name, ...position.split('-')));
    assert.deepEqual(await publish(name, '', { end: 1, key: 'k' }), [id, position, 'duplicate']);
    const alone = channel();
    const [, at] = await publish(alone, '', { end: 1 });
    assert.deepEqual(await headers(alone), [`\x1esse2 ${at} 0-0 end`]);
    assert.equal((await publish(channel(), 'x', { end: 0 }))[2], 'published');
});

test('after the end nothing is written, but a repeat still has its first answer; without its history the channel is new', async () => {
    const name = channel();
    const first = await publish(name, 'one', { key: 'k1' });
    const last = await publish(name, 'two', { key: 'k2', end: 1 });
    const listener = await Listener.open(redis, name);
    for (const options of [{}, { end: 1 }, { key: 'new' }, { id: 'new' }, { changed: 1 }, { count: 1 }, { lease: 5 }])
        await assert.rejects(publish(name, 'two', options), REFUSED, JSON.stringify(options));
    await assert.rejects(publish(name, '', { end: 1 }), REFUSED);
    assert.deepEqual(await publish(name, 'one', { key: 'k1' }), [first[0], first[1], 'duplicate']);
    assert.deepEqual(await publish(name, 'two', { key: 'k2', end: 1 }), [last[0], last[1], 'duplicate']);
    for (const key of ['k1', 'k2'])
        await assert.rejects(publish(name, key === 'k1' ? 'one' : 'two', { key, end: key === 'k1' ? 1 : 0 }), /^Error: CONFLICT /, 'whether it ends is part of the call');
    assert.equal(await length(name), 3);
    assert.equal(await redis.command(['EXISTS', `{sse:${name}}:count`, `{sse:${name}}:id:new`, `{sse:${name}}:key:new`]), 0);
    listener.close();
    const marker = await redis.command(['GET', `{sse:${name}}:last`], {});
    await redis.command(['DEL', log(name)]);
    const [, position] = await publish(name, 'again');
    assert.deepEqual(await headers(name), [`\x1esse1 ${position} ${marker}`], 'and names what it had');
});

test('lease stands in the header of its event', async () => {
    const name = channel();
    for (const [lease, words] of [[1, ' lease=1'], [86400, ' lease=86400'], ['030', ' lease=30']]) {
        const [, position] = await publish(name, 'x', { lease });
        assert.match((await headers(name)).at(-1), new RegExp(`^\x1esse2 ${position} \\d+-\\d+${words}$`));
    }
    const [id, position] = await publish(name, 'same', { lease: 30 });
    assert.deepEqual(await publish(name, 'same', { changed: 1 }), [id, position, 'unchanged']);
    await publish(name, 'same');
    assert.match((await headers(name)).at(-1), /^\x1esse1 /);
});

test('the end counts in the bytes of the history as any message', async () => {
    const name = channel();
    for (let i = 0; i < 40; ++i)
        await publish(name, 'x'.repeat(100), { maxbytes: 3000 });
    await publish(name, 'last', { maxbytes: 3000, end: 1 });
    const list = await redis.command(['XRANGE', log(name), '-', '+'], { raw: true });
    let sum = null;
    for (const [, [, payload, , b]] of list) {
        const total = Number(b.toString().split(' ')[0]);
        if (sum !== null)
            assert.equal(total, sum + payload.length);
        sum = total;
    }
    assert.match(list.at(-1)[1][1].toString(), /^\x1esse2 \S+ \S+ end\n/);
});
