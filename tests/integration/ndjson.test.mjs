// Many events in one POST (application/x-ndjson): to one channel, all or nothing; to several, each channel's lines for themselves. At the publisher and through gateways.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createHmac, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Stack, tempFolder, until } from './stack.mjs';
import { H2, openStream, request } from './sse.mjs';
import { ClusterSet } from './cluster_set.mjs';
import { spread } from './cluster_author.mjs';

const LIMIT = 30000, ORIGIN = 'http://localhost:3000';
const MADE = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const s = await Stack.start({ gateways: 2, publishers: 2, tls: [0], env: { BODY_LIMIT: LIMIT }, publisherEnv: [{ HISTORY_LEN_MAX: 5000, HISTORY_TTL_MAX: 200000 }, {}] });
const [pub, other] = s.pub;
const [gw] = s.gw;
let fresh = 0;
const newChannel = () => `many${++fresh}`;

const body = lines => (!Array.isArray(lines) ? lines : lines.map(line => `${JSON.stringify(line)}\n`).join(''));
const send = (server, path, lines, headers = {}) => request(server.url + path, { method: 'POST', headers: { 'content-type': 'application/x-ndjson', ...headers }, body: body(lines) });
const many = (channel, lines, headers, server = pub) => send(server, `/channels/${channel}`, lines, headers);
const mixed = (lines, headers, server = pub) => send(server, '/channels', lines, headers);
const idsOf = answer => (assert.equal(answer.status, 200, answer.body), JSON.parse(answer.body).ids);
const linesOf = answer => (assert.equal(answer.status, 200, answer.body), answer.body.split('\n').slice(0, -1).map(line => JSON.parse(line)));
const errorOf = answer => JSON.parse(answer.body).error;

// What stands in the history: the fields of each entry's event.
async function history(channel, redis = s.redis) {
    const entries = await redis.command(['XRANGE', `{sse:${channel}}:log`, '-', '+']);
    return entries.map(([, [, payload]]) => {
        const field = name => [...payload.matchAll(new RegExp(`^${name}: ?(.*)$`, 'gm'))].map(([, value]) => value).join('\n');
        return { data: field('data'), id: field('id'), event: field('event'), retry: field('retry'), head: payload.slice(0, payload.indexOf('\n')) };
    });
}
const dataOf = async (channel, redis) => (await history(channel, redis)).map(event => event.data);

// All that a publish could have changed: every key, and how often a function ran without an error.
async function footprint() {
    const [, all, failed] = /cmdstat_fcall:calls=(\d+).*?,failed_calls=(\d+)/.exec(await s.redis.command(['INFO', 'commandstats'])) ?? [0, 0, 0];
    return { calls: all - failed, keys: await s.redis.command(['DBSIZE']) };
}

test('each line is an event, in order, with its own fields; the answer has their ids', async () => {
    const channel = newChannel();
    const ids = idsOf(await many(channel, [
        { data: 'text\nof two lines' }, { data: { b: [1, 2], a: null }, event: 'order', id: 'own 1', retry: 1234 }, { data: 7, lease: 60 }, { data: '' }, { data: 'last', end: true }]));
    const events = await history(channel);
    assert.deepEqual(events.map(({ data, event, retry }) => [data, event, retry]), [
        ['text\nof two lines', '', ''], ['{"b":[1,2],"a":null}', 'order', '1234'], ['7', '', ''], ['', '', ''], ['last', '', ''],
        [JSON.stringify({ channel, reason: 'done' }), 'end', '']]);
    assert.deepEqual(ids, events.slice(0, 5).map(event => event.id));
    assert.equal(ids[1], 'own 1');
    assert.ok([0, 2, 3, 4].every(i => MADE.test(ids[i])), ids.join());
    assert.match(events[2].head, / lease=60$/);
    assert.match(events[5].head, / end$/);
});

test('JSON data keeps its digits; blank lines, CRLF and a missing last line break are fine', async () => {
    const channel = newChannel();
    const ids = idsOf(await many(channel, '\r\n{"data": 1.50e400 }\r\n\n  \n{"data":[ 12345678901234567890123 , -0 ]}\n{"data":"\\u00e9\\u0000"}'));
    assert.equal(ids.length, 3);
    assert.deepEqual(await dataOf(channel), ['1.50e400', '[12345678901234567890123,-0]', 'é\0']);
});

