// sse-publisher's HTTP contract against a real Redis: what a POST of each kind becomes, and that a refused one leaves nothing behind.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import { createConnection } from 'node:net';
import { Stack, until } from './stack.mjs';
import { H2, request } from './sse.mjs';
import { Raw } from './raw.mjs';

const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}';
const JSON_TYPE = { 'content-type': 'application/json' };
const TEXT_TYPE = { 'content-type': 'text/plain' };
const FORM_TYPE = { 'content-type': 'application/x-www-form-urlencoded' };
const LIMIT = 1000;

// Publisher 1 has a small body limit.
const s = await Stack.start({ gateways: 0, publishers: 2, publisherEnv: [{}, { BODY_LIMIT: LIMIT, HISTORY_BYTES: 20000, HISTORY_LEN_MAX: 2000, HISTORY_TTL_MAX: 100000 }] });
const [pub, small] = s.pub;
let fresh = 0;
const newChannel = () => `test${++fresh}`;

const post = (path, body = null, headers = {}) => request(pub.url + path, { method: 'POST', headers, body });
const length = channel => s.redis.command(['XLEN', `{sse:${channel}}:log`]);

// The SSE bytes of the channel's newest event.
async function newest(channel) {
    const [[, [, payload]]] = await s.redis.command(['XREVRANGE', `{sse:${channel}}:log`, '+', '-', 'COUNT', '1']);
    return payload.slice(payload.indexOf('\n') + 1);
}

const dataOf = sse => [...sse.matchAll(/^data: (.*)$/gm)].map(([, line]) => line);

// All that a publish could have changed: every key, and how often the function ran. A call that fails is the publisher's, which looks whether Redis takes writes.
async function footprint() {
    const [, all, failed] = /cmdstat_fcall:calls=(\d+).*?,failed_calls=(\d+)/.exec(await s.redis.command(['INFO', 'commandstats'])) ?? [0, 0, 0];
    return { calls: all - failed, keys: await s.redis.command(['DBSIZE']), post: await length('post') };
}

function assertSentence(answer, status, match) {
    assert.equal(answer.status, status, answer.body);
    assert.equal(answer.headers['content-type'], 'application/json');
    const { error, ...rest } = JSON.parse(answer.body);
    assert.deepEqual(rest, {});
    assert.match(error, match ?? /./);
}

test('POST /post answers 303 with the body "broadcasted" and nothing that a client would follow', async () => {
    const answer = await post('/post', '{"test":"hi"}', JSON_TYPE);
    assert.equal(answer.status, 303);
    assert.equal(answer.body, 'broadcasted');
    assert.equal(answer.headers['content-type'], 'text/plain; charset=utf-8');
    assert.equal(answer.headers['content-length'], '11');
    assert.equal(answer.headers.location, undefined);
});

test('the event of POST /post, byte for byte', async () => {
    await post('/post', '{"test":"hi"}', JSON_TYPE);
    assert.match(await newest('post'), new RegExp(`^data: \\{"test":"hi"\\}\nid: ${UUID}\n\n$`));
});

test('the raw bytes on pub/sub are those of the stream entry', async () => {
    const channel = newChannel();
    const socket = createConnection(s.redis.socket);
    const chunks = [];
    socket.on('data', chunk => chunks.push(chunk));
    const received = () => Buffer.concat(chunks).toString();
    socket.write(`SUBSCRIBE sse:${channel}\r\n`);
    await s.redis.subscribed(channel, 1);
    const { id } = JSON.parse((await post(`/channels/${channel}`, 'one\ntwo', TEXT_TYPE)).body);
    await until('the message', () => received().includes('data: two\nid: ') && received().endsWith('\n\n\r\n'));
    socket.destroy();
    const [[position, [, payload]]] = await s.redis.command(['XREVRANGE', `{sse:${channel}}:log`, '+', '-']);
    assert.equal(payload, `\x1esse1 ${position} 0-0\ndata: one\ndata: two\nid: ${id}\n\n`);
    assert.ok(received().endsWith(`$${payload.length}\r\n${payload}\r\n`), received());
});

