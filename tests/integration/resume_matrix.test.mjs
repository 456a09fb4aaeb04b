// The resume matrix: whatever id a client comes back with, whatever became of the history meanwhile, and to whichever gateway: events that are kept arrive, lost ones are told, nothing else is
// told. Channels in several shards: resume_matrix_cluster.test.mjs.
//
// Cells that are left out ("unrecorded"), each since no record is left anywhere by which a gateway could know:
// * Redis restarted from an older state, and the client's own id is still in it (or is a time): events that Redis had acknowledged and lost are known to nobody, but to a gateway that had seen
//   them. That one tells.
// * An author's id that was used twice, whose first event is gone: it stands for the second.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack, until } from './stack.mjs';
import { openStream } from './sse.mjs';
import { Cell, IDS, LOST, resumeAll, runRounds } from './resume_matrix.mjs';

const SAME = 0, RESTARTED = 2;

// Gateway 0 has a listener on every channel all the time, gateway 1 has none, gateway 2 is started anew before the clients come back.
async function prepare(histories, { save, ids = IDS } = {}) {
    const s = await Stack.start({ gateways: 3, publishers: 1, env: { MAX_STREAMS: 5000, STREAM_RATE: 0 } });
    const bus = { command: (name, argv) => s.redis.command(argv) };
    const now = async () => {
        const [seconds, us] = await s.redis.command(['TIME']);
        return Number(seconds) * 1000 + Math.floor(Number(us) / 1000);
    };
    const cells = [];
    for (const history of histories)
        for (const id of ids)
            for (const then of [false, true])
                for (const several of [false, true]) {
                    const name = `m${cells.length}`;
                    cells.push(new Cell(bus, { names: several ? [`${name}a`, `${name}b`] : [`${name}a`], id, history, then, ttl: history === 'expired' ? 1 : undefined }));
                }
    const holders = [];
    const names = cells.flatMap(cell => cell.names);
    while (names.length !== 0)
        holders.push(await openStream(`${s.gw[SAME].url}/subscribe?${names.splice(0, 50).map(name => `channel=${name}`).join('&')}`));
    await Promise.all(holders.map(holder => holder.nextFrame()));
    await runRounds(cells, now, s.gw[1], i => i === save && s.redis.command(['SAVE']));
    return { s, cells, holders, restart: async () => {
        await s.gw[RESTARTED].kill('SIGTERM');
        await s.gw[RESTARTED].start();
    } };
}

const follow = cells => Promise.all(cells.filter(cell => cell.then).flatMap(cell => cell.names.map(name => cell.publish(name, `then ${name}`))));

const drop = {
    whole: () => [],
    trimmed: cell => cell.names.map(name => ['XTRIM', `{sse:${name}}:log`, 'MAXLEN', '=', '1']),
    expired: () => [],
    deleted: cell => cell.names.map(name => ['DEL', `{sse:${name}}:log`]),
    evicted: cell => [['UNLINK', `{sse:${cell.names.at(-1)}}:log`]], // of the last channel only
};

test('histories that are whole, trimmed, expired, deleted, evicted', async () => {
    const { s, cells, holders, restart } = await prepare(Object.keys(drop));
    for (const cell of cells)
        for (const argv of drop[cell.history](cell))
            await s.redis.command(argv);
    for (const name of cells.filter(cell => cell.history === 'expired').flatMap(cell => cell.names))
        await until(`${name} has expired`, async () => await s.redis.command(['EXISTS', `{sse:${name}}:log`]) === 0);
    cells.forEach(cell => cell.ttl = undefined); // what follows stays
    await restart();
    await follow(cells);
    const count = await resumeAll(cells, s.gw, ({ known, lost, name, gateway }) => {
        if (!known)
            return 'must';
        // one with a listener may have the events in memory yet, for a second
        return !lost.has(name) ? 'no' : gateway === s.gw[SAME] ? 'may' : 'must';
    }, () => s.gw[1]);
    assert.equal(count, 5 * IDS.length * 2 * 2 * 3);
    holders.forEach(holder => holder.close());
});

test('Redis was emptied', async () => {
    const { s, cells, holders, restart } = await prepare(['emptied']);
    await s.redis.command(['FLUSHALL']);
    await restart();
    await follow(cells);
    // nobody but the one that has heard all can tell what was lost
    await resumeAll(cells, s.gw, ({ known, lost, name, gateway }) => (gateway !== s.gw[SAME] || !known ? 'must' : lost.has(name) ? 'may' : 'no'),
        gateway => (gateway === s.gw[SAME] ? gateway : s.gw[1])); // what it has heard is nowhere else
    holders.forEach(holder => holder.close());
});

// What came after round `save` is lost. A position that should be there and is not tells it, in all channels.
async function older(save, isPosition) {
    const { s, cells, holders, restart } = await prepare(['older'], { save, ids: [...IDS, LOST] });
    await s.redis.kill('SIGKILL');
    await s.redis.start();
    await Promise.all(s.gw.map(gw => gw.waitReady()));
    await until('the listeners are back', async () => (await s.redis.command(['PUBSUB', 'CHANNELS', 'sse:m*'])).length === cells.flatMap(cell => cell.names).length);
    await restart();
    await follow(cells);
    await resumeAll(cells, s.gw, ({ known, lost, name, gateway, cell }) => {
        if (!known || isPosition(cell))
            return gateway === s.gw[SAME] && !lost.has(name) && known ? 'may' : 'must';
        if (!lost.has(name))
            return 'may';
        return gateway === s.gw[SAME] ? 'must' : 'unrecorded';
    }, () => s.gw[1]);
    holders.forEach(holder => holder.close());
}

test('Redis was restarted from an older state, which has the first events', () => older(5, cell => cell.kind === LOST));

test('Redis was restarted from an older state, which has no event', () =>
    older(0, cell => [LOST, 'event'].includes(cell.kind) || (cell.kind === 'place' && cell.names.length === 1)));
