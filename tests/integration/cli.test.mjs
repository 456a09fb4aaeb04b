// sse-cli against the real programs: what it prints, that it loses nothing when a gateway dies, that it publishes once, and how it ends.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import * as jose from 'jose';
import { ROOT, Stack, binary, certificate, tempFolder, until } from './stack.mjs';
import { cli, run } from './cli.mjs';

const folder = tempFolder();
const s = await Stack.start({ gateways: 2, env: { RETRY_MS: 200, KEEPALIVE_MS: 200, HISTORY_LEN: 5000 }, gatewayEnv: [{}, { MAX_STREAMS: 1 }] });
const [gw, narrow] = s.gw;
const env = { SSE_URL: gw.url };
const range = (from, to) => Array.from({ length: to - from }, (_, i) => String(from + i));

// A tail that has its place: what is published from now on it gets. With the subscription alone it has none yet: the gateway reads it after that.
async function tailOf(channel, args = []) {
    const sent = () => gw.metric('sse_sent_bytes_total');
    const before = await sent();
    const tail = cli(['tail', ...args, channel], { env });
    await s.subscribed(channel, 1);
    await until('the tail was sent its place', async () => await sent() > before);
    return tail;
}

async function listen(server) {
    await new Promise(done => server.listen(0, '127.0.0.1', done));
    server.unref();
    return server.address().port;
}

test('tail prints each event as a line of JSON in a pipe, and ends after --count', async () => {
    const tail = await tailOf('plain', ['--count', '2']);
    const { id } = await s.post('plain', 'first\nsecond "line"', { headers: { 'sse-event': 'greeting' } });
    await s.post('plain', 'x');
    await s.post('plain', 'one too many');
    assert.equal(await tail.end(), 0);
    assert.equal(tail.lines.length, 2);
    const [event, other] = tail.events;
    assert.deepEqual(Object.keys(event), ['time', 'event', 'id', 'data']);
    assert.equal(event.event, 'greeting');
    assert.equal(event.id, id);
    assert.equal(event.data, 'first\nsecond "line"');
    assert.equal(new Date(event.time).toISOString(), event.time);
    assert.ok(Math.abs(Date.now() - Date.parse(event.time)) < 60000);
    assert.equal(other.event, 'message');
    assert.doesNotMatch(tail.out + tail.err, /\x1b/);
});

test('tail --last begins with the newest, --from behind an id, several channels are one stream, a path and a URL do, too', async () => {
    const ids = [];
    for (const n of range(0, 5))
        ids.push((await s.post('history', n)).id);
    await s.post('history/other', 'other');
    assert.deepEqual((await run(['tail', 'history', '--last', '3', '--count', '3'], { env })).data, ['2', '3', '4']);
    assert.deepEqual((await run(['tail', 'history', '--from', ids[1], '--count', '3'], { env })).data, ['2', '3', '4']);
    const both = await run(['tail', '--channel', 'history', 'history/other', '--last', '1', '--count', '2'], { env });
    assert.deepEqual(both.data.sort(), ['4', 'other']);
    assert.deepEqual((await run(['tail', '/channels/history', '--last', '1', '--count', '1', '--url', `${gw.url}/`])).data, ['4']);
    assert.deepEqual((await run(['tail', `${gw.url}/subscribe?channel=history`, '--last', '1', '--count', '1'])).data, ['4']);
});

test('a gateway is killed and another comes at its port: tail loses nothing, gets nothing twice, and says what happened', async () => {
    const tail = await tailOf('killed', ['--count', '60']);
    for (const n of range(0, 20))
        await s.post('killed', n);
    await tail.waitEvents(20);
    await gw.kill('SIGKILL');
    for (const n of range(20, 40))
        await s.post('killed', n);
    await tail.waitErr(/the stream ended .*; again in \d+\.\d s after id [-0-9a-f]{36}/);
    await gw.start();
    await tail.waitErr(/connected again/);
    for (const n of range(40, 60))
        await s.post('killed', n);
    assert.equal(await tail.end(), 0);
    assert.deepEqual(tail.data, range(0, 60));
});