// [what, path and query, headers, body, the data lines]
const ACCEPTED = [
    ['a JSON object is compacted', '/post', JSON_TYPE, ' { "a" : [1, 2.50, null],\n "b":{} } ', ['{"a":[1,2.50,null],"b":{}}']],
    ['a query alone makes the object', '/post?msg=hi&n=1', {}, null, ['{"msg":"hi","n":"1"}']],
    ['no query and no body make the empty object', '/post', {}, null, ['{}']],
    ['an empty JSON body is no parameters', '/post?a=1', JSON_TYPE, null, ['{"a":"1"}']],
    ['query and JSON are merged', '/post?q=1', JSON_TYPE, '{"b":2}', ['{"b":2,"q":"1"}']],
    ['the body wins on the same name', '/post?a=query&b=query', JSON_TYPE, '{"a":"body"}', ['{"a":"body","b":"query"}']],
    ['a JSON body that is no object stands as it is', '/post', JSON_TYPE, '[1,2]', ['[1,2]']],
    ['beside a query it goes under _json', '/post?a=1', JSON_TYPE, '[1,2]', ['{"_json":[1,2],"a":"1"}']],
    ['charset=utf-8 is taken', '/post', { 'content-type': 'application/json; charset=UTF-8' }, '"é"', ['"é"']],
    ['line breaks in JSON strings stay escapes', '/post', JSON_TYPE, '{"a":"x\\r\\ny"}', ['{"a":"x\\r\\ny"}']],
    ['query escapes and + are decoded', '/post?a%26b=%22x+y%0a%00%E2%82%AC', {}, null, ['{"a&b":"\\"x y\\n\\u0000€"}']],
    ['the last of a repeated query name wins', '/post?a=1&a=2', {}, null, ['{"a":"2"}']],
    ['on /post, event, id and retry of the query are data', '/post?event=e&id=i&retry=5', {}, null,
        ['{"event":"e","id":"i","retry":"5"}']],
    ['a form is a flat object of strings', '/post', FORM_TYPE, 'a=1&b=x%26y&a=2', ['{"b":"x&y","a":"2"}']],
    ['a form wins over the query', '/post?a=query&q=1', FORM_TYPE, 'a=form', ['{"q":"1","a":"form"}']],
    ['on /channels, fields of a form are data even when called id', null, FORM_TYPE, 'id=x', ['{"id":"x"}']],
    ['a text is the data line by line', null, TEXT_TYPE, 'one\r\ntwo\rthree\n\nfive', ['one', 'two', 'three', '', 'five']],
    ['a text that looks like fields is data', null, TEXT_TYPE, 'x\nid: evil\n\nevent: evil', ['x', 'id: evil', '', 'event: evil']],
    ['any text/* is text', null, { 'content-type': 'text/markdown' }, '# hi', ['# hi']],
    ['an empty text is one empty line', null, TEXT_TYPE, null, ['']],
    ['an empty text beside a query is no body', '/post?a=1', TEXT_TYPE, null, ['{"a":"1"}']],
    ['Content-Encoding: identity is none', null, { ...TEXT_TYPE, 'content-encoding': 'identity' }, 'x', ['x']],
    ['64 levels of JSON', null, JSON_TYPE, '['.repeat(64) + ']'.repeat(64), ['['.repeat(64) + ']'.repeat(64)]],
    ['a body of a mebibyte', null, TEXT_TYPE, 'x'.repeat(1 << 20), ['x'.repeat(1 << 20)]],
];

for (const [what, path, headers, body, want] of ACCEPTED) {
    test(`taken: ${what}`, async () => {
        const channel = path === null ? newChannel() : 'post';
        const before = await length(channel);
        const answer = await post(path ?? `/channels/${channel}`, body, headers);
        assert.equal(answer.status, path === null ? 200 : 303, answer.body);
        const sse = await newest(channel);
        assert.deepEqual(dataOf(sse), want);
        assert.match(sse, /^data: /);
        assert.equal(await length(channel), before + 1);
    });
}

test('POST /channels/{name} answers 200 with the id, and the event carries it', async () => {
    const channel = newChannel();
    const answer = await post(`/channels/${channel}`, '{"a":1}', JSON_TYPE);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['content-type'], 'application/json');
    assert.match(answer.body, new RegExp(`^\\{"id":"${UUID}"\\}$`));
    assert.equal(await newest(channel), `data: {"a":1}\nid: ${JSON.parse(answer.body).id}\n\n`);
});

test('event, id and retry come from the query, from headers, and the query wins', async () => {
    const headers = { ...JSON_TYPE, 'sse-event': 'h-type', 'sse-id': 'h-id', 'sse-retry': '70' };
    const channel = newChannel();
    await post(`/channels/${channel}?event=q-type&id=q-id&retry=60&a=1`, '{}', headers);
    assert.equal(await newest(channel), 'event: q-type\ndata: {"a":"1"}\nid: q-id\nretry: 60\n\n');
    await post(`/channels/${channel}`, '{}', headers);
    assert.equal(await newest(channel), 'event: h-type\ndata: {}\nid: h-id\nretry: 70\n\n');
    await post('/post?id=data', null, { 'sse-event': 'h-type', 'sse-retry': '0' });
    assert.match(await newest('post'), new RegExp(`^event: h-type\ndata: \\{"id":"data"\\}\nid: ${UUID}\nretry: 0\n\n$`));
});

test('an id of any UTF-8 comes back in proper JSON', async () => {
    const id = 'a"b\\c € /';
    const answer = await post(`/channels/${newChannel()}?id=${encodeURIComponent(id)}`);
    assert.equal(answer.status, 200, answer.body);
    assert.deepEqual(JSON.parse(answer.body), { id });
});

test('a channel name may hold slashes, dots and percent escapes of both', async () => {
    for (const [path, channel] of [['a/b.c~d:e@f+g,h-i_j', 'a/b.c~d:e@f+g,h-i_j'], ['%61%2Fb', 'a/b'], ['x/../y', 'x/../y'], ['x/.', 'x/.']]) {
        const answer = await new Promise(done => http.request(`${pub.url}/`, { method: 'POST', path: `/channels/${path}?a=1` },
            response => done(response.resume())).end());
        assert.equal(answer.statusCode, 200, path);
        assert.deepEqual(dataOf(await newest(channel)), ['{"a":"1"}']);
    }
});

