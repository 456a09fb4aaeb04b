// proto/examples/ does what it says, against real programs: every subscriber gets what every publisher publishes, once and in order, over a gateway that is killed, one that is
// stopped, and Redis going away; every publisher publishes once although answers get lost.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { createServer, connect } from 'node:net';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Stack, freePort, until } from '../integration/stack.mjs';
import { EXAMPLES, Example, UNRUN, batchers, lacking, publishers, subscribers } from './programs.mjs';

const port = await freePort();
const s = await Stack.start({ redis: { port }, env: { RETRY_MS: 200, KEEPALIVE_MS: 500, DRAIN_SECONDS: 1 } });
const [gw] = s.gw;
const [pub] = s.pub;
const present = programs => programs.filter(program => !lacking(program));

// A publisher's first arguments and environment: to HTTP at `base`, or to Redis as the least a user may be.
function publishing(program, text, { base = gw.url, channel = 'news' } = {}) {
    const many = batchers.includes(program);
    if (!program.redis)
        return [program, many ? [`${base}/channels/${channel}`, ...text] : [text, `${base}/channels/${channel}`]];
    const account = new URL(s.redis.urlFor('author', `redis://127.0.0.1:${port}`));
    return [program, many ? [channel, ...text] : [text, channel], { REDIS_URL: account.href.replace(/\/$/, ''), REDIS_HOST: '127.0.0.1', REDIS_PORT: String(port), REDIS_USER: 'author', REDISCLI_AUTH: account.password }];
}

const entries = channel => s.redis.command(['XLEN', `{sse:${channel}}:log`]);

let wanted = ''; // what each subscriber has to print
async function publishAll(title, base) {
    for (const program of present(publishers)) {
        const text = `${title}, ${program.file}\nsecond line: ä€😀\n`;
        const example = new Example(...publishing(program, text, { base }));
        assert.equal(await example.status(), 0, example.tail());
        assert.match(example.out, /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/);
        wanted += `${program.redis ? 'greeting' : 'message'}: ${text}\n`;
    }
}

const readers = new Map();
async function allPrinted(what) {
    for (const reader of readers.values())
        await reader.printed(wanted, 60000);
    for (const [file, reader] of readers)
        assert.equal(reader.out, wanted, `${file}, ${what}`);
}

for (const program of [...subscribers, ...publishers, ...batchers].filter(lacking))
    test(program.file, { skip: lacking(program) });

test('every subscriber prints what every publisher published, and nothing before it', async () => {
    await s.post('news', 'before anybody listened');
    for (const program of present(subscribers))
        readers.set(program.file, new Example(program, [`${gw.url}/channels/news`]));
    await gw.waitMetric('sse_streams', readers.size, { ms: 60000 });
    await publishAll('live', gw.url);
    for (const [data, type] of [['', 'message'], [' leads, and: colons', 'greeting'], ['\n\n', 'message']]) {
        await s.post('news', data, { headers: { 'sse-event': type } });
        wanted += `${type}: ${data}\n`;
    }
    await allPrinted('live');
});

test('… once and in order when the gateway is killed and events come before it is back', async () => {
    await gw.kill('SIGKILL');
    await publishAll('killed', pub.url);
    await gw.start();
    await s.post('news', 'back');
    wanted += 'message: back\n';
    await allPrinted('after the kill');
    await gw.waitMetric('sse_streams', readers.size, { ms: 60000 });
});

test('… and when it is stopped, drained and started again', async () => {
    const stopping = gw.kill('SIGTERM');
    await s.post('news', 'while it drains');
    await stopping;
    await s.post('news', 'while it is away');
    await gw.start();
    await s.post('news', 'and again');
    wanted += 'message: while it drains\nmessage: while it is away\nmessage: and again\n';
    await allPrinted('after the stop');
});

test('… and a gap is printed like an event when the history does not reach back', async () => {
    await gw.kill('SIGKILL');
    await s.post('news', 'lost');
    await s.redis.command(['DEL', '{sse:news}:log']);
    await gw.start();
    const told = reader => until(`${reader.name} prints the gap`, () => /^gap: \{"channel":"news","last_event_id":"[0-9a-f-]{36}"\}\n/.test(reader.out.slice(wanted.length)),
        60000, () => `\n${reader.out.slice(wanted.length)}`);
    for (const reader of readers.values())
        await told(reader);
    for (const reader of readers.values())
        await reader.kill();
});

