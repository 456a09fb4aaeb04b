// PUBLISH_REPLICAS: acknowledged means that so many replicas have it.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { quiet, until } from './stack.mjs';
import { SentinelSet } from './sentinel.mjs';
import { openStream, request } from './sse.mjs';

const set = await SentinelSet.start({ replicas: 2, sentinels: 0 });
const [primary, ...replicas] = set.nodes;
const s = await set.stack({ publishers: 3, publisherEnv: [{ PUBLISH_REPLICAS: 1 }, { PUBLISH_REPLICAS: 2 }, { PUBLISH_REPLICAS: 2, TICKERS: 'letters:100' }], env: { REDIS_TIMEOUT_MS: 1500 } });
const WAIT_MS = 500; // a third of REDIS_TIMEOUT_MS

const post = (pub, data, key) => request(`${s.pub[pub].url}/channels/replicas`,
    { method: 'POST', headers: { 'content-type': 'text/plain', ...(key ? { 'idempotency-key': key } : {}) }, body: data });
const has = async (node, data) => String(await node.command(['XRANGE', '{sse:replicas}:log', '-', '+'])).includes(`data: ${data}\n`);

test('the answer comes when the replicas have it, and no sooner', async () => {
    for (let n = 0; n < 5; ++n) {
        for (const node of replicas)
            node.pause();
        let answered = false;
        const answer = post(1, `both ${n}`).finally(() => (answered = true));
        await until('it is in the primary', () => has(primary, `both ${n}`));
        await quiet(50);
        assert.equal(answered, false);
        for (const node of replicas)
            node.resume();
        const { status, body } = await answer;
        assert.equal(status, 200, body);
        assert.deepEqual(await Promise.all(replicas.map(node => has(node, `both ${n}`))), [true, true]);
    }
});

test('many at once share a WAIT', async t => {
    await primary.command(['CONFIG', 'RESETSTAT']);
    const answers = await Promise.all(Array.from({ length: 400 }, (_, n) => post(1, `many ${n}`)));
    assert.ok(answers.every(answer => answer.status === 200));
    const calls = Number(/cmdstat_wait:calls=(\d+)/.exec(await primary.command(['INFO', 'commandstats']))[1]);
    t.diagnostic(`${calls} WAITs`);
    assert.ok(calls >= 1 && calls < 100, `${calls} WAITs for 400 events`);
});

test('one replica of two hangs: with 1 all goes on, with 2 it is a 503 that says so; sent again with its key it is acknowledged once it can be, and there once', async () => {
    const stream = await openStream(`${s.gw[0].url}/channels/replicas`);
    await primary.subscribed('replicas');
    replicas[1].pause();
    try {
        assert.equal((await post(0, 'with one')).status, 200);
        const start = performance.now();
        const answer = await post(1, 'with two', 'key-2');
        const ms = performance.now() - start;
        assert.equal(answer.status, 503);
        assert.equal(answer.headers['retry-after'], '1');
        assert.match(answer.body, /on 1 of PUBLISH_REPLICAS=2 replicas after 500 ms; it may be delivered all the same: send it again with the same Idempotency-Key/);
        assert.ok(ms >= WAIT_MS - 50 && ms < WAIT_MS + 1000, `after ${ms} ms`);
        assert.equal((await post(1, 'with two', 'key-2')).status, 503, 'still not');
        assert.ok((await s.pub[1].ready()).status === 200, 'the connection is not given up');
    } finally {
        replicas[1].resume();
    }
    let again;
    await until('it is acknowledged', async () => (again = await post(1, 'with two', 'key-2')).status === 200);
    assert.ok(await has(replicas[1], 'with two'));
    await post(0, 'the end');
    const events = await stream.take(3);
    assert.deepEqual(events.map(event => event.data), ['with one', 'with two', 'the end']);
    assert.equal(JSON.parse(again.body).id, events[1].lastEventId);
    stream.close();
});

test('a batch waits as one event does: its ids come when the replicas have it, and a repeat with its key has them again', async () => {
    const lines = Array.from({ length: 50 }, (_, n) => `{"data":"batch ${n}"${n === 7 ? ',"id":"own"' : ''}}\n`).join('');
    const batch = () => request(`${s.pub[1].url}/channels/replicas`, { method: 'POST', headers: { 'content-type': 'application/x-ndjson', 'idempotency-key': 'batch' }, body: lines });
    replicas[1].pause();
    try {
        const answer = await batch();
        assert.equal(answer.status, 503);
        assert.match(answer.body, /on 1 of PUBLISH_REPLICAS=2 replicas/);
    } finally {
        replicas[1].resume();
    }
    let again;
    await until('it is acknowledged', async () => (again = await batch()).status === 200);
    assert.ok(await has(replicas[1], 'batch 49'));
    const { ids } = JSON.parse(again.body);
    const entries = (await primary.command(['XREVRANGE', '{sse:replicas}:log', '+', '-', 'COUNT', '50'])).reverse();
    assert.deepEqual(ids, entries.map(([, [, payload]]) => /^id: (.*)$/m.exec(payload)[1]));
    assert.equal(ids[7], 'own');
    assert.ok(entries[0][1][1].includes('data: batch 0\n'), 'there once');
});

test('requests that wait when the connection is lost get 503, and none waits for ever', async () => {
    for (const node of replicas)
        node.pause();
    const answers = Promise.all(Array.from({ length: 20 }, (_, n) => post(n % 2, `cut ${n}`)));
    await quiet(100);
    await primary.command(['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes']);
    for (const { status, body } of await answers) {
        assert.equal(status, 503);
        assert.match(body, /Idempotency-Key|not connected|lost|closed/);
    }
    for (const node of replicas)
        node.resume();
    await Promise.all(s.pub.map(publisher => publisher.waitReady()));
    await until('it goes on', async () => (await post(1, 'after the cut')).status === 200);
});

test('a user without the right to WAIT gets a clear error', async () => {
    await primary.command(['ACL', 'SETUSER', 'publisher', '-wait']);
    const answer = await post(0, 'denied');
    assert.deepEqual([answer.status, JSON.parse(answer.body).error], [503, 'the Redis user may not wait for replicas: it needs +wait']);
    await primary.command(['ACL', 'SETUSER', 'publisher', '+wait']);
    assert.equal((await post(0, 'allowed')).status, 200);
});

test('tickers wait as well', async () => {
    await s.pub[2].waitMetric('sse_ticks_total', n => n > 5);
    await s.pub[2].waitMetric('sse_publish_total', n => n > 5, { labels: { outcome: 'done' } });
});