const LONG = 'x'.repeat(201);
const bytes = (...list) => Buffer.concat(list.map(item => (typeof item === 'string' ? Buffer.from(item) : Buffer.from([item]))));

// [what, path, headers, body, status, sentence]
const REFUSED = [
    ['truncated JSON', '/post', JSON_TYPE, '{"a":1', 400, /malformed at offset 6: parse error: premature EOF/],
    ['trailing garbage', '/post', JSON_TYPE, '{"a":1} x', 400, /malformed at offset 8/],
    ['a value and an unfinished string', '/post', JSON_TYPE, '{"a":1}"x', 400, /malformed at offset 9/],
    ['two JSON values', '/post', JSON_TYPE, '{}{}', 400, /malformed at offset 2/],
    ['no JSON at all', '/post', JSON_TYPE, 'hello', 400, /malformed at offset 0/],
    ['JSON nested 65 deep', '/post', JSON_TYPE, '['.repeat(65) + ']'.repeat(65), 400, /nests deeper than 64/],
    ['JSON nested half a million deep', '/post', JSON_TYPE, '{"a":'.repeat(100000), 400, /nests deeper than 64/],
    ['JSON that is not UTF-8', '/post', JSON_TYPE, bytes('{"a":"', 0xff, '"}'), 400, /not UTF-8 at offset 6/],
    ['JSON with an overlong slash', '/post', JSON_TYPE, bytes('"', 0xc0, 0xaf, '"'), 400, /not UTF-8 at offset 1/],
    ['JSON in UTF-16', '/post', JSON_TYPE, Buffer.from('{"a":1}', 'utf16le'), 400, /malformed/],
    ['half a surrogate pair', '/post', JSON_TYPE, '"\\ud800"', 400, /half a surrogate pair at offset 1/],
    ['a NUL byte in JSON', '/post', JSON_TYPE, '"a\0b"', 400, /malformed/],
    ['a text that is not UTF-8', '/post', TEXT_TYPE, bytes('ab', 0x80), 400, /text body is not UTF-8 at offset 2/],
    ['a text beside query data', '/post?a=1', TEXT_TYPE, 'x', 400, /text body and query/],
    ['a query that is not UTF-8', '/post?a=%ff', {}, null, 400, /query is not UTF-8/],
    ['a query with a broken escape', '/post?a=%zz', {}, null, 400, /query holds a broken percent escape/],
    ['a query cut in an escape', '/post?a=%e', {}, null, 400, /query holds a broken percent escape/],
    ['a form that is not UTF-8', '/post', FORM_TYPE, 'a=%c3%28', 400, /form is not UTF-8/],
    ['a form with a broken escape', '/post', FORM_TYPE, 'a=%', 400, /form holds a broken percent escape/],
    ['a body without a type', '/post', {}, '{}', 415, /Content-Type/],
    ['a type that is none of ours', '/post', { 'content-type': 'application/xml' }, '<a/>', 415, /application\/json/],
    ['multipart', '/post', { 'content-type': 'multipart/form-data; boundary=x' }, '--x--', 415, /application\/json/],
    ['JSON that curl calls a form', '/channels/bad', FORM_TYPE, '{"test":"a=b"}', 415, /not a form.*Content-Type/],
    ['a JSON array that curl calls a form', '/post', FORM_TYPE, ' ["a=b"]', 415, /not a form.*Content-Type/],
    ['text that curl calls a form', '/channels/bad', FORM_TYPE, 'hello', 415, /not a form.*Content-Type/],
    ['a form of 1001 parameters', '/post', FORM_TYPE, 'a=1&'.repeat(1001), 413, /more than 1000 parameters/],
    ['a query and a form of 1001 parameters', '/post?b=1', FORM_TYPE, 'a=1&'.repeat(1000), 413, /more than 1000 parameters/],
    ['a query of 1001 parameters', `/post?${'a&'.repeat(1001)}`, {}, null, 413, /more than 1000 parameters/],
    ['a MiB of line breaks', '/channels/bad', TEXT_TYPE, '\n'.repeat(1 << 20), 413, /data takes 7340039 bytes on the stream, more than 1314816$/],
    ['a form of control bytes', '/channels/bad', FORM_TYPE, `a=${'\x01'.repeat(1 << 19)}`, 413, /data takes 3145743 bytes on the stream, more than 1314816$/],
    ['a charset that is not utf-8', '/post', { 'content-type': 'application/json; charset=latin1' }, '{}', 415, /charset/],
    ['a type that is none of ours, without a body', '/post', { 'content-type': 'image/png' }, null, 415, /Content-Type/],
    ['a compressed body', '/post', { ...JSON_TYPE, 'content-encoding': 'gzip' }, '{}', 415, /Content-Encoding/],
    ['an unknown path', '/posts', JSON_TYPE, '{}', 404, /no such path/],
    ['the root', '/', JSON_TYPE, '{}', 404, /no such path/],
    ['a path that is near', '/channel', JSON_TYPE, '{}', 404, /no such path/],
    ['a path with something after /post', '/post/', JSON_TYPE, '{}', 404, /no such path/],
    ['a path with a broken escape', '/channels/%g0', JSON_TYPE, '{}', 400, /path holds a broken/],
    ['an empty channel name', '/channels/', JSON_TYPE, '{}', 400, /channel/],
    ['a channel name with a leading slash', '/channels//a', JSON_TYPE, '{}', 400, /channel/],
    ['a channel name with a space', '/channels/a%20b', JSON_TYPE, '{}', 400, /channel/],
    ['a channel name with a line break', '/channels/a%0d%0ab', JSON_TYPE, '{}', 400, /channel/],
    ['a channel name with NUL', '/channels/a%00b', JSON_TYPE, '{}', 400, /channel/],
    ['a channel name that would be a pattern', '/channels/a*', JSON_TYPE, '{}', 400, /channel/],
    ['a channel name with braces', '/channels/%7Ba%7D', JSON_TYPE, '{}', 400, /channel/],
    ['a channel name of other letters', '/channels/%C3%A9', JSON_TYPE, '{}', 400, /channel/],
    ['a channel name of 201 bytes', `/channels/${LONG}`, JSON_TYPE, '{}', 400, /channel/],
    ...['%0a', '%0d', '%00'].flatMap(escape => [
        [`event with ${escape}`, `/channels/bad?event=a${escape}data:x`, {}, null, 400, /event/],
        [`id with ${escape}`, `/channels/bad?id=a${escape}b`, {}, null, 400, /id/],
    ]),
    ['event of 201 bytes', `/channels/bad?event=${LONG}`, {}, null, 400, /event/],
    ['id of 201 bytes', `/channels/bad?id=${LONG}`, {}, null, 400, /id/],
    ['id that is not UTF-8', '/channels/bad', { 'sse-id': '\xff' }, null, 400, /id/],
    ['retry that is no number', '/channels/bad?retry=soon', {}, null, 400, /retry/],
    ['retry below zero', '/channels/bad?retry=-1', {}, null, 400, /retry/],
    ...['gap', 'error', 'open', 'end'].map(type => [`the reserved event ${type}`, `/channels/bad?event=${type}`, {}, null, 400, /^event is reserved: gap, error, open and end/]),
    ['a reserved event in a header', '/post', { 'sse-event': 'gap' }, null, 400, /^event is reserved/],
    ...['%20gap', 'gap%20', '+gap', 'gap%09', '+'].map(type => [`event ${type}`, `/channels/bad?event=${type}`, {}, null, 400, /^event begins or ends with a blank/]),
    ...['01', '09', '0b', '0c', '1b', '7f'].map(hex => [`id with byte ${hex}`, `/channels/bad?id=a%${hex}b`, {}, null, 400, /^id holds a control character/]),
    ...['%20a', 'a+', '+'].map(id => [`id ${id}`, `/channels/bad?id=${id}`, {}, null, 400, /^id begins or ends with a blank/]),
    ['retry above an hour', '/channels/bad?retry=3600001', {}, null, 400, /retry must be 0 to 3600000/],
    ['retry that wraps around', '/channels/bad', { 'sse-retry': '4294967296' }, null, 400, /retry/],
    ['retry without a value', '/channels/bad?retry=', {}, null, 400, /retry/],
    ...['', '2', 'yes', '-1'].map(value => [`end ${value}`, `/channels/bad?end=${value}`, {}, null, 400, /^end must be 0 to 1$/]),
    ...['', '0', '86401', 'x', '1.5', '4294967297'].map(value => [`lease ${value}`, `/channels/bad?lease=${value}`, {}, null, 400, /^lease must be 1 to 86400 seconds$/]),
    ...['', '0', '1001', 'x'].map(value => [`history_len ${value}`, `/channels/bad?history_len=${value}`, {}, null, 400, /^history_len must be 1 to 1000 events$/]),
    ...['', '0', '86401', 'x'].map(value => [`history_ttl ${value}`, `/channels/bad?history_ttl=${value}`, {}, null, 400, /^history_ttl must be 1 to 86400 seconds$/]),
    ...Object.entries({ end: ['true', '2', '-1'], lease: ['5s', '0', '86401'], 'history-length': ['1001', '0', '1e3'], 'history-ttl': ['86401', '-1', '1.5'], retry: ['1s', '3600001'] }).flatMap(([name, values]) =>
        values.map(value => [`SSE-${name}: ${value}`, '/channels/bad', { [`sse-${name}`]: value }, null, 400, new RegExp(`^${name.replace('-', '_').replace('length', 'len')} must be `)])),
    ['a good option twice, the second time bad', '/channels/bad?lease=5&lease=x', {}, null, 400, /^lease must be/],
    ['end and lease', '/channels/bad?end=1', { 'sse-lease': '5' }, null, 400, /^end and lease exclude each other$/],
    ['an end alone, with an id', '/channels/bad?end=1&id=x', {}, null, 400, /^an end without a body has no event or id of its own$/],
    ['an end alone, with an event', '/channels/bad?end=1', { 'sse-event': 'x' }, null, 400, /^an end without a body has no event or id of its own$/],
    ['an empty Idempotency-Key', '/post', { 'idempotency-key': '' }, null, 400, /Idempotency-Key/],
    ['an Idempotency-Key of 201 bytes', '/post', { 'idempotency-key': LONG }, null, 400, /Idempotency-Key/],
    ['an Idempotency-Key with a space', '/post', { 'idempotency-key': 'a b' }, null, 400, /Idempotency-Key/],
    ['an Idempotency-Key beyond ASCII', '/post', { 'idempotency-key': '\xe9' }, null, 400, /Idempotency-Key/],
    ...['Content-Type', 'Content-Encoding', 'Origin', 'Idempotency-Key', 'SSE-Event', 'SSE-ID', 'SSE-Retry', 'SSE-End', 'SSE-Lease', 'SSE-History-Length', 'SSE-History-TTL'].map(name =>
        [`two ${name} headers`, '/channels/bad', ['host', 'localhost', 'content-length', '0', name, '1', 'x-between', 'x', name.toLowerCase(), '1'], null, 400, new RegExp(`^the request holds more than one ${name} header$`)]),
    ['a URL of 100 KiB', `/post?a=${'x'.repeat(102400)}`, {}, null, 414, /longer than/],
    ['a header of 100 KiB', '/post', { 'x-long': 'x'.repeat(102400) }, null, 431, /longer than/],
];