test('a stream that was never given an event resumes, too', async () => {
    const tail = await tailOf('fresh', ['--count', '1']);
    await gw.kill('SIGKILL');
    await s.post('fresh', 'in between');
    await gw.start();
    assert.equal(await tail.end(), 0);
    assert.deepEqual(tail.data, ['in between']);
});

test('lost events are reported, on stderr too', async () => {
    const tail = await run(['tail', 'lossy', '--from', 'no-such-id', '--count', '1'], { env });
    assert.equal(tail.events[0].event, 'gap');
    assert.match(tail.err, /gap: events of channel lossy after id no-such-id are lost/);
});

test('a gateway that falls silent is left after --idle seconds, and nothing is lost', async () => {
    const tail = await tailOf('silent', ['--idle', '1', '--count', '2']);
    await s.post('silent', 'a');
    await tail.waitEvents(1);
    gw.pause();
    try {
        await s.post('silent', 'b');
        await tail.waitErr(/no data for 1 s; again in/);
    } finally {
        gw.resume();
    }
    assert.equal(await tail.end(), 0);
    assert.deepEqual(tail.data, ['a', 'b']);
});

test('too many streams: tail waits for Retry-After and comes back; --tries ends that', async () => {
    const first = cli(['tail', 'narrow'], { env: { SSE_URL: narrow.url } });
    await s.subscribed('narrow', 1);
    const limited = await run(['tail', 'narrow', '--tries', '1'], { env: { SSE_URL: narrow.url } });
    assert.equal(limited.code, 1);
    assert.match(limited.err, /^sse-cli: http:\/\/[^ ]+\/channels\/narrow: (429|503) [^:]+: .+\n$/);
    const second = cli(['tail', 'narrow', '--last', '1', '--count', '1'], { env: { SSE_URL: narrow.url } });
    await second.waitErr(/(429|503) [^:]+: .+; again in \d+\.\d s/);
    await s.post('narrow', 'x');
    first.child.kill('SIGINT');
    assert.equal(await second.end(), 0);
    assert.deepEqual(second.data, ['x']);
});

test('--once ends with the stream, and an error that does not pass ends tail with one sentence', async () => {
    const tail = await tailOf('once', ['--once']);
    await gw.kill('SIGKILL');
    try {
        assert.equal(await tail.end(), 1);
        assert.match(tail.err, /^sse-cli: http:[^ ]+: the stream ended .*\n$/);
        const away = await run(['tail', '--once', 'once'], { env });
        assert.equal(away.code, 1);
        assert.match(away.err, /^sse-cli: http:[^ ]+: .*onnect.*\n$/);
    } finally {
        await gw.start();
    }
    for (const [args, what] of [[['/nowhere'], /404 Not Found: /], [[`${gw.adminUrl}/metrics`], /not an event stream, but text\/plain/]]) {
        const refused = await run(['tail', ...args], { env });
        assert.equal(refused.code, 1);
        assert.match(refused.err, what);
        assert.equal(refused.err.trim().split('\n').length, 1);
        assert.equal(refused.out, '');
    }
});

test('204 ends it with 0; redirects are reported, or followed with --location; headers and the id arrive; retry: is bounded', async () => {
    const seen = [];
    const server = createHttp((request, response) => {
        seen.push(request.headers);
        if (request.url === '/moved')
            response.writeHead(307, { location: '/stream' }).end();
        else if (request.headers['last-event-id'] === undefined)
            response.writeHead(200, { 'content-type': 'text/event-stream' }).end('retry: 0\nid: ä 7\ndata: one\n\n');
        else
            response.writeHead(204).end();
    });
    const url = `http://127.0.0.1:${await listen(server)}`;
    const before = Date.now();
    const tail = await run(['tail', '/stream', '--url', url, '-H', 'X-Test: yes'], {});
    assert.ok(Date.now() - before >= 100, 'a retry of 0 is 100 ms');
    assert.equal(tail.code, 0);
    assert.deepEqual(tail.events.map(({ id, data }) => ({ id, data })), [{ id: 'ä 7', data: 'one' }]);
    assert.match(tail.err, /204 No Content/);
    assert.equal(seen.length, 2);
    assert.equal(seen[0].accept, 'text/event-stream');
    assert.equal(seen[0]['x-test'], 'yes');
    assert.equal(Buffer.from(seen[1]['last-event-id'], 'latin1').toString(), 'ä 7');
    const moved = await run(['tail', '/moved', '--url', url], {});
    assert.equal(moved.code, 1);
    assert.match(moved.err, /307 Temporary Redirect to http:\/\/[^ ]+\/stream; redirects are followed with --location only/);
    assert.deepEqual((await run(['tail', '/moved', '--url', url, '--location', '--count', '1'], {})).data, ['one']);
    server.close();
});