test('a publisher whose answer got lost asks again, and the event is there once', async () => {
    let requests = 0;
    const dropped = new Set();
    // Lets the first request of each channel through, and drops its answer.
    const proxy = createServer(client => {
        const upstream = connect(pub.port, '127.0.0.1');
        let channel = null;
        client.on('data', data => {
            const named = /^POST \/channels\/(\S+)/.exec(data.toString('latin1'));
            if (named !== null) {
                channel = named[1];
                ++requests;
            }
            upstream.write(data);
        });
        upstream.on('data', data => {
            if (!dropped.has(channel)) {
                dropped.add(channel);
                client.destroy();
            } else {
                client.write(data);
            }
        });
        client.on('close', () => upstream.destroy()).on('error', () => {});
        upstream.on('close', () => client.destroy()).on('error', () => {});
    });
    await new Promise(done => proxy.listen(0, '127.0.0.1', done));
    const base = `http://127.0.0.1:${proxy.address().port}`;
    const tried = present([...publishers, ...batchers]).filter(program => !program.redis);
    try {
        for (const [i, program] of tried.entries()) {
            const texts = batchers.includes(program) ? ['once', 'and once'] : 'once';
            const example = new Example(...publishing(program, texts, { base, channel: `lost${i}` }));
            assert.equal(await example.status(), 0, example.tail());
            assert.equal(await entries(`lost${i}`), texts === 'once' ? 1 : 2, program.file);
        }
    } finally {
        proxy.close();
    }
    assert.equal(dropped.size, tried.length);
    assert.equal(requests, 2 * tried.length);
});

test('a batch is in the history in its order, and each id is printed', async () => {
    const texts = ['first', 'of two\nlines: ä€😀 "\\', '', 'last'];
    for (const [i, program] of present(batchers).entries()) {
        const example = new Example(...publishing(program, texts, { channel: `batch${i}` }));
        assert.equal(await example.status(), 0, example.tail());
        assert.equal(example.out.match(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g).length, texts.length, program.file);
        const answer = await fetch(`${gw.url}/channels/batch${i}?last_event_id=earliest`, { headers: { accept: 'application/json' } });
        assert.deepEqual((await answer.json()).events.map(({ event, data }) => [event, data]), texts.map(text => ['greeting', text]), program.file);
    }
});

test('a publisher that gets 503 retries until Redis is back', async () => {
    for (const program of present(publishers).filter(p => !p.redis)) {
        const refused = await pub.metric('sse_publish_total', { outcome: 'bus_down' });
        await s.redis.kill();
        const example = new Example(...publishing(program, 'later', { base: pub.url, channel: 'later' }));
        await pub.waitMetric('sse_publish_total', value => value > refused, { labels: { outcome: 'bus_down' }, ms: 30000 });
        await s.redis.start();
        assert.equal(await example.status(), 0, example.tail());
        assert.equal(await entries('later'), 1, program.file); // nothing is kept over the kill
    }
});

test('an error that another try will not change ends a program, with the status', async () => {
    for (const program of [...present([...publishers, ...batchers]).filter(p => !p.redis), ...present(subscribers).filter(p => p.file !== 'curl/subscribe')]) {
        const bad = `${gw.url}/channels/not%20a%20name`;
        const example = new Example(program, publishers.includes(program) ? ['text', bad] : [bad, 'text']);
        assert.notEqual(await example.status(), 0, program.file);
        assert.match(example.log, /400/, program.file);
    }
});

const listed = (folder, prefix = '') => readdirSync(folder).flatMap(name =>
    (statSync(join(folder, name)).isDirectory() ? listed(join(folder, name), `${prefix}${name}/`) : [prefix + name]));

test('each file has less than 40 lines, and the table says of each by which test it is run', () => {
    const readme = readFileSync(join(EXAMPLES, 'README.md'), 'utf8');
    const files = listed(EXAMPLES).filter(name => name !== 'README.md');
    const rows = new Map([...readme.matchAll(/^\|.*?\[`([^`]+)`\].*\| ([^|]+) \|$/gm)].map(([, file, by]) => [file, by]));
    for (const file of files) {
        const text = readFileSync(join(EXAMPLES, file), 'utf8');
        assert.ok(text.split('\n').length - 1 < 40, `${file} has ${text.split('\n').length - 1} lines`);
        const entry = [...rows.keys()].find(name => name === file || file.startsWith(`${name}/`));
        assert.ok(entry, `${file} is not in the table`);
        const run = [...subscribers, ...publishers, ...batchers].some(program => program.file === entry);
        const [, browser, ai] = /^(?:(browser|react)|(ai))\//.exec(file) ?? [];
        assert.equal(rows.get(entry), UNRUN.includes(file) ? 'not run here' : browser ? '`browser`' : ai ? '`ai`' : run && subscribers.some(p => p.file === entry) ? '`examples`, `wire`, `ids`' : '`examples`', file);
        assert.ok(run || browser || ai || UNRUN.includes(file), `${file} is run by no test`);
    }
});