for (const [what, path, headers, body, status, sentence] of REFUSED) {
    test(`refused with ${status}: ${what}`, async () => {
        const before = await footprint();
        assertSentence(await post(path, body, headers), status, sentence);
        assert.deepEqual(await footprint(), before);
    });
}

test('an event that takes as many bytes on the stream as it may is taken, one line break more is 413', async () => {
    const channel = newChannel();
    const send = breaks => request(`${small.url}/channels/${channel}`, { method: 'POST', headers: TEXT_TYPE, body: '\n'.repeat(breaks).padEnd(LIMIT, 'x') });
    const most = LIMIT + LIMIT / 4 + 4096;
    const fits = Math.floor((most - 7 - LIMIT) / 6);
    assert.equal((await send(fits)).status, 200);
    assertSentence(await send(fits + 1), 413, new RegExp(`takes ${LIMIT + 7 + 6 * (fits + 1)} bytes on the stream, more than ${most}$`));
    assert.equal(await length(channel), 1);
});

test('a form of 1000 parameters, JSON that is named by its format, and utf8 are taken', async () => {
    const channel = newChannel();
    const form = Array.from({ length: 1000 }, (_, i) => `p${i}=`).join('&');
    assert.equal((await post(`/channels/${channel}`, form, FORM_TYPE)).status, 200);
    assert.equal(Object.keys(JSON.parse(dataOf(await newest(channel))[0])).length, 1000);
    assert.equal((await post(`/channels/${channel}`, '{ "specversion": "1.0" }', { 'content-type': 'application/cloudevents+json; charset=utf8' })).status, 200);
    assert.deepEqual(dataOf(await newest(channel)), ['{"specversion":"1.0"}']);
    assert.equal((await post(`/channels/${channel}`, '', FORM_TYPE)).status, 200);
});

