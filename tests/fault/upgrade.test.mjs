// Version 1.0 and this one on the same bus, as in a rolling upgrade.
import { before, test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack, quiet } from '../integration/stack.mjs';
import { openStream, request } from '../integration/sse.mjs';
import { Load, scaled } from './load.mjs';
import { absent, build } from './release.mjs';
import { since } from './rows.mjs';

const skip = absent();
const LIMIT = { timeout: 240000, skip };
let v1;

before(() => (v1 = skip ? null : build()), { timeout: 300000 });

// Ends it in order and starts the program of this build (or of `folder`) in its place.
async function replace(program, folder) {
    assert.equal((await program.kill('SIGTERM')).code, 0);
    program.build(folder);
    await program.start();
}

// One after the other, with both versions of each program at work in between, and the function library of each in Redis: while nobody ends a channel or gives it a lease, any order is good.
test('a rolling upgrade loses nothing, whatever is replaced first', LIMIT, async t => {
    const load = await Load.start(t, { programs: v1, streams: scaled(1000), rate: scaled(500) });
    const { gw, pub } = load.stack;
    const start = performance.now();
    await replace(pub[0]); // version 1.0 reads what it writes
    load.author.url = 0;
    await load.recovery();
    await replace(pub[1], v1); // which loads the old library again; the new publisher then loads its own
    await load.recovery();
    for (const gateway of gw) {
        assert.equal(await gateway.metric('sse_bus_malformed_total'), 0);
        await replace(gateway);
        await load.recovery(); // half of the clients are at a gateway of the other version, to which those that were cut off have gone
    }
    await replace(pub[1]);
    const seconds = since(start);
    await load.recovery();
    for (const gateway of gw)
        assert.equal(await gateway.metric('sse_bus_malformed_total'), 0);
    const report = await load.finish(t, 'rolling upgrade from 1.0: a publisher, two gateways, the other publisher', { seconds });
    assert.ok(report.reconnects >= report.streams, 'each client was cut off');
});

const TEXT = { 'content-type': 'text/plain' };
const EVENTS = [['plain', {}], ['typed', { 'sse-event': 'note' }], ['slow', { 'sse-retry': '2000' }], ['own', { 'sse-id': 'mine' }], ['two\nlines', {}]];

// Gateway and publisher 0 are of version 1.0, and the function library is this version's from then on.
async function mixed(t, first = () => {}) {
    const s = await Stack.start({ gateways: 2, publishers: 2, programs: v1 });
    t.after(() => s.stop());
    await first(s);
    await Promise.all([replace(s.gw[1]), replace(s.pub[1])]);
    return s;
}

async function frames(gw, path, count) {
    const stream = await openStream(`${gw.url}${path}`);
    await stream.take(count);
    stream.close();
    return stream.frames;
}

test('each version reads what the other has written: the same events and ids, and on the routes of 1.0 the same bytes', LIMIT, async t => {
    const publish = async (s, pub) => {
        for (const [text, headers] of EVENTS)
            await s.post('post', text, { pub, headers: { ...TEXT, ...headers, ...(headers['sse-id'] && { 'sse-id': `mine-${pub}` }) } });
    };
    const s = await mixed(t, all => publish(all, 0));
    await publish(s, 1);
    const count = 2 * EVENTS.length;
    const [old, ours] = await Promise.all(s.gw.map(gw => frames(gw, `/post?last=${count}`, count)));
    const own = all => all.slice(-EVENTS.length), firsts = all => all.slice(-count, -EVENTS.length);
    assert.deepEqual(firsts(ours), firsts(old), 'what 1.0 wrote');
    const without = text => text.replace(/^id: .*\n/m, ''), lean = text => without(text).replace(/^(event: message|retry: 6000)\n/gm, '');
    assert.deepEqual(own(ours).map(without), firsts(old).map(without), 'what this version writes, at its own gateway');
    assert.deepEqual(own(old).map(without), firsts(old).map(lean), '… and at one of 1.0, which forwards it as it stands');
    const streams = await Promise.all(s.gw.map(gw => openStream(`${gw.url}/channels/post?last=${count}`)));
    const [theirs, here] = await Promise.all(streams.map(stream => stream.take(count)));
    assert.deepEqual(here, theirs, 'types, data and ids of the lean route');
    assert.equal(here.length, count);
    for (const stream of streams)
        stream.close();
    for (const [i, gw] of s.gw.entries()) {
        const back = await openStream(`${gw.url}/channels/post`, { headers: { 'last-event-id': here[2 + 5 * i].lastEventId } });
        assert.equal((await back.next()).lastEventId, here[3 + 5 * i].lastEventId, 'an id that the other gateway gave, too');
        back.close();
    }
});

// Why gateways come first, and nobody ends a channel before all are new.
test('a gateway of 1.0 drops an end and an event with a lease, counts them, and its clients get the end when it is replaced', LIMIT, async t => {
    const s = await mixed(t);
    const end = ['done', { 'sse-end': '1' }], leased = ['leased', { 'sse-lease': '60' }];
    const post = ([text, headers]) => s.post('job', text, { pub: 1, headers: { ...TEXT, ...headers } });
    const [old, ours] = await Promise.all(s.gw.map(gw => openStream(`${gw.url}/channels/job`)));
    await Promise.all([old, ours].map(stream => stream.nextFrame()));
    await s.subscribed('job');
    await post(['one', {}]);
    await post(leased);
    await post(['two', {}]);
    assert.deepEqual((await ours.take(3)).map(event => event.data), ['one', 'leased', 'two']);
    assert.deepEqual((await old.take(2)).map(event => event.data), ['one', 'two'], 'and no gap');
    await post(end);
    assert.deepEqual((await ours.take(2)).map(event => event.type), ['message', 'end']);
    assert.equal(await ours.closed, 'end');
    const last = await old.next();
    assert.equal(last.data, 'done');
    await s.gw[0].waitMetric('sse_bus_malformed_total', count => count >= 2);
    await quiet(300);
    assert.deepEqual([old.ended, old.events.length], [null, 3], 'it stays open');
    await replace(s.gw[0]);
    await old.closed;
    const again = await openStream(`${s.gw[0].url}/channels/job`, { headers: { 'last-event-id': last.lastEventId } });
    assert.deepEqual((await again.take(1)).map(event => event.type), ['end']);
    assert.equal(await again.closed, 'end');
    assert.equal((await request(`${s.gw[0].url}/channels/job`, { headers: { 'last-event-id': again.events[0].lastEventId } })).status, 204);
});
