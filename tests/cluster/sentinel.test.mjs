// The overlay with three Redis and three sentinels: the primary is killed, another takes over, no stream notices.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { row, since } from '../fault/rows.mjs';
import { until } from '../integration/wait.mjs';
import { Cluster, SERVICES, options, skip } from './cluster.mjs';

const STREAMS = 100;
const RATE = 20;
const NODES = ['redis', 'redis-2', 'redis-3'];
const ALL = { ...SERVICES, 'redis-2': 1, 'redis-3': 1, 'sentinel-1': 1, 'sentinel-2': 1, 'sentinel-3': 1 };

let cluster, clients;

before(async () => {
    if (skip)
        return;
    cluster = await Cluster.start({ TICKERS: 'off' }, { use: ['deploy/compose/sentinel.yml'], services: ALL });
    clients = cluster.clients;
}, { timeout: 600000 });

after(() => cluster?.stop());

// Of a Redis that runs: its role, whom it follows, how far it is, and its replicas.
async function state(node) {
    const text = await cluster.compose('exec', '-T', node, 'cli', 'INFO', 'replication');
    return Object.fromEntries(text.split(/\r?\n/).filter(line => line.includes(':')).map(line => line.split(/:(.*)/)));
}

// The one primary, when both others follow it.
function settled() {
    let seen;
    return until('two replicas follow one primary', async () => {
        seen = await Promise.all(NODES.map(state));
        const [primary, ...more] = seen.filter(({ role }) => role === 'master');
        return more.length === 0 && primary?.connected_slaves === '2' && seen.every(one => one.role === 'master' ||
            one.master_link_status === 'up') && NODES[seen.indexOf(primary)];
    }, 60000, () => `: ${JSON.stringify(seen)}`);
}

test('docker kill of the primary: a replica takes over, nothing is lost and no stream closed', options, async t => {
    await clients.ask('follow', { streams: STREAMS, channel: 'failover' });
    for (const what of ['docker kill the primary Redis, three sentinels', 'docker kill the next primary']) {
        await clients.ask('start', { rate: RATE });
        await clients.ask('settle');
        const primary = await settled();
        const [{ id }] = await cluster.containers(primary);
        const start = performance.now();
        await cluster.docker('kill', id);
        await clients.ask('settle');
        const seconds = since(start);
        await cluster.compose('up', '-d');
        await cluster.healthy(ALL);
        assert.notEqual(await settled(), primary);
        await clients.ask('stop');
        await clients.ask('settle');
        const report = await clients.ask('report');
        const { streams, events, published, lost, duplicated, out_of_order, gaps, malformed, reconnects, faults } = report;
        row(t, what, { clients: streams, events, lost, duplicated, 'out of order': out_of_order, gaps, reconnects, seconds });
        assert.deepEqual({ lost, duplicated, out_of_order, gaps, malformed, reconnects, faults },
            { lost: 0, duplicated: 0, out_of_order: 0, gaps: 0, malformed: 0, reconnects: 0, faults: [] });
        assert.equal(events, streams * published);
    }
});