test('another event under the same id or Idempotency-Key is 422, a repeat gets the first answer', async () => {
    const channel = newChannel();
    for (const [query, headers, what] of [['', { 'idempotency-key': 'order-17' }, 'key'], ['?id=mine', {}, 'id']]) {
        const send = (body, extra = {}) => post(`/channels/${channel}${query}`, body, { ...TEXT_TYPE, ...headers, ...extra });
        const first = await send('one');
        assert.equal(first.status, 200);
        const before = await length(channel);
        assert.deepEqual([(await send('one')).body, (await send('one', { 'sse-retry': '5' })).body], [first.body, first.body]);
        assertSentence(await send('two'), 422, new RegExp(`^this ${what} was used for another event within 300 s$`));
        assertSentence(await send('one', { 'sse-event': 'other' }), 422);
        assert.equal(await length(channel), before);
    }
    assert.equal(await pub.metric('sse_publish_total', { outcome: 'conflict' }), 4);
});

const messages = async channel => (await s.redis.command(['XRANGE', `{sse:${channel}}:log`, '-', '+'])).map(([, [, payload]]) => payload);

test('end publishes the event and the end, or with an empty body the end alone; then everything is 409, but a repeat', async () => {
    const ends = [['?end=1', {}, 'last', 2], ['', { 'sse-end': '1' }, 'last', 2], ['?end=1', { 'sse-end': '0' }, '', 1], ['?end=1&a=1', {}, '', 2]];
    for (const [query, extra, body, count] of ends) {
        const channel = newChannel();
        const send = (text, more = {}, parameters = '') => post(`/channels/${channel}${parameters}`, text, { ...TEXT_TYPE, ...more });
        const ended = await post(`/channels/${channel}${query}`, body, { ...(body === '' ? {} : TEXT_TYPE), ...extra, 'idempotency-key': 'last' });
        assert.equal(ended.status, 200, ended.body);
        const list = await messages(channel);
        assert.equal(list.length, count);
        assert.match(list.at(-1), new RegExp(`^\x1esse2 \\S+ \\S+ end\nevent: end\ndata: \\{"channel":"${channel}","reason":"done"\\}\nid: ${UUID}\n\n$`));
        assert.match(list[0], new RegExp(`\nid: ${JSON.parse(ended.body).id}\n`), 'the answer names the first of them');
        for (const answer of [await send('more'), await send('', {}, '?end=1'), await send('x', { 'sse-lease': '9' })])
            assertSentence(answer, 409, /^the channel has ended; it is new again when its history is gone$/);
        const again = await post(`/channels/${channel}${query}`, body, { ...(body === '' ? {} : TEXT_TYPE), ...extra, 'idempotency-key': 'last' });
        assert.deepEqual([again.status, again.body], [200, ended.body]);
        assert.equal((await messages(channel)).length, count);
    }
    assert.equal(await pub.metric('sse_publish_total', { outcome: 'ended' }), 3 * ends.length);
});