test('what is published in a batch is read like anything else', async () => {
    const channel = newChannel();
    const ids = idsOf(await many(channel, Array.from({ length: 20 }, (_, i) => ({ data: `${i}` }))));
    const answer = await request(`${gw.url}/channels/${channel}?last_event_id=${ids[9]}&limit=5`, { headers: { accept: 'application/json' } });
    assert.deepEqual(JSON.parse(answer.body).events.map(event => event.data), ['10', '11', '12', '13', '14']);
    const stream = await openStream(`${s.gw[1].url}/channels/${channel}`, { headers: { 'last-event-id': ids[17] } });
    assert.deepEqual((await stream.take(2)).map(event => event.data), ['18', '19']);
    stream.close();
});

test('open streams at both gateways get the events in order, and the end', async () => {
    const channel = newChannel();
    const streams = await Promise.all(s.gw.map(gateway => openStream(`${gateway.url}/channels/${channel}`)));
    await s.redis.subscribed(channel, 2);
    const ids = idsOf(await many(channel, [...Array.from({ length: 99 }, (_, i) => ({ data: i })), { data: 'last', end: true }]));
    for (const stream of streams) {
        const events = await stream.take(101);
        assert.deepEqual(events.map(event => event.data), [...Array.from({ length: 99 }, (_, i) => `${i}`), 'last', JSON.stringify({ channel, reason: 'done' })]);
        assert.deepEqual(events.slice(0, 100).map(event => event.lastEventId), ids);
        stream.close();
    }
});

test('options of the history count for the batch, in the query or as headers', async () => {
    const channel = newChannel();
    idsOf(await many(`${channel}?history_len=5000&history_ttl=200000`, [{ data: 1 }]));
    const ttl = await s.redis.command(['TTL', `{sse:${channel}}:log`]);
    assert.ok(ttl > 190000 && ttl <= 200001, `${ttl}`);
    idsOf(await many(channel, [{ data: 1 }], { 'sse-history-ttl': '100' }));
    assert.ok(await s.redis.command(['TTL', `{sse:${channel}}:log`]) <= 101);
    const over = await many(channel, [{ data: 1 }], { 'sse-history-length': '5001' });
    assert.deepEqual([over.status, errorOf(over)], [400, 'history_len must be 1 to 5000 events']);
});

