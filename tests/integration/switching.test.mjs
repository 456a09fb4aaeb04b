// A client that switches between a stream and long polling at any event, and between two gateways, sees every event once and in order.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { openStream, request } from './sse.mjs';
import { SANITIZED, Stack, until } from './stack.mjs';

const EVENTS = SANITIZED ? 2000 : 10000;
const AHEAD = 300; // the author waits when the client is so far behind

const s = await Stack.start({ gateways: 2 });
const upTo = n => 1 + Math.floor(Math.random() * n);
const pick = list => list[upTo(list.length) - 1];

test(`${EVENTS} events come once and in order to a client that takes each few of them another way`, { timeout: 240000 }, async t => {
    const got = [];
    let last = 'earliest', ended = false;
    const ways = { stream: 0, poll: 0, empty: 0 };
    const address = (params = '') => `${pick(s.gw).url}/channels/switching?last_event_id=${encodeURIComponent(last)}${params}`;

    async function stream(wanted) {
        ++ways.stream;
        const source = await openStream(address());
        assert.equal(source.status, 200);
        for (let i = 0; i < wanted && !ended; ++i) {
            const { type, data, lastEventId } = await source.next(20000);
            last = lastEventId;
            if (type === 'end')
                ended = true;
            else
                got.push([type, data]);
        }
        source.close();
    }

    async function poll(wanted) {
        ++ways.poll;
        const answer = await request(address(`&wait=${upTo(2)}&limit=${wanted}`), { headers: { accept: 'application/json' } });
        assert.equal(answer.status, 200, answer.body);
        const page = JSON.parse(answer.body);
        assert.notEqual(page.gap, true);
        assert.ok(page.events.length <= wanted, `${page.events.length} of at most ${wanted}`);
        ways.empty += Number(page.events.length === 0);
        got.push(...page.events.filter(({ event }) => event !== 'end').map(({ event = 'message', data }) => [event, data]));
        last = page.last_event_id;
        ended = page.ended && !page.more;
    }

    async function author() {
        for (let n = 0; n < EVENTS;) {
            const calls = [];
            for (let burst = upTo(60); burst > 0 && n < EVENTS; --burst)
                calls.push(s.redis.command(['FCALL', 'sse_publish', 1, 'sse:switching', `${++n}`, ...(n % 7 === 0 ? ['event', 'seventh'] : [])]));
            await Promise.all(calls);
            await until('the client comes along', () => got.length > n - AHEAD, 60000);
        }
        await s.redis.command(['FCALL', 'sse_publish', 1, 'sse:switching', '', 'end', '1']);
    }

    const done = author();
    while (!ended)
        await pick([stream, poll])(upTo(80));
    await done;
    assert.deepEqual(got, Array.from({ length: EVENTS }, (_, i) => [(i + 1) % 7 === 0 ? 'seventh' : 'message', `${i + 1}`]));
    t.diagnostic(JSON.stringify(ways));
    assert.ok(ways.stream > EVENTS / 400 && ways.poll > EVENTS / 400, JSON.stringify(ways));
});
