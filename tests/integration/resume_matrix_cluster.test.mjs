// The resume matrix over several shards of a cluster: channel `a` in one, `b` in another. An id of one shard's event stands in another for a time, less a margin of about two seconds: so the events
// that the client has seen are older than that here, or some that it has seen would be sent, or told as lost, again.
//
// Left out, as in resume_matrix.test.mjs: what a shard lost by restarting from an older state, at gateways that had not seen it.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { quiet, until } from './stack.mjs';
import { openStream } from './sse.mjs';
import { ClusterSet } from './cluster_set.mjs';
import { inShard } from './cluster_author.mjs';
import { Cell, IDS, resumeAll, runRounds } from './resume_matrix.mjs';

const SAME = 0, RESTARTED = 2;
const MARGIN_MS = 4500; // the margin, and how old a place may be

async function prepare(histories, { save } = {}) {
    const set = await ClusterSet.start({ shards: 2, replicas: 0 });
    const s = await set.stack({ gateways: 3, env: { MAX_STREAMS: 5000, STREAM_RATE: 0 } });
    const nodes = set.shards.map(shard => shard.nodes[0]);
    const bus = { command: (name, argv) => nodes[name.startsWith('a') ? 0 : 1].command(argv) };
    const count = histories.length * IDS.length * 2;
    const [as, bs] = [inShard(set, 0, count, 'a'), inShard(set, 1, count, 'b')];
    const cells = histories.flatMap(history => IDS.flatMap(id => [false, true].map(then =>
        new Cell(bus, { names: [as.pop(), bs.pop()], id, history, then }))));
    const now = async () => Math.max(...await Promise.all(nodes.map(async node => {
        const [seconds, us] = await node.command(['TIME']);
        return Number(seconds) * 1000 + Math.floor(Number(us) / 1000);
    })));
    const names = cells.flatMap(cell => cell.names), holders = [];
    while (names.length !== 0)
        holders.push(await openStream(`${s.gw[SAME].url}/subscribe?${names.splice(0, 50).map(name => `channel=${name}`).join('&')}`));
    await Promise.all(holders.map(holder => holder.nextFrame()));
    await runRounds(cells, now, s.gw[1], async i => {
        if (i === 4) // what follows is seen, too, and what came before is older than the margin
            await quiet(MARGIN_MS);
        if (i === save)
            await nodes[1].command(['SAVE']);
    });
    return { set, s, cells, nodes, end: async () => {
        holders.forEach(holder => holder.close());
        await s.stop();
        await set.stop();
    }, restart: async () => {
        await s.gw[RESTARTED].kill('SIGTERM');
        await s.gw[RESTARTED].start();
    } };
}

const follow = cells => Promise.all(cells.filter(cell => cell.then).flatMap(cell => cell.names.map(name => cell.publish(name, `then ${name}`))));

test('histories that are whole, trimmed, deleted, evicted in one shard', async () => {
    const drop = {
        whole: () => [],
        trimmed: name => [['XTRIM', `{sse:${name}}:log`, 'MAXLEN', '=', '1']],
        deleted: name => [['DEL', `{sse:${name}}:log`]],
        evicted: name => (name.startsWith('b') ? [['UNLINK', `{sse:${name}}:log`]] : []),
    };
    const { s, cells, restart, end } = await prepare(Object.keys(drop));
    for (const cell of cells)
        for (const name of cell.names)
            for (const argv of drop[cell.history](name))
                await cell.bus.command(name, argv);
    await restart();
    await follow(cells);
    await resumeAll(cells, s.gw, ({ known, lost, name, gateway }) =>
        (!known ? 'must' : !lost.has(name) ? 'no' : gateway === s.gw[SAME] ? 'may' : 'must'), () => s.gw[1],
    { toldAgain: true }); // the id of one shard's gap is within the margin of what is lost in the other
    await end();
});

test('one shard was emptied: only its channels are concerned', async () => {
    const { s, cells, nodes, restart, end } = await prepare(['emptied']);
    await nodes[1].command(['FLUSHALL']);
    await until('the birth is noted', async () => (await nodes[1].command(['KEYS', '{sse:!born.*'])).length === 1);
    await restart();
    await follow(cells);
    await resumeAll(cells, s.gw, ({ known, lost, name, gateway }) => {
        if (!known)
            return 'must';
        if (name.startsWith('a'))
            return lost.has(name) ? 'must' : 'no';
        return gateway !== s.gw[SAME] ? 'must' : 'may';
    }, gateway => (gateway === s.gw[SAME] ? gateway : s.gw[1]));
    await end();
});

test('one shard was restarted from an older state', async () => {
    const { set, s, cells, nodes, restart, end } = await prepare(['older'], { save: 6 });
    await nodes[1].kill('SIGKILL');
    await nodes[1].start();
    await set.settled();
    await Promise.all([...s.gw, ...s.pub].map(program => program.waitReady()));
    await restart();
    await follow(cells);
    const count = await resumeAll(cells, s.gw, ({ known, lost, name, gateway }) => {
        if (!known)
            return 'must';
        if (name.startsWith('a'))
            return lost.has(name) ? 'must' : 'no';
        return !lost.has(name) ? 'may' : gateway === s.gw[SAME] ? 'must' : 'unrecorded';
    }, () => s.gw[1]);
    assert.equal(count, IDS.length * 2 * 3);
    await end();
});