// [what, path and query after /channels/NAME, headers, body, status, sentence]
const REFUSED = [
    ['no line', '', {}, '\n \n', 400, 'the body holds no event'],
    ['an empty body', '', {}, '', 400, 'the body holds no event'],
    ['a line that is no JSON', '', {}, '{"data":1}\n\n{"data":\n', 400, /^line 3: the JSON is malformed at offset 8: /],
    ['a line that is no object', '', {}, '{"data":1}\n[2]\n', 400, 'line 2: the line must be a JSON object'],
    ['no data', '', {}, '{"data":1}\n{"event":"x"}\n', 400, 'line 2: the line has no data'],
    ['an unknown member', '', {}, '{"data":1,"colour":2}\n', 400, 'line 1: unknown member \'colour\'; a line may hold data, event, id, retry, end, lease'],
    ['a member twice', '', {}, '{"data":1,"data":2}\n', 400, 'line 1: more than one member \'data\''],
    ['a channel in the line', '', {}, '{"channel":"a","data":2}\n', 400, /^line 1: unknown member 'channel'/],
    ['a retry out of range', '', {}, '{"data":1}\n{"data":1,"retry":3600001}\n', 400, 'line 2: retry must be 0 to 3600000 milliseconds'],
    ['an end in the middle', '', {}, '{"data":1,"end":true}\n{"data":2}\n', 400, 'line 1: end may stand only in the last line'],
    ['a reserved type', '', {}, '{"data":1,"event":"gap"}\n', 400, /^line 1: ./],
    ['an id with a control character', '', {}, '{"data":1,"id":"a\\u0007"}\n', 400, /^line 1: ./],
    ['bytes that are not UTF-8', '', {}, Buffer.from('{"data":1}\n{"data":"\xff"}\n', 'latin1'), 400, 'line 2: the JSON is not UTF-8 at offset 9'],
    ['the same id twice', '', {}, '{"data":1,"id":"twin"}\n\n{"data":2,"id":"twin"}\n', 422, 'line 3: it has the id of line 1'],
    ['a type for all', '?event=x', {}, '{"data":1}\n', 400, 'with application/x-ndjson, event stands in the lines, not in the query or a header'],
    ['an id for all', '', { 'sse-id': 'x' }, '{"data":1}\n', 400, 'with application/x-ndjson, id stands in the lines, not in the query or a header'],
    ['a retry for all', '?retry=1', {}, '{"data":1}\n', 400, 'with application/x-ndjson, retry stands in the lines, not in the query or a header'],
    ['an end for all', '', { 'sse-end': '1' }, '{"data":1}\n', 400, 'with application/x-ndjson, end stands in the lines, not in the query or a header'],
    ['a lease for all', '', { 'sse-lease': '5' }, '{"data":1}\n', 400, 'with application/x-ndjson, lease stands in the lines, not in the query or a header'],
    ['other parameters', '?colour=red', {}, '{"data":1}\n', 400, 'lines and query parameters can\'t both be the data'],
    ['another charset', '', { 'content-type': 'application/x-ndjson; charset=latin1' }, '{"data":1}\n', 415, 'the charset of the body must be utf-8'],
    ['1,001 lines', '', {}, '{"data":1}\n'.repeat(1001), 413, 'the body holds more than 1000 events'],
    ['a body over BODY_LIMIT', '', {}, `{"data":"${'x'.repeat(LIMIT)}"}\n`, 413, /BODY_LIMIT/],
    ['data that is too long on the stream', '', {}, `{"data":"${'\\n'.repeat(3500)}"}\n`.repeat(2), 413, 'the events\' data takes 49014 bytes on the stream, more than 41596'],
];
for (const [what, query, headers, lines, status, sentence] of REFUSED)
    test(`refused, and nothing of it is published: ${what}`, async () => {
        const before = await footprint();
        const answer = await many(`refused${query}`, lines, headers);
        assert.equal(answer.status, status, answer.body);
        if (sentence instanceof RegExp)
            assert.match(errorOf(answer), sentence);
        else
            assert.equal(errorOf(answer), sentence);
        assert.deepEqual(await footprint(), before);
    });

test('1,000 lines are taken, and the bound on data is that of all together', async () => {
    const channel = newChannel();
    assert.equal(idsOf(await many(channel, '{"data":1}\n'.repeat(1000))).length, 1000);
    assert.equal(await s.redis.command(['XLEN', `{sse:${channel}}:log`]), 1000);
    assert.equal(idsOf(await many(channel, `{"data":"${'\\n'.repeat(2960)}"}\n`.repeat(2))).length, 2, '41454 of 41596 bytes');
});

test('a path that takes one event says where many go, and /channels takes nothing else', async () => {
    const legacy = await send(pub, '/post', [{ data: 1 }]);
    assert.deepEqual([legacy.status, errorOf(legacy)], [415, 'this path takes one event; publish many to /channels/{name}']);
    for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded']) {
        const answer = await mixed('{"channel":"a","data":1}', { 'content-type': type });
        assert.deepEqual([answer.status, errorOf(answer)], [415, 'this path takes application/x-ndjson: lines that name their channel']);
    }
});

test('all or nothing: a channel that has ended, an id that was used, takes none of the lines', async () => {
    const ended = newChannel(), used = newChannel();
    idsOf(await many(ended, [{ data: 'a' }, { end: true }]));
    const late = await many(ended, [{ data: 'b' }, { data: 'c' }]);
    assert.equal(late.status, 409, late.body);
    assert.equal((await history(ended)).length, 2);
    await s.post(used, 'first', { query: 'id=taken' }).catch(() => {});
    idsOf(await many(used, [{ data: 'x', id: 'mine' }]));
    const before = await dataOf(used);
    const answer = await many(used, '{"data":"new"}\n\n{"data":"y","id":"mine"}\n');
    assert.deepEqual([answer.status, errorOf(answer)], [422, 'line 3: this id was used within 300 s']);
    assert.deepEqual(await dataOf(used), before);
});