test('SIGINT and SIGTERM end tail with 0, a pipe without a reader at once, without waiting for an event', async () => {
    for (const signal of ['SIGINT', 'SIGTERM']) {
        const tail = await tailOf('signals');
        await s.post('signals', 'x');
        await tail.waitEvents(1);
        tail.child.kill(signal);
        assert.equal(await tail.end(), 0);
        await s.subscribed('signals', 0);
    }
    const waiting = cli(['tail', '--url', 'http://127.0.0.1:1', 'x']);
    await waiting.waitErr(/again in/);
    waiting.child.kill('SIGINT');
    assert.equal(await waiting.end(), 0, 'while it waits for its next try');
    const unread = await tailOf('unread');
    unread.child.stdout.destroy();
    assert.equal(await unread.end(), 0);
});

test('a standard output that takes nothing is a failure', () => {
    for (const args of ['tail history --last 1 --count 1', 'publish full x']) {
        const { status, stderr } = spawnSync('sh', ['-c', `exec ${binary('sse-cli')} ${args} >/dev/full`], { env: { ...process.env, ...env }, encoding: 'utf8', timeout: 20000 });
        assert.equal(status, 1);
        assert.equal(stderr, 'sse-cli: standard output: No space left on device\n');
    }
});

test('on a terminal: colour, none with NO_COLOR, JSON with --json, no control characters of others, and the last id at the end', async () => {
    const { id } = await s.post('terminal', 'red \x1b[31m\x07 \u009b2J\ttab\nsecond');
    const args = ['tail', 'terminal', '--last', '1', '--count', '1'];
    const colour = await run(args, { env, terminal: true });
    assert.equal(colour.code, 0);
    assert.ok(colour.out.includes(`\x1b[1;36mmessage\x1b[0m  \x1b[2m${id}\x1b[0m`), JSON.stringify(colour.out));
    assert.match(colour.out, /\x1b\[2m\d\d:\d\d:\d\d\.\d{3}\x1b\[0m/);
    assert.ok(colour.out.includes('  red \\x1b[31m\\x07 \\x9b2J\ttab\r\n  second\r\n'), JSON.stringify(colour.out));
    assert.match(colour.out, new RegExp(`the last id is ${id}`));
    const plain = await run(args, { env: { ...env, NO_COLOR: '1' }, terminal: true });
    assert.doesNotMatch(plain.out, /\x1b/);
    assert.match(plain.out, new RegExp(`^\\d\\d:\\d\\d:\\d\\d\\.\\d{3}  message  ${id}\r?$`, 'm'));
    const json = await run([...args, '--json', '--quiet'], { env, terminal: true });
    assert.equal(JSON.parse(json.out).id, id);
});

test('publish: from an argument, the standard input, as JSON, with every field; it prints the id', async () => {
    const tail = await tailOf('published', ['--count', '5']);
    const ids = [];
    for (const [args, input] of [[['a  b']], [[], 'from stdin\n'], [['-'], 'x\r\ny'], [['--json', '--event', 'order', '--retry', '300', '{"a":  1}']], [['--id', 'mine/1', 'z']]]) {
        const published = await run(['publish', 'published', ...args], { env, input });
        assert.equal(published.code, 0, published.err);
        assert.equal(published.err, '');
        ids.push(published.out.trim());
    }
    assert.equal(await tail.end(), 0);
    assert.deepEqual(tail.data, ['a  b', 'from stdin', 'x\ny', '{"a":1}', 'z']);
    assert.deepEqual(tail.events.map(event => event.id), ids);
    assert.equal(ids[4], 'mine/1');
    assert.equal(tail.events[3].event, 'order');
});

test('publish --end and --lease: an event and the end, the end alone, lines and then the end', async () => {
    const words = async name => (await s.redis.command(['XRANGE', `{sse:${name}}:log`, '-', '+'])).map(([, [, payload]]) =>
        [/^\x1esse[12] \S+ \S+ ?(.*)\n/.exec(payload)[1], /^data: (.*)$/m.exec(payload)[1]]);
    const END = name => ['end', `{"channel":"${name}","reason":"done"}`];
    for (const [args, input, ids, want] of [[['last', '--end'], undefined, 1, name => [['', 'last'], END(name)]], [['--end'], undefined, 1, name => [END(name)]],
        [['-', '--end'], 'piped', 1, name => [['', 'piped'], END(name)]], [['x', '--lease', '30'], undefined, 1, () => [['lease=30', 'x']]],
        [['--lines', '--lease', '60', '--end', '--event', 't', '--idempotency-key', 'k'], 'a\nb\n', 3, name => [['lease=60', 'a'], ['lease=60', 'b'], END(name)]]]) {
        const name = `ends-${args.length}-${args[0]}`.replace(/-+/g, '-');
        const published = await run(['publish', name, ...args], { env, input });
        assert.equal(published.code, 0, published.err);
        assert.equal(published.out.trim().split('\n').length, ids);
        assert.deepEqual(await words(name), want(name), args.join(' '));
    }
    const after = await run(['publish', 'ends-1-end', 'more'], { env });
    assert.equal(after.code, 1);
    assert.match(after.err, /: 409 Conflict: the channel has ended;/);
});

test('tail ends with 0 when its channels have ended, and where they had before it came; of several it waits for the last', async () => {
    const types = tail => tail.events.map(event => event.event ?? event.type);
    const one = await tailOf('over');
    assert.equal((await run(['publish', 'over', 'last', '--end'], { env })).code, 0);
    assert.equal(await one.end(), 0);
    assert.deepEqual(types(one), ['message', 'end']);
    assert.doesNotMatch(one.err, /again in/, 'it does not come back');
    const late = await run(['tail', 'over'], { env });
    assert.deepEqual([late.code, late.out.trim().split('\n').length], [0, 1]);
    const gone = await run(['tail', 'over', '--from', one.events.at(-1).id], { env });
    assert.deepEqual([gone.code, gone.out], [0, '']);
    assert.match(gone.err, /204 No Content/);
    const both = cli(['tail', 'over', 'going-on'], { env });
    await both.wait('the first end', () => both.events.length === 1);
    assert.equal((await run(['publish', 'going-on', '--end'], { env })).code, 0);
    assert.equal(await both.end(), 0);
    assert.deepEqual(types(both), ['end', 'end']);
});

test('publish: an idempotency key publishes once, a refusal of the server is one sentence', async () => {
    const first = await run(['publish', 'keyed', '--idempotency-key', 'k1', 'x'], { env });
    const second = await run(['publish', 'keyed', '--idempotency-key', 'k1', 'x'], { env });
    assert.equal(first.code + second.code, 0);
    assert.equal(first.out, second.out);
    const bad = await run(['publish', 'keyed', '--json', '{"a":'], { env });
    assert.equal(bad.code, 1);
    assert.match(bad.err, /^sse-cli: http:[^ ]+\/channels\/keyed: 400 Bad Request: .*JSON.*\n$/);
    assert.equal((await s.redis.command(['XLEN', '{sse:keyed}:log'])), 1);
});

test('publish --lines: each line is an event, in order, acknowledged as they come; a line that is refused is named', async () => {
    const tail = await tailOf('lines', ['--count', '4']);
    const publish = cli(['publish', '--lines', 'lines'], { env, input: null });
    publish.child.stdin.write('one\n');
    await publish.wait('the first is acknowledged', () => publish.lines.length === 1);
    publish.child.stdin.end('two\r\n\nlast');
    assert.equal(await publish.end(), 0);
    assert.equal(await tail.end(), 0);
    assert.deepEqual(tail.data, ['one', 'two', '', 'last']);
    assert.deepEqual(publish.lines, tail.events.map(event => event.id));
    const bad = await run(['publish', '--lines', '--json', 'lines'], { env, input: '1\n2\n{\n4\n' });
    assert.equal(bad.code, 1);
    assert.equal(bad.lines.length, 2);
    assert.match(bad.err, /: line 3: 400 /);
});

test('publish: an import that is repeated with its key within 5 minutes adds only what was missing', async () => {
    assert.equal((await run(['publish', '--lines', '--idempotency-key', 'import', 'imported'], { env, input: 'a\nb\n' })).code, 0);
    assert.equal((await run(['publish', '--lines', '--idempotency-key', 'import', 'imported'], { env, input: 'a\nb\nc\n' })).code, 0);
    assert.deepEqual((await run(['tail', 'imported', '--last', '9', '--count', '3'], { env })).data, ['a', 'b', 'c']);
});

const dataIn = async channel => (await s.redis.command(['XRANGE', `{sse:${channel}}:log`, '-', '+'])).map(([, [, payload]]) => [...payload.matchAll(/^data: (.*)$/gm)].map(([, line]) => line).join('\n'));

test('publish --batch: lines are events in order, in as few requests as their number and size need; each id is printed', async () => {
    const lines = Array.from({ length: 2500 }, (_, i) => `line ${i} "\\\u00e9\t`);
    const before = await gw.metric('sse_http_requests_total', { for: 'publish' });
    const { code, lines: ids, err } = await run(['publish', '--batch', '--event', 'log', '--retry', '5000', 'batched'], { env, input: `${lines.join('\n')}\r\n\nlast` });
    assert.deepEqual([code, err], [0, '']);
    assert.deepEqual(await dataIn('batched'), [...lines, '', 'last']);
    const entries = await s.redis.command(['XRANGE', '{sse:batched}:log', '-', '+']);
    assert.deepEqual(ids, entries.map(([, [, payload]]) => /^id: (.*)$/m.exec(payload)[1]));
    assert.ok(entries.every(([, [, payload]]) => payload.includes('\nevent: log\n') && payload.includes('\nretry: 5000\n')));
    const requests = await gw.metric('sse_http_requests_total', { for: 'publish' }) - before;
    assert.ok(requests >= 3 && requests <= 8, `${requests} requests`);
    const big = Array.from({ length: 7 }, (_, i) => `${i}`.repeat(100000));
    assert.equal((await run(['publish', '--batch', 'big'], { env, input: [...big, 'x'.repeat(300000), 'end'].join('\n') })).code, 0);
    assert.deepEqual((await dataIn('big')).map(text => [text[0], text.length]), [...big, 'x'.repeat(300000), 'end'].map(text => [text[0], text.length]));
});

test('publish --batch: what came is sent without waiting for more, and the end behind the last line', async () => {
    const publish = cli(['publish', '--batch', '--lease', '60', '--end', 'flowing'], { env, input: null });
    for (const [i, line] of ['one\n', 'two\nthr', 'ee\n'].entries()) {
        publish.child.stdin.write(line);
        await publish.wait('what is whole is acknowledged', () => publish.lines.length === i + 1);
    }
    publish.child.stdin.end();
    assert.equal(await publish.end(), 0);
    assert.deepEqual(await dataIn('flowing'), ['one', 'two', 'three', '{"channel":"flowing","reason":"done"}']);
    assert.equal(publish.lines.length, 4);
    const [[, [, payload]]] = await s.redis.command(['XRANGE', '{sse:flowing}:log', '-', '+']);
    assert.match(payload, /^\x1esse2 \S+ \S+ lease=60\n/);
});

test('publish --batch --json: lines are objects; a refused line is named as the input counts it, and the batches before it stand', async () => {
    const first = Array.from({ length: 1000 }, (_, i) => JSON.stringify({ data: { i }, id: `own ${i}` }));
    const bad = await run(['publish', '--batch', '--json', 'objects'], { env, input: [...first, '{"data":1}', '', '{"data":2,"colour":3}', '{"data":4}'].join('\n') });
    assert.equal(bad.code, 1);
    assert.deepEqual(bad.lines, first.map((_, i) => `own ${i}`));
    assert.match(bad.err, /^sse-cli: http:[^ ]*\/channels\/objects: line 1003: 400 Bad Request: unknown member 'colour'/m);
    assert.equal(await s.redis.command(['XLEN', '{sse:objects}:log']), 1000);
    const late = await run(['publish', '--batch', '--json', 'objects'], { env, input: '{"end":true}\n' });
    assert.equal(late.code, 0, late.err);
    const ended = await run(['publish', '--batch', 'objects'], { env, input: 'a\nb\n' });
    assert.match(ended.err, /: lines 1 to 2: 409 Conflict: /);
    const bytes = await run(['publish', '--batch', 'binary'], { env, input: Buffer.from('a\nb\xff\n', 'latin1') });
    assert.match(bytes.err, /: line 2: 400 [^:]*: the JSON is not UTF-8/);
    assert.equal((await run(['publish', '--batch', 'nothing'], { env, input: '' })).code, 0);
    assert.equal((await run(['publish', '--batch', '--json', 'nothing'], { env, input: '\n \n' })).code, 0);
});

test('publish --batch: with a key the same input makes the same batches, however it comes; nothing is published twice', async () => {
    const input = Array.from({ length: 1500 }, (_, i) => `${i}`).join('\n');
    const first = await run(['publish', '--batch', '--idempotency-key', 'batches', 'keyed-batches'], { env, input });
    const slow = cli(['publish', '--batch', '--idempotency-key', 'batches', 'keyed-batches'], { env, input: null });
    slow.child.stdin.write(input.slice(0, 3000));
    await until('it was read', () => slow.child.stdin.writableLength === 0);
    slow.child.stdin.end(input.slice(3000));
    assert.equal(await slow.end(), 0);
    assert.deepEqual(slow.lines, first.lines);
    assert.equal(await s.redis.command(['XLEN', '{sse:keyed-batches}:log']), 1500);
});

test('publish: while Redis is away it gets 503, tries again, and publishes once', async () => {
    await s.redis.kill();
    const publish = cli(['publish', 'away', 'x'], { env });
    await publish.waitErr(/503 [^:]+: .*; again in \d+\.\d s/, 20000);
    await s.redis.start();
    assert.equal(await publish.end(30000), 0);
    assert.deepEqual((await run(['tail', 'away', '--last', '5', '--count', '1'], { env })).data, ['x']);
    assert.equal(await s.redis.command(['XLEN', '{sse:away}:log']), 1);
});

test('publish: the answer gets lost on its way, the repeat has the same key, and there is one event', async () => {
    let cuts = 0;
    const proxy = createServer(client => {
        const server = connect(s.pub[0].port, '127.0.0.1');
        client.pipe(server);
        server.on('data', bytes => (cuts++ < 2 ? client.destroy() : client.write(bytes)));
        for (const socket of [client, server])
            socket.on('error', () => {}).on('close', () => [client, server].forEach(other => other.destroy()));
    });
    const url = `http://127.0.0.1:${await listen(proxy)}`;
    const publish = await run(['publish', 'lost', 'x', '--url', url], {});
    assert.equal(publish.code, 0, publish.err);
    assert.equal(publish.err.match(/again in/g).length, 2);
    assert.equal(cuts, 3);
    assert.equal(await s.redis.command(['XLEN', '{sse:lost}:log']), 1);
    cuts = 0;
    const batch = await run(['publish', '--batch', 'lost-batch', '--url', url], { input: 'a\nb\n' });
    assert.deepEqual([batch.code, batch.lines.length, cuts], [0, 2, 3], batch.err);
    assert.equal(await s.redis.command(['XLEN', '{sse:lost-batch}:log']), 2);
    cuts = 0;
    const given = await run(['publish', 'lost', 'y', '--url', url, '--tries', '2'], {});
    assert.equal(given.code, 1, 'no more than --tries');
    assert.match(given.err, /\nsse-cli: http:[^ ]+\/channels\/lost: .+\n$/);
    proxy.close();
});

test('the token comes from a file or SSE_TOKEN, and is in no process list', async () => {
    const secret = 'a-secret-of-at-least-thirty-two-bytes';
    writeFileSync(join(folder, 'key'), secret);
    const open = await Stack.start({ env: { JWT_KEY_FILE: join(folder, 'key') } });
    const token = await new jose.SignJWT({ exp: Math.floor(Date.now() / 1000) + 600, sse: { subscribe: ['news'], publish: ['news'] } })
        .setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from(secret));
    writeFileSync(join(folder, 'token'), `${token}\n`);
    const url = { SSE_URL: open.gw[0].url };
    const without = await run(['tail', 'news'], { env: url });
    assert.equal(without.code, 1);
    assert.match(without.err, /401 Unauthorized/);
    const tail = cli(['tail', 'news', '--count', '1', '--token-file', join(folder, 'token')], { env: url });
    await until('the tail was sent its place', async () => await open.gw[0].metric('sse_sent_bytes_total') > 0);
    assert.ok(!readFileSync(`/proc/${tail.child.pid}/cmdline`, 'utf8').includes(token));
    const published = await run(['publish', 'news', 'x'], { env: { ...url, SSE_TOKEN: token } });
    assert.equal(published.code, 0, published.err);
    assert.equal(await tail.end(), 0);
    assert.deepEqual(tail.data, ['x']);
    assert.ok(!(without.err + tail.err + published.err).includes(token));
});

test('TLS: HTTP/2 and HTTP/1.1 with --cacert, and no stream where nobody vouches for the server', async () => {
    const tls = await Stack.start({ tls: true });
    const { cert } = certificate(tls.folder);
    const url = { SSE_URL: tls.gw[0].httpsUrl };
    for (const version of [[], ['--http', '2'], ['--http', '1.1']]) {
        const published = await run(['publish', 'news', 'x', '--cacert', cert, ...version], { env: url });
        assert.equal(published.code, 0, published.err);
        const tail = await run(['tail', 'news', '--last', '1', '--count', '1', '--cacert', cert, ...version], { env: url });
        assert.deepEqual(tail.data, ['x'], tail.err);
    }
    for (const args of [['tail', 'news'], ['publish', 'news', 'x'], ['bench', '--streams', '1']]) {
        const refused = await run(args, { env: url });
        assert.equal(refused.code, 1);
        assert.match(refused.err, /certificate.*; --cacert names a file/);
        assert.equal(refused.err.trim().split('\n').length, 1);
    }
    const shared = await run(['bench', '--streams', '200', '--channels', '2', '--seconds', '1', '--cacert', cert], { env: url });
    assert.equal(shared.code, 0, shared.err);
});

test('bench counts what was published and delivered, loses nothing, and says so when it can\'t', async () => {
    const bench = await run(['bench', '--streams', '60', '--channels', '3', '--rate', '30', '--seconds', '2'], { env });
    assert.equal(bench.code, 0, bench.err);
    const [result] = bench.events;
    assert.equal(bench.lines.length, 1);
    assert.ok(result.published > 5 && result.published <= 60, bench.out);
    assert.equal(result.delivered, result.published * 20);
    assert.deepEqual([result.lost, result.twice, result.ended, result.failed], [0, 0, 0, 0]);
    assert.ok(result.p50_ms > 0 && result.p50_ms <= result.p99_ms && result.p99_ms <= result.max_ms, bench.out);
    const terminal = await run(['bench', '--streams', '10', '--seconds', '1'], { env, terminal: true });
    assert.match(terminal.out, /\r\x1b\[K0 of 1 s: \d+ published/, 'a line of progress');
    assert.match(terminal.out, /\nlost +0\r?\n/);
    const refused = await run(['bench', '--streams', '5', '--seconds', '1'], { env: { SSE_URL: narrow.url } });
    assert.equal(refused.code, 1);
    assert.match(refused.err, /only \d of 5 streams opened: (429|503) /);
});

test('bench: streams that end are reported', async () => {
    const before = await gw.metric('sse_deliveries_total');
    const bench = cli(['bench', '--streams', '20', '--seconds', '10'], { env });
    await until('events arrive', async () => (await gw.metric('sse_streams')) === 20 && (await gw.metric('sse_deliveries_total')) > before + 20);
    await gw.kill('SIGKILL');
    await bench.end();
    await gw.start();
    assert.equal(bench.code, 1);
    assert.match(bench.err, /20 streams ended: /);
    assert.equal(bench.events[0].ended, 20);
});

const USAGE = [
    [[], /what to do/], [['nonsense'], /'nonsense'/], [['tail'], /name a stream/], [['tail', '--nonsense', 'x'], /--nonsense/], [['tail', '-x'], /-x/],
    [['tail', '--last', '0', 'x'], /--last: must be a number from 1 to 100000, not '0'/], [['tail', '--last'], /--last needs a value/], [['tail', '--count', '-1', 'x'], /--count/],
    [['tail', '--json=1', 'x'], /--json/], [['tail', '--from', 'a', '--last', '1', 'x'], /not both/], [['tail', 'a b'], /channel 'a b'/], [['tail', '/a', '--channel', 'b'], /not both/],
    [['tail', 'ftp://x/y'], /http:\/\//], [['tail', 'http://u:p@x/'], /--token-file/], [['tail', '--url', 'http://x/?a', 'y'], /--url/], [['tail', '--http', '3', 'x'], /--http/],
    [['tail', '-H', 'Authorization: Bearer x', 'y'], /secrets/], [['tail', '-H', 'nonsense', 'y'], /--header/], [['tail', '-H', 'a: b\nc: d', 'y'], /--header/],
    [['tail', '--cacert', '/no/such/file', 'x'], /\/no\/such\/file/], [['tail', '--cert', join(ROOT, 'LICENSE'), 'x'], /--key/], [['tail', '--token-file', '/dev/null', 'x'], /empty/],
    [['tail', ...Array(101).fill('c')], /at most 100/], [['tail', '--from', 'a\nb', 'x'], /--from/], [['publish'], /name a channel/], [['publish', 'a', 'b', 'c'], /too many/],
    [['publish', '--text', '--json', 'x'], /not both/], [['publish', '--lines', 'x', 'y'], /--lines/], [['publish', '--lines', '--id', 'a', 'x'], /--id/],
    [['publish', '--batch', 'x', 'y'], /--batch/], [['publish', '--batch', '--id', 'a', 'x'], /--id/],
    [['publish', '--batch', '--lines', 'x'], /not both/], [['publish', '--batch', '--json', '--event', 'e', 'x'], /in the lines/], [['publish', '--event', 'a\nb', 'x'], /--event/], [['publish', '--retry', '1s', 'x'], /--retry/], [['publish', '--idempotency-key', 'k'.repeat(201), 'x'], /--idempotency-key/],
    [['publish', '--idempotency-key', 'k 1', 'x'], /visible ASCII/], [['publish', '--lease', '0', 'x'], /--lease/], [['publish', '--lease', '86401', 'x'], /--lease/],
    [['publish', '--end', '--lease', '5', 'x', 'y'], /--end or --lease/], [['publish', '--end', '--id', 'a', 'x'], /need DATA/],
    [['bench', 'x'], /'x'/], [['bench', '--streams', '5000'], /--streams/],
];

test('a wrong command line is one sentence and exit status 2', async () => {
    for (const [args, what] of USAGE) {
        const wrong = await run(args, { env });
        const shown = `${args.join(' ').slice(0, 80)}: ${wrong.code} ${wrong.err}`;
        assert.equal(wrong.code, 2, shown);
        assert.match(wrong.err, what, shown);
        assert.match(wrong.err, /^sse-cli: [^]*; see sse-cli( tail| publish| bench)? --help\n$/, shown);
        assert.equal(wrong.out, '', shown);
    }
    for (const [SSE_URL, SSE_TOKEN, what] of [['nonsense', '', /SSE_URL/], [gw.url, 'a b', /SSE_TOKEN/]]) {
        const wrong = await run(['tail', 'x'], { env: { SSE_URL, SSE_TOKEN } });
        assert.equal(wrong.code, 2);
        assert.match(wrong.err, what);
        assert.ok(!wrong.err.includes('a b'));
    }
});

test('--help and --version', async () => {
    const help = await run(['--help']);
    assert.equal(help.code, 0);
    for (const command of ['tail', 'publish', 'bench']) {
        const own = await run([command, '--help']);
        assert.equal(own.code, 0);
        assert.match(help.out, new RegExp(`sse-cli ${command} `));
        for (const line of own.lines)
            assert.ok(line.length <= 100, line);
    }
    assert.match((await run(['--version'])).out, /^sse-cli \d+\.\d+\.\d+ \(libcurl 7\./);
});

