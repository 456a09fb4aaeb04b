// What the tests of a cluster do with it: channels by shard, and authors who send again until they are heard.
import assert from 'node:assert/strict';
import { until } from './wait.mjs';
import { channelsIn } from './cluster_set.mjs';
import { request } from './sse.mjs';

export const texts = events => events.map(event => event.data);

// `count` channels whose slots lay in the shard at the start.
export const inShard = (set, shard, count, prefix) => channelsIn(slot => slot >= set.range(shard)[0] && slot <= set.range(shard)[1], count, prefix);

// One channel in each of three shards.
export const spread = (set, prefix) => [0, 1, 2].flatMap(shard => inShard(set, shard, 1, prefix));

// One POST; the idempotency key follows from `key`.
export const post = (stack, channel, body, key = body) => request(`${stack.pub[0].url}/channels/${channel}`,
    { method: 'POST', headers: { 'content-type': 'text/plain', 'idempotency-key': `${channel}:${key}`.replaceAll(' ', '-') }, body });

// Sends it until it is taken, as an author should; its id.
export async function publish(stack, channel, text) {
    let id;
    await until(`"${text}" is acknowledged`, async () => {
        const answer = await post(stack, channel, text);
        assert.ok([200, 503].includes(answer.status), answer.body);
        id = answer.status === 200 && JSON.parse(answer.body).id;
        return id;
    }, 20000);
    return id;
}

// Publishes 1, 2, 3, … to each of the channels until stop(); that gives how many each got.
export function author(stack, names) {
    let stopped = false;
    const counts = names.map(async name => {
        let n = 0;
        while (!stopped)
            await publish(stack, name, String(++n));
        return n;
    });
    return { stop: () => {
        stopped = true;
        return Promise.all(counts);
    } };
}

// What /readyz says of the bus.
export const busOf = async program => JSON.parse((await program.ready()).body).checks?.bus;