test('a lease stands in the message, and history_len and history_ttl bound the history of their channel', async () => {
    const channel = newChannel();
    await post(`/channels/${channel}?lease=30`, 'x', TEXT_TYPE);
    await post(`/channels/${channel}`, 'x', { ...TEXT_TYPE, 'sse-lease': '86400' });
    assert.deepEqual((await messages(channel)).map(text => /^\x1esse2 \S+ \S+ (\S+)\n/.exec(text)[1]), ['lease=30', 'lease=86400']);
    const ttl = () => s.redis.command(['TTL', `{sse:${channel}}:log`]);
    for (const [query, headers] of [['?history_ttl=50&history_len=1', {}], ['', { 'sse-history-ttl': '50', 'sse-history-length': '1' }]]) {
        await post(`/channels/${channel}`, 'x', TEXT_TYPE);
        assert.ok(await ttl() > 50);
        for (let i = 0; i < 250; ++i)
            await post(`/channels/${channel}${query}`, 'x', { ...TEXT_TYPE, ...headers });
        assert.ok(await ttl() <= 51 && await length(channel) < 150, `${await length(channel)} entries`);
    }
});

test('HISTORY_LEN_MAX and HISTORY_TTL_MAX are the most that an author may ask for', async () => {
    const send = query => request(`${small.url}/channels/${newChannel()}?${query}`, { method: 'POST', headers: TEXT_TYPE, body: 'x' });
    for (const [name, most, what] of [['history_len', 2000, 'events'], ['history_ttl', 100000, 'seconds']]) {
        assert.equal((await send(`${name}=${most}`)).status, 200);
        assertSentence(await send(`${name}=${most + 1}`), 400, new RegExp(`^${name} must be 1 to ${most} ${what}$`));
    }
});

test('a history is bounded by its bytes, too', async () => {
    const channel = newChannel();
    for (let i = 0; i < 60; ++i)
        assert.equal((await request(`${small.url}/channels/${channel}`, { method: 'POST', headers: TEXT_TYPE, body: 'x'.repeat(900) })).status, 200);
    const bytes = (await s.redis.command(['XRANGE', `{sse:${channel}}:log`, '-', '+'])).reduce((sum, [, [, payload]]) => sum + payload.length, 0);
    assert.ok(bytes > 15000 && bytes <= 20000, `${bytes} bytes`);
});

test('a page of another origin publishes nothing, one of CORS_ORIGINS or of the publisher\'s own host does', async () => {
    const before = await footprint();
    const refused = await pub.metric('sse_auth_refused_total', { reason: 'foreign origin' });
    const foreign = ['https://evil.example', 'http://localhost:30001', 'http://localhost:3000.evil.example', 'https://localhost:3000', 'null', '*',
        'http://localhost:3000,https://front-end.surge.sh', `http://127.0.0.1:${pub.port}1`];
    for (const origin of foreign)
        for (const path of ['/post', '/channels/foreign'])
            assertSentence(await post(path, 'x', { ...TEXT_TYPE, origin }), 403, /^this origin is not in CORS_ORIGINS$/);
    assert.deepEqual(await footprint(), before);
    assert.equal(await pub.metric('sse_auth_refused_total', { reason: 'foreign origin' }), refused + 2 * foreign.length);
    for (const origin of ['http://localhost:3000', 'https://front-end.surge.sh', `http://127.0.0.1:${pub.port}`, undefined])
        assert.equal((await post('/channels/own', 'x', origin === undefined ? TEXT_TYPE : { ...TEXT_TYPE, origin })).status, 200, origin);
});

test('every other method is refused with 405 and Allow, on each path that exists', async () => {
    const before = await footprint();
    for (const path of ['/post', '/channels/a', '/channels/', '/post?a=1']) {
        for (const method of ['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE']) {
            const answer = await request(pub.url + path, { method });
            assertSentence(answer, 405, /only POST/);
            assert.equal(answer.headers.allow, 'POST');
        }
        const head = await request(pub.url + path, { method: 'HEAD' });
        assert.deepEqual([head.status, head.body, head.headers.allow], [405, '', 'POST']);
    }
    assertSentence(await request(`${pub.url}/elsewhere`), 404);
    assert.deepEqual(await footprint(), before);
});

test('a body of exactly the limit is taken, one byte more is 413', async () => {
    const channel = newChannel();
    const send = n => request(`${small.url}/channels/${channel}`, { method: 'POST', headers: TEXT_TYPE, body: 'x'.repeat(n) });
    assert.equal((await send(LIMIT)).status, 200);
    const before = await footprint();
    const answer = await send(LIMIT + 1);
    assertSentence(answer, 413, /body/);
    assert.equal(answer.headers.connection, 'close');
    assert.deepEqual(await footprint(), before);
    assert.equal(await length(channel), 1);
});