test('an Idempotency-Key covers the batch: a repeat, at either publisher, gets the first answer', async () => {
    const channel = newChannel(), lines = [{ data: 'a' }, { data: 'b', id: 'own' }, { data: 'c' }], key = { 'idempotency-key': 'batch-1' };
    const first = idsOf(await many(channel, lines, key));
    for (const server of [pub, other, gw])
        assert.deepEqual(idsOf(await many(channel, lines, key, server)), first);
    assert.deepEqual(await dataOf(channel), ['a', 'b', 'c']);
    for (const changed of [[{ data: 'a' }, { data: 'b', id: 'own' }], [...lines, { data: 'd' }], [{ data: 'A' }, ...lines.slice(1)]]) {
        const answer = await many(channel, changed, key);
        assert.equal(answer.status, 422, answer.body);
    }
    const single = await request(`${pub.url}/channels/${channel}`, { method: 'POST', headers: { 'content-type': 'text/plain', ...key }, body: 'a' });
    assert.equal(single.status, 422, 'a single event is not that batch');
    assert.equal((await history(channel)).length, 3);
});

test('batches of two publishers at once do not mix', async () => {
    const channel = newChannel();
    await Promise.all(Array.from({ length: 40 }, (_, n) => many(channel, Array.from({ length: 25 }, (_unused, i) => ({ data: `${n}/${i}` })), {}, s.pub[n % 2]).then(idsOf)));
    const data = await dataOf(channel);
    assert.equal(data.length, 1000);
    for (let at = 0; at < 1000; at += 25) {
        const [n] = data[at].split('/');
        assert.deepEqual(data.slice(at, at + 25), Array.from({ length: 25 }, (_, i) => `${n}/${i}`));
    }
});

test('batches of many small events wait for each other, so that an event of another channel does not wait for all of them', async () => {
    const names = Array.from({ length: 6 }, newChannel), small = newChannel();
    await s.redis.command(['CLIENT', 'PAUSE', '5000', 'WRITE']);
    const before = await pub.metric('sse_connections');
    const batches = names.map(name => many(name, '{"data":1}\n'.repeat(1000)));
    const single = until('the publisher has the batches', async () => await pub.metric('sse_connections') >= before + 6).then(() =>
        request(`${pub.url}/channels/${small}`, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'x' }));
    await until('and one event more', async () => await pub.metric('sse_connections') >= before + 7);
    await until('Redis has some of it', async () => /blocked_clients:[1-9]/.test(await s.redis.command(['INFO', 'clients'])));
    await s.redis.command(['CLIENT', 'UNPAUSE']);
    (await Promise.all(batches)).forEach(idsOf);
    assert.equal((await single).status, 200);
    const first = async name => BigInt((await s.redis.command(['XRANGE', `{sse:${name}}:log`, '-', '+', 'COUNT', '1']))[0][0].split('-')[0]);
    const at = await first(small), starts = await Promise.all(names.map(first));
    assert.ok(starts.filter(start => start >= at).length >= 4, `${starts.map(start => start - at)}`);
});

test('metrics count the events', async () => {
    const done = () => pub.metric('sse_publish_total', { outcome: 'done' });
    const before = await done();
    idsOf(await many(newChannel(), Array.from({ length: 33 }, () => ({ data: 1 }))));
    assert.equal(await done(), before + 33);
});

test('/channels: lines name their channel; each channel gets its own in order, and the answer has a line for each', async () => {
    const [a, b] = [newChannel(), newChannel()];
    const answer = await mixed([{ channel: a, data: 'a1' }, { channel: b, data: { b: 1 }, event: 'order' }, { data: 'a2', channel: a, id: 'own' }, { channel: b, data: 'b2', end: true }]);
    assert.equal(answer.headers['content-type'], 'application/x-ndjson');
    const lines = linesOf(answer);
    assert.deepEqual(await dataOf(a), ['a1', 'a2']);
    assert.deepEqual((await dataOf(b)).slice(0, 2), ['{"b":1}', 'b2']);
    const [inA, inB] = [await history(a), await history(b)];
    assert.deepEqual(lines, [{ id: inA[0].id }, { id: inB[0].id }, { id: 'own' }, { id: inB[1].id }]);
    assert.equal(inB[2].event, 'end');
});

test('/channels: what is wrong with a channel is said at its lines, and the others are published', async () => {
    const [good, ended, wrong] = [newChannel(), newChannel(), newChannel()];
    idsOf(await many(ended, [{ end: true }]));
    await s.redis.command(['SET', `{sse:${wrong}}:log`, 'no history']);
    const lines = linesOf(await mixed([
        { channel: ended, data: 1 }, { channel: good, data: 2 }, { channel: wrong, data: 3 }, { channel: ended, data: 4 }, { channel: good, data: 5 }]));
    assert.deepEqual(lines.map(line => line.status), [409, undefined, 500, 409, undefined]);
    assert.match(lines[0].error, /has ended/);
    assert.equal(lines[3].error, lines[0].error);
    assert.match(lines[2].error, /holds something else/);
    assert.deepEqual(await dataOf(good), ['2', '5']);
    assert.equal((await history(ended)).length, 1);
    const twins = linesOf(await mixed([{ channel: good, data: 6 }, { channel: 'other', data: 7 }, { channel: good, data: 8, id: 'x' }, { channel: good, data: 9, id: 'x' }]));
    assert.deepEqual(twins.map(line => line.error ?? 'published'), [...Array(1).fill('line 4: it has the id of line 3'), 'published', ...Array(2).fill('line 4: it has the id of line 3')]);
    assert.deepEqual(twins.map(line => line.status), [422, undefined, 422, 422]);
});

test('/channels: a line that can\'t be read refuses all before anything is published', async () => {
    const channel = newChannel(), before = await footprint();
    for (const [line, sentence] of [['{"data":1}', 'line 2: the line names no channel'], ['{"channel":"a b","data":1}', /^line 2: /], ['{"channel":7,"data":1}', 'line 2: channel must be a string'],
        [`{"channel":"${channel}","end":true}\n{"channel":"${channel}","data":1}`, 'line 2: end may stand only in the last line of its channel'], ['{', /^line 2: the JSON is malformed/]]) {
        const answer = await mixed(`{"channel":"${channel}","data":0}\n${line}\n`);
        assert.equal(answer.status, 400, answer.body);
        assert.match(errorOf(answer), sentence instanceof RegExp ? sentence : new RegExp(`^${sentence}$`));
    }
    const over = await mixed('{"channel":"a","data":1}\n'.repeat(1001));
    assert.deepEqual([over.status, errorOf(over)], [413, 'the body holds more than 1000 events']);
    assert.deepEqual(await footprint(), before);
});

test('/channels: with an Idempotency-Key a repeat publishes what was not yet', async () => {
    const [a, b] = [newChannel(), newChannel()], key = { 'idempotency-key': 'mixed-1' };
    const lines = [{ channel: a, data: 1 }, { channel: b, data: 2 }, { channel: a, data: 3 }];
    await s.redis.command(['SET', `{sse:${b}}:log`, 'in the way']);
    const first = linesOf(await mixed(lines, key));
    assert.deepEqual(first.map(line => line.status), [undefined, 500, undefined]);
    await s.redis.command(['DEL', `{sse:${b}}:log`]);
    const second = linesOf(await mixed(lines, key, other));
    assert.deepEqual([second[0], second[2]], [first[0], first[2]]);
    assert.match(second[1].id, MADE);
    assert.deepEqual([await dataOf(a), await dataOf(b)], [['1', '3'], ['2']]);
    assert.deepEqual(linesOf(await mixed(lines, key)), second);
});

test('a hundred channels in one request', async () => {
    const names = Array.from({ length: 100 }, newChannel);
    const lines = linesOf(await mixed(names.flatMap(channel => [{ channel, data: 1 }, { channel, data: 2 }])));
    assert.ok(lines.length === 200 && lines.every(line => MADE.test(line.id)));
    for (const name of names)
        assert.deepEqual(await dataOf(name), ['1', '2']);
});