test('a body over the limit without a length is 413', async () => {
    const before = await footprint();
    const raw = await Raw.connect(small.port);
    raw.send('POST /post HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n');
    raw.send(`${(LIMIT + 1).toString(16)}\r\n${'x'.repeat(LIMIT + 1)}\r\n0\r\n\r\n`);
    const head = await raw.head();
    assert.equal(head.status, 413);
    assert.match(head.rest, /^\{"error":"[^"]+"\}$/);
    await raw.waitEnd();
    assert.deepEqual(await footprint(), before);
});

// As many bytes as libh2o takes: with more on the way its close() would be a reset, which may overtake the answer.
test('a huge body is refused by its announced length alone, and one without a length before it ends', async () => {
    const before = await footprint();
    const slack = 65536;
    for (const [header, start] of [['Content-Length: 10000000000', ''],
        ['Transfer-Encoding: chunked', `40000000\r\n${'x'.repeat(LIMIT + slack)}`]]) {
        const raw = await Raw.connect(small.port);
        raw.send(`POST /post HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n${header}\r\n\r\n${start}`);
        await raw.waitText(/^HTTP\/1\.1 413 [^]*\r\n\r\n\{"error":"[^"]+"\}$/);
        await raw.waitEnd();
    }
    assert.deepEqual(await footprint(), before);
});

test('a body of broken chunks or that stops halfway publishes nothing', async () => {
    const before = await footprint();
    const broken = await Raw.connect(pub.port);
    broken.send('POST /post HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n');
    await broken.waitText(/^HTTP\/1\.1 400 [^]*\r\n\r\n\{"error":"[^"]+"\}$/);
    const half = await Raw.connect(pub.port);
    half.send('POST /post HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nhalf');
    const open = await pub.metric('sse_connections');
    half.close();
    await pub.waitMetric('sse_connections', value => value < open);
    assert.deepEqual(await footprint(), before);
});

test('HTTP/2 with prior knowledge: the same answers', async () => {
    const h2 = await H2.connect(pub.url);
    const answers = await Promise.all([
        h2.request('/post', { method: 'POST', headers: JSON_TYPE, body: '{"h2":1}' }),
        h2.request('/channels/h2?id=own', { method: 'POST' }),
        h2.request('/post', { method: 'GET' }),
        h2.request('/post', { method: 'POST', headers: JSON_TYPE, body: '{' }),
        h2.request(`/post?a=${'x'.repeat(9000)}`, { method: 'POST' }),
    ]);
    assert.deepEqual(answers.map(({ status }) => status), [303, 200, 405, 400, 414]);
    assert.equal(answers[0].body, 'broadcasted');
    assert.deepEqual(JSON.parse(answers[1].body), { id: 'own' });
    assert.deepEqual(dataOf(await newest('post')), ['{"h2":1}']);
    h2.close();
    const limited = await H2.connect(small.url);
    const answer = await limited.request('/post', { method: 'POST', headers: TEXT_TYPE, body: 'x'.repeat(LIMIT + 1) });
    assertSentence(answer, 413, /body/);
    limited.close();
});

test('two thousand posts over thirty connections: each is there once, in the order of their answers on a connection', async () => {
    const channel = newChannel();
    const agent = new http.Agent({ keepAlive: true, maxSockets: 30 });
    const answers = await Promise.all(Array.from({ length: 2000 }, (_, i) =>
        request(`${pub.url}/channels/${channel}`, { method: 'POST', headers: TEXT_TYPE, body: String(i), agent })));
    agent.destroy();
    assert.ok(answers.every(({ status }) => status === 200));
    const ids = answers.map(({ body }) => JSON.parse(body).id);
    assert.equal(new Set(ids).size, 2000);
    const entries = await s.redis.command(['XRANGE', `{sse:${channel}}:log`, '-', '+']);
    const last = entries.at(-1)[1][1];
    assert.equal(ids[Number(dataOf(last)[0])], /^id: (.*)$/m.exec(last)[1]);
    assert.ok(entries.length >= 1000 && entries.length <= 2000, `trimmed to about a thousand: ${entries.length}`);
});

test('a repeated Idempotency-Key or id answers as the first time and publishes nothing, on either publisher', async () => {
    const channel = newChannel();
    const send = (server, query, headers) =>
        request(`${server.url}/channels/${channel}${query}`, { method: 'POST', headers: { ...TEXT_TYPE, ...headers }, body: 'x' });
    const first = await send(pub, '', { 'idempotency-key': 'k-1' });
    const again = await send(small, '', { 'idempotency-key': 'k-1' });
    assert.deepEqual([again.status, again.body], [200, first.body]);
    assert.equal(await length(channel), 1);
    const other = await send(pub, '', { 'idempotency-key': 'k-2' });
    assert.notEqual(other.body, first.body);
    assert.equal(await length(channel), 2);
    for (const server of [pub, small, pub])
        assert.deepEqual(JSON.parse((await send(server, '?id=mine', {})).body), { id: 'mine' });
    assert.deepEqual(JSON.parse((await send(pub, '', { 'sse-id': 'mine' })).body), { id: 'mine' });
    assert.equal(await length(channel), 3);
    const together = await Promise.all(Array.from({ length: 20 }, (_, i) => send(s.pub[i % 2], '', { 'idempotency-key': 'k-3' })));
    assert.equal(new Set(together.map(({ body }) => body)).size, 1);
    assert.equal(await length(channel), 4);
    const before = await length('post');
    for (let i = 0; i < 2; ++i)
        assert.equal((await post('/post?a=1', null, { 'idempotency-key': 'k-1' })).status, 303);
    assert.equal(await length('post'), before + 1);
});

test('the history is as long, and lives as long, as the settings say', async () => {
    const ttl = await s.redis.command(['TTL', '{sse:post}:log']);
    assert.ok(ttl > 86000 && ttl <= 86401, String(ttl));
});

test('functions that someone flushed are loaded again, and the post goes through', async () => {
    await s.redis.command(['FUNCTION', 'FLUSH']);
    const channel = newChannel();
    assert.equal((await post(`/channels/${channel}`, 'x', TEXT_TYPE)).status, 200);
    assert.equal(await length(channel), 1);
});

test('a client that goes before the answer harms nobody, over HTTP/1.1 and HTTP/2', async () => {
    const channel = newChannel();
    const done = await pub.metric('sse_publish_total', { outcome: 'done' });
    const h2 = await H2.connect(pub.url);
    await h2.request('/post', { method: 'POST' });
    s.redis.pause();
    try {
        const raw = await Raw.connect(pub.port);
        const path = `/channels/${channel}`;
        raw.send(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx`);
        const streams = Array.from({ length: 50 }, () => h2.session.request({ ':path': path, ':method': 'POST', 'content-type': 'text/plain' }));
        for (const stream of streams) {
            stream.on('error', () => {});
            stream.end('y'.repeat(1000));
        }
        await new Promise(resolve => h2.session.ping(resolve)); // the publisher has read all of it
        for (const stream of streams.slice(25))
            stream.close(8);
        await new Promise(resolve => h2.session.ping(resolve));
        h2.close();
        raw.close();
    } finally {
        s.redis.resume();
    }
    await pub.waitMetric('sse_publish_total', done + 1 + 51, { labels: { outcome: 'done' } });
    assert.equal(await length(channel), 51);
});

test('large events are sent to Redis one after the other: small ones of other channels go between them, those of their channel behind them', async () => {
    const [large, other] = [newChannel(), newChannel()], connections = [];
    let sent = 0;
    const send = async (channel, body) => {
        const raw = await Raw.connect(pub.port);
        connections.push(raw);
        await new Promise(resolve => raw.socket.write(`POST /channels/${channel} HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: ${body.length}\r\n\r\n${body}`, resolve));
        assert.equal((await post('/nowhere')).status, 404); // it has looked at its sockets since
        sent += body.length === 1 ? 0 : body.length;
        await until('it has read all', async () => await pub.metric('sse_bodies_bytes') >= sent);
    };
    await s.redis.command(['CONFIG', 'SET', 'slowlog-log-slower-than', '0']);
    await s.redis.command(['SLOWLOG', 'RESET']);
    s.redis.pause();
    for (const data of ['1', '2', '3'])
        await send(large, data.repeat(1000000));
    await send(large, '4');
    await send(other, '5');
    s.redis.resume();
    for (const raw of connections)
        assert.equal((await raw.head()).status, 200);
    await s.redis.command(['CONFIG', 'SET', 'slowlog-log-slower-than', '10000']);
    const calls = (await s.redis.command(['SLOWLOG', 'GET', '1000'])).map(([,,, argv]) => argv).filter(([, name, count]) => name === 'sse_publish' && count === '1');
    assert.equal(calls.reverse().map(([,,,, data]) => data[0]).join(''), '15234');
    connections.forEach(raw => raw.close());
});

test('metrics count answers by class, publishes by outcome, and open connections', async () => {
    const read = async () => {
        const rows = await pub.metrics();
        const of = (name, label, value) => rows.find(row => row.name === name && row.labels[label] === value).value;
        return [...['2xx', '3xx', '4xx', '5xx'].map(status => of('sse_http_requests_total', 'status', status)),
            ...['done', 'duplicate', 'unchanged', 'bus_down', 'refused'].map(outcome => of('sse_publish_total', 'outcome', outcome))];
    };
    const before = await read();
    await post('/channels/counted', 'x', TEXT_TYPE);
    await post('/post');
    await post('/post', null, { 'idempotency-key': 'counted' });
    await post('/post', null, { 'idempotency-key': 'counted' });
    await post('/nowhere');
    await post('/post', '{', JSON_TYPE);
    const after = await read();
    assert.deepEqual(after.map((value, i) => value - before[i]), [1, 3, 2, 0, 3, 1, 0, 0, 0]);
    assert.equal(await pub.metric('sse_bus_up'), 1);
    const agent = new http.Agent({ keepAlive: true });
    await request(`${pub.url}/post`, { method: 'POST', agent });
    await pub.waitMetric('sse_connections', 1);
    agent.destroy();
    await pub.waitMetric('sse_connections', 0);
});

test('at the information level nothing is logged for a request', () => {
    assert.ok(pub.lines.filter(line => !line.includes('msg="request refused"')).length < 12, pub.log);
});