test('through a gateway, over HTTP/1.1 and HTTP/2, with CORS; other methods are 405', async () => {
    const [a, b] = [newChannel(), newChannel()];
    assert.equal(idsOf(await many(a, [{ data: 1 }, { data: 2 }], {}, gw)).length, 2);
    const answer = await mixed([{ channel: a, data: 3 }, { channel: b, data: 4 }], { origin: ORIGIN }, gw);
    assert.equal(linesOf(answer).length, 2);
    assert.equal(answer.headers['access-control-allow-origin'], ORIGIN);
    assert.equal(answer.headers['content-type'], 'application/x-ndjson');
    const foreign = await mixed([{ channel: a, data: 5 }], { origin: 'https://elsewhere.example' }, gw);
    assert.equal(foreign.status, 403);
    const h2 = await H2.connect(gw.httpsUrl);
    const over2 = await h2.request('/channels', { method: 'POST', headers: { 'content-type': 'application/x-ndjson' }, body: body([{ channel: b, data: 6 }]) });
    assert.equal(over2.status, 200);
    h2.close();
    assert.deepEqual([await dataOf(a), await dataOf(b)], [['1', '2', '3'], ['4', '6']]);
    for (const method of ['GET', 'HEAD', 'DELETE', 'PUT']) {
        const wrong = await request(`${gw.url}/channels`, { method });
        assert.deepEqual([wrong.status, wrong.headers.allow], [405, 'POST, OPTIONS'], method);
    }
    const options = await request(`${gw.url}/channels`, { method: 'OPTIONS', headers: { origin: ORIGIN, 'access-control-request-method': 'POST' } });
    assert.deepEqual([options.status, options.headers.allow, options.headers['access-control-allow-methods']], [204, 'POST, OPTIONS', 'POST, OPTIONS']);
    const direct = await request(`${pub.url}/channels`);
    assert.deepEqual([direct.status, direct.headers.allow], [405, 'POST']);
});

test('rights are those of each channel', async () => {
    const folder = tempFolder(), secret = randomBytes(32).toString('hex');
    const [JWT_KEY_FILE, POLICY_FILE] = ['key', 'policy'].map(name => join(folder, name));
    writeFileSync(JWT_KEY_FILE, secret);
    writeFileSync(POLICY_FILE, 'write open/*\n');
    const guarded = await Stack.start({ env: { JWT_KEY_FILE, POLICY_FILE } });
    const b64 = value => Buffer.from(JSON.stringify(value)).toString('base64url');
    const bearer = publish => {
        const claims = `${b64({ alg: 'HS256' })}.${b64({ exp: Math.floor(Date.now() / 1000) + 600, sub: 'alice', sse: { publish } })}`;
        return { authorization: `Bearer ${claims}.${createHmac('sha256', secret).update(claims).digest('base64url')}` };
    };
    const lines = [{ channel: 'open/1', data: 1 }, { channel: 'mine', data: 2 }, { channel: 'theirs', data: 3 }, { channel: 'mine', data: 4 }];
    for (const server of [guarded.pub[0], guarded.gw[0]]) {
        const answer = await mixed(lines, bearer(['mine']), server);
        assert.deepEqual(linesOf(answer).map(line => line.status), [undefined, undefined, 403, undefined]);
        assert.equal(linesOf(answer)[2].error, 'the token does not grant this');
        assert.equal(answer.headers['www-authenticate'], undefined);
        for (const [headers, status] of [[{}, 401], [{ authorization: 'Bearer nonsense' }, 401]]) {
            const refused = await mixed(lines, headers, server);
            assert.equal(refused.status, status);
            assert.match(refused.headers['www-authenticate'], /^Bearer realm="sse"/);
        }
        assert.equal(linesOf(await mixed([lines[0]], {}, server)).length, 1, 'what needs no token needs none');
        assert.equal((await many('theirs', [{ data: 1 }], bearer(['mine']), server)).status, 403);
    }
    assert.deepEqual([await dataOf('open/1', guarded.redis), await dataOf('mine', guarded.redis), await dataOf('theirs', guarded.redis)],
        [['1', '1', '1', '1'], ['2', '4', '2', '4'], []]);
    assert.equal(await guarded.pub[0].metric('sse_auth_refused_total', { reason: 'not granted' }), 3, 'one request of lines at each, and one of theirs at the publisher itself');
    // one key, two authors
    const key = { 'idempotency-key': 'shared' };
    const first = idsOf(await many('mine', [{ data: 'x' }], { ...bearer(['*']), ...key }, guarded.gw[0]));
    assert.deepEqual(linesOf(await mixed([{ channel: 'mine', data: 'x' }], { ...bearer(['mine']), ...key }, guarded.gw[0])), [{ id: first[0] }], 'the same author, by either path');
});

test('a gateway that checks tokens passes lines on to no publisher that checks none', async () => {
    const folder = tempFolder(), JWT_KEY_FILE = join(folder, 'key'), POLICY_FILE = join(folder, 'policy');
    writeFileSync(JWT_KEY_FILE, randomBytes(32).toString('hex'));
    writeFileSync(POLICY_FILE, 'write open/*\n');
    const half = await Stack.start({ gatewayEnv: [{ JWT_KEY_FILE, POLICY_FILE }] });
    const answer = await mixed([{ channel: 'theirs', data: 1 }], {}, half.gw[0]);
    assert.deepEqual([answer.status, errorOf(answer)], [500, 'the gateway checks tokens and this publisher does not: it needs the same JWT_KEY_FILE']);
    assert.deepEqual(await dataOf('theirs', half.redis), []);
    assert.equal(linesOf(await mixed([{ channel: 'theirs', data: 1 }], {}, half.pub[0])).length, 1, 'directly everything is open');
});

test('while Redis is away: 503, at each line where lines name their channel; later all is well', async () => {
    const away = await Stack.start({ redis: { appendonly: 'yes', appendfsync: 'always' } });
    await away.redis.kill();
    await until('the publisher knows', async () => (await away.pub[0].ready()).status === 503);
    const one = await many('a', [{ data: 1 }, { data: 2 }], {}, away.pub[0]);
    assert.deepEqual([one.status, one.headers['retry-after']], [503, '1']);
    const two = linesOf(await mixed([{ channel: 'a', data: 1 }, { channel: 'b', data: 2 }], {}, away.gw[0]));
    assert.deepEqual(two.map(line => line.status), [503, 503]);
    await away.redis.start();
    await away.pub[0].waitReady();
    assert.equal(idsOf(await many('a', [{ data: 1 }, { data: 2 }], {}, away.gw[0])).length, 2);
    await away.redis.command(['FUNCTION', 'FLUSH']);
    assert.equal(idsOf(await many('a', [{ data: 3 }], {}, away.gw[0])).length, 1, 'the library is loaded again');
    assert.deepEqual(await dataOf('a', away.redis), ['1', '2', '3']);
});

test('in a cluster the lines of each channel go to its shard', async () => {
    const set = await ClusterSet.start({ replicas: 0 });
    const cluster = await set.stack({ gateways: 1, publishers: 1 });
    const names = spread(set, 'many');
    assert.equal(names.length, 3);
    const lines = Array.from({ length: 30 }, (_, i) => ({ channel: names[i % 3], data: `${i}` }));
    const answers = linesOf(await mixed(lines, { 'idempotency-key': 'cluster' }, cluster.gw[0]));
    assert.ok(answers.length === 30 && answers.every(line => MADE.test(line.id)), JSON.stringify(answers.slice(0, 3)));
    for (const [n, name] of names.entries()) {
        const answer = await request(`${cluster.gw[0].url}/channels/${name}?last_event_id=earliest`, { headers: { accept: 'application/json' } });
        const { events } = JSON.parse(answer.body);
        assert.deepEqual(events.map(event => event.data), lines.filter((_, i) => i % 3 === n).map(line => line.data));
        assert.deepEqual(events.map(event => event.id), answers.filter((_, i) => i % 3 === n).map(line => line.id));
    }
    assert.deepEqual(linesOf(await mixed(lines, { 'idempotency-key': 'cluster' }, cluster.pub[0])), answers);
});

test('a client that goes before the answer leaves nothing behind, and its events are published', async () => {
    const channel = newChannel();
    await s.redis.command(['CLIENT', 'PAUSE', '300', 'WRITE']);
    const gone = new AbortController();
    const asked = fetch(`${pub.url}/channels/${channel}`, { method: 'POST', headers: { 'content-type': 'application/x-ndjson' }, body: body([{ data: 1 }, { data: 2 }]), signal: gone.signal });
    await until('the publisher waits for Redis', async () => (await s.redis.command(['INFO', 'clients'])).match(/blocked_clients:(\d+)/)[1] !== '0');
    gone.abort();
    await asked.catch(() => {});
    await until('they are there', async () => (await dataOf(channel)).length === 2);
    assert.equal(idsOf(await many(channel, [{ data: 3 }])).length, 1);
});
