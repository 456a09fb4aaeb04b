// A Redis Cluster of real redis-servers on free ports: shards of one primary and its replicas, all slots shared out evenly.
//
//     const set = await ClusterSet.start({ shards: 3, replicas: 1 });
//     const s = await set.stack({ gateways: 2 });          // Stack.start() on it, ready
//     set.nodes[i], set.shards[k].nodes                    kill(), start(), pause(), resume(), command([…]), info(section)
//     await set.primary(k), await set.replica(k)           the nodes that are it now
//     await set.shardOf('news'), await set.nodeOf('news')  who has the channel now; slotOf('news'), which slot it is in
//     await set.moveSlot(slot, k), set.moveSlots([…], k)   with the keys, as redis-cli reshards; or beginMove(), moveKeys(), endMove(), cancelMove()
//     await set.failover(k), await set.moved(k, old)       CLUSTER FAILOVER; another primary than `old`, after a fault
//     await set.addShard(), await set.removeShard(k)       one more, without slots; one that has none any more
//     await set.cli('rebalance', …)                        redis-cli --cluster rebalance …, as an operator types it
//     await set.spublishes()                               SPUBLISHes that each shard's primary ran
import { execFile } from 'node:child_process';
import { after } from 'node:test';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Redis } from './redis.mjs';
import { Stack, tempFolder, until } from './stack.mjs';

export const SLOTS = 16384;
const HOST = '127.0.0.1';
const MIGRATE_MS = 10000;

// CRC-16/XMODEM, as the cluster specification has it.
function crc16(text) {
    let crc = 0;
    for (const byte of Buffer.from(text)) {
        crc ^= byte << 8;
        for (let i = 0; i < 8; ++i)
            crc = (crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1) & 0xffff;
    }
    return crc;
}

// Of the channel's keys. (No channel name has the braces of a hash tag.)
export const slotOf = channel => crc16(`sse:${channel}`) % SLOTS;

// Channel names PREFIX-0, PREFIX-1, … of which the first `count` lie in slots that `wanted` says yes to.
export function channelsIn(wanted, count = 1, prefix = 'c') {
    const names = [];
    for (let i = 0; names.length < count; ++i)
        if (wanted(slotOf(`${prefix}-${i}`)))
            names.push(`${prefix}-${i}`);
    return names;
}

const taken = new Set();

// Below the ports that the kernel gives to outgoing connections: a node that was killed finds it free when it comes back.
async function quietPort(host) {
    for (;;) {
        const port = 12000 + Math.floor(Math.random() * 20000);
        const free = !taken.has(port) && await new Promise(done => {
            const server = createServer();
            server.on('error', () => done(false));
            server.listen(port, host, () => server.close(() => done(true)));
        });
        taken.add(port);
        if (free)
            return port;
    }
}

export class ClusterNode extends Redis {
    paused = false;

    get answers() {
        return this.running && !this.paused;
    }

    pause() {
        this.paused = true;
        super.pause();
    }

    resume() {
        super.resume();
        this.paused = false;
    }

    async start() {
        await super.start();
        this.id = await this.command(['CLUSTER', 'MYID']);
    }

    // {name: value} of a section of INFO, or of CLUSTER INFO.
    async info(section) {
        const text = await this.command(section === 'cluster' ? ['CLUSTER', 'INFO'] : ['INFO', section]);
        return Object.fromEntries([...text.matchAll(/^([\w|]+):(.*?)\r?$/gm)].map(([, name, value]) => [name, value]));
    }

    // What it knows of all nodes: [{id, port, flags, primary: id or '-', epoch, link, slots: [[first, last], …]}]; the slots without those on their way.
    async view() {
        const text = await this.command(['CLUSTER', 'NODES']);
        return text.trim().split('\n').map(line => {
            const [id, address, flags, primary, , , epoch, link, ...slots] = line.split(' ');
            return { id, port: Number(/:(\d+)@/.exec(address)[1]), flags: flags.split(','), primary, epoch: Number(epoch), link,
                slots: slots.filter(part => !part.startsWith('[')).map(part => part.split('-').map(Number)).map(([first, last = first]) => [first, last]) };
        });
    }

    // Calls of a command since it started or CONFIG RESETSTAT.
    async calls(command) {
        const stats = await this.info('commandstats');
        return Number(/calls=(\d+)/.exec(stats[`cmdstat_${command}`] ?? 'calls=0')[1]);
    }
}

export class ClusterSet {
    // nodeTimeout: cluster-node-timeout, ms; redis: settings of each redis-server; tls: {cert, key, ca} for all of them, and no plain port; password: that of the default user;
    // fullCoverage: what cluster-require-full-coverage says; at: i => ({host, wrap}), the address of node i and what goes before its command line.
    // Nodes 0 … shards-1 begin as the primaries, shard by shard; their replicas follow in the same order.
    static async start(options = {}) {
        const set = new ClusterSet(options);
        after(() => set.stop());
        await set.#run();
        return set;
    }

    constructor({ shards = 3, replicas = 1, nodeTimeout = 1500, redis = {}, tls = null, password = null, fullCoverage = false, at = () => ({}) } = {}) {
        Object.assign(this, { shardCount: shards, replicaCount: replicas, nodeTimeout, redis, tls, password, fullCoverage, at });
        this.folder = tempFolder();
        this.nodes = [];
        this.shards = [];
    }

    async #run() {
        for (let i = 0; i < this.shardCount; ++i)
            this.shards.push({ nodes: [await this.#startNode()] });
        for (let i = 0; i < this.shardCount * this.replicaCount; ++i)
            this.shards[i % this.shardCount].nodes.push(await this.#startNode());
        for (const [i, node] of this.nodes.entries())
            await node.command(['CLUSTER', 'SET-CONFIG-EPOCH', i + 1]); // each another one: they needn't settle that first
        await this.#meet(this.nodes);
        for (const [i, { nodes: [primary] }] of this.shards.entries())
            await primary.command(['CLUSTER', 'ADDSLOTSRANGE', ...this.range(i)]);
        for (const { nodes: [primary, ...replicas] } of this.shards)
            await this.#follow(primary, replicas);
        await this.settled();
    }

    // First and last slot of what shard `i` of those at the start begins with.
    range(i) {
        const bound = k => Math.round(k * SLOTS / this.shardCount);
        return [bound(i), bound(i + 1) - 1];
    }

    async #startNode() {
        const i = this.nodes.length;
        const { host = HOST, wrap = [] } = this.at(i);
        const [port, bus] = [await quietPort(host === HOST ? host : '0.0.0.0'), await quietPort(host === HOST ? host : '0.0.0.0')];
        const node = new ClusterNode(join(this.folder, `node-${i}`), { bind: host, 'protected-mode': 'no', 'cluster-enabled': 'yes', 'cluster-port': bus,
            'cluster-announce-ip': host, 'cluster-node-timeout': this.nodeTimeout, 'cluster-require-full-coverage': this.fullCoverage ? 'yes' : 'no',
            'cluster-allow-replica-migration': 'no', 'repl-diskless-sync-delay': 0, 'repl-timeout': 5, 'repl-ping-replica-period': 1,
            ...(this.password ? { requirepass: this.password, masterauth: this.password } : {}),
            ...(this.tls ? this.#tlsSettings(port) : { port }), ...this.redis });
        Object.assign(node, { name: `redis ${i}`, host, port, bus, argv: [...wrap, ...node.argv] });
        this.nodes.push(node);
        await node.start();
        return node;
    }

    #tlsSettings(port) {
        const { cert, key, ca } = this.tls;
        return { port: 0, 'tls-port': port, 'tls-cert-file': cert, 'tls-key-file': key, 'tls-ca-cert-file': ca, 'tls-auth-clients': 'no', 'tls-replication': 'yes', 'tls-cluster': 'yes' };
    }

    // Each of `nodes` is introduced to all: quicker than gossip.
    async #meet(nodes) {
        for (const node of nodes)
            for (const other of this.nodes.filter(one => one !== node && one.answers))
                await node.command(['CLUSTER', 'MEET', other.host, other.port, other.bus]);
        const ids = this.nodes.filter(node => node.answers).map(node => node.id);
        await this.#everyView('all nodes know each other', view => ids.every(id => view.some(one => one.id === id && one.link === 'connected' && !one.flags.includes('handshake'))));
    }

    async #follow(primary, replicas) {
        for (const replica of replicas)
            await replica.command(['CLUSTER', 'REPLICATE', primary.id]);
        await this.inStep(primary, replicas.length);
    }

    #everyView(what, good, { ms = 30000, but = null } = {}) {
        return until(what, async () => (await Promise.all(this.nodes.filter(node => node.answers && node !== but).map(node => node.view()))).every(good), ms);
    }

    // `count` replicas follow the primary, and have told how far they are.
    inStep(primary, count = this.replicaCount) {
        return until(`${count} replicas of ${primary.name} are in step`, async () =>
            ((await primary.command(['INFO', 'replication'])).match(/state=online,offset=[1-9]/g) ?? []).length >= count, 30000);
    }

    // Every node that runs says that all is well, they agree on the slots, and the replicas of each shard that run follow its primary.
    async settled() {
        const ports = new Set(this.nodes.filter(node => node.answers).map(node => node.port));
        await until('the cluster is well', async () => (await Promise.all(this.nodes.filter(node => node.answers).map(node => node.info('cluster')))).every(info =>
            info.cluster_state === 'ok' && Number(info.cluster_slots_assigned) === SLOTS && info.cluster_slots_fail === '0' && info.cluster_slots_pfail === '0'), 30000);
        await this.#everyView('nobody suspects anybody', view => view.every(one => !ports.has(one.port) || !one.flags.some(flag => flag.startsWith('fail'))));
        await this.#agreed();
        for (const { nodes } of this.shards) {
            const running = nodes.filter(node => node.answers);
            if (running.length > 1)
                await this.inStep(await this.#primaryOf(nodes), running.length - 1);
        }
    }

    // Before a failover, above all: a replica that has not heard yet which slots its primary gave away is refused.
    #agreed() {
        const slots = view => JSON.stringify(view.filter(one => one.slots.length !== 0).map(one => [one.id, one.slots]).sort());
        return until('all agree who has which slot', async () => {
            const views = await Promise.all(this.nodes.filter(node => node.answers).map(node => node.view()));
            return new Set(views.map(slots)).size === 1;
        }, 30000);
    }

    url(nodes = this.shards.map(shard => shard.nodes[0])) {
        return `${this.tls ? 'rediss' : 'redis'}-cluster://${nodes.map(node => `${node.host}:${node.port}`).join(',')}`;
    }

    // What both programs need to use it; Stack.start() puts each one's user into the URL.
    env() {
        return { REDIS_URL: this.url(), ...(this.tls ? { REDIS_CA: this.tls.ca } : {}) };
    }

    // The data of all shards counts as a day old, so that streams which resume in their first seconds can prove that nothing is missing.
    async #grown() {
        const map = await this.map();
        await Promise.all(Array.from({ length: 24 }, (_, i) => `!born.${i}`).map(name =>
            map[slotOf(name)]?.command(['SET', `{sse:${name}}`, Date.now() - 86400000])));
    }

    // Stack.start() on this set.
    async stack({ grown = true, ...options } = {}) {
        if (grown)
            await this.#grown();
        const s = await Stack.start({ ...options, ready: false, redis: { start: false, ...(this.password ? { requirepass: this.password } : {}) }, env: { ...this.env(), ...options.env } });
        if (options.ready !== false)
            await Promise.all([...s.gw, ...s.pub].map(program => program.waitReady()));
        return s;
    }

    // What each node that answers says of itself, as view() has it, and the node.
    async #selves() {
        return Promise.all(this.nodes.filter(node => node.answers).map(async node => ({ node, ...(await node.view()).find(one => one.flags.includes('myself')) })));
    }

    // The node for each slot, undefined where nobody that answers has it. Of two that say so the one of the higher epoch is right.
    async map() {
        const slots = Array(SLOTS).fill(undefined);
        for (const self of (await this.#selves()).filter(one => one.flags.includes('master')).sort((a, b) => a.epoch - b.epoch))
            for (const [first, last] of self.slots)
                slots.fill(self.node, first, last + 1);
        return slots;
    }

    async #primaryOf(nodes) {
        const [best] = (await this.#selves()).filter(one => nodes.includes(one.node) && one.flags.includes('master')).sort((a, b) => b.epoch - a.epoch);
        return best?.node;
    }

    primary(shard) {
        return this.#primaryOf(this.shards[shard].nodes);
    }

    // One that runs.
    async replica(shard) {
        const primary = await this.primary(shard);
        return this.shards[shard].nodes.find(node => node !== primary && node.answers);
    }

    // The node that has the channel now.
    async nodeOf(channel) {
        return (await this.map())[slotOf(channel)];
    }

    async shardOf(channel) {
        const node = await this.nodeOf(channel);
        return this.shards.findIndex(({ nodes }) => nodes.includes(node));
    }

    // Both ends say that the slot is on its way: from now on the source answers ASK for keys that it has not.
    async beginMove(slot, to) {
        const [from, target] = [(await this.map())[slot], await this.primary(to)];
        await this.#begin({ slot, from, target });
        return { slot, from, target };
    }

    async #begin({ slot, from, target }) {
        await target.command(['CLUSTER', 'SETSLOT', slot, 'IMPORTING', from.id]);
        await from.command(['CLUSTER', 'SETSLOT', slot, 'MIGRATING', target.id]);
    }

    // Moves at most `most` of its keys; how many it did.
    async moveKeys({ slot, from, target }, most = Infinity) {
        let count = 0;
        while (count < most) {
            const keys = await from.command(['CLUSTER', 'GETKEYSINSLOT', slot, Math.min(100, most - count)]);
            if (keys.length === 0)
                break;
            await from.command(['MIGRATE', target.host, target.port, '', 0, MIGRATE_MS, 'REPLACE', ...(this.password ? ['AUTH', this.password] : []), 'KEYS', ...keys]);
            count += keys.length;
        }
        return count;
    }

    // The target is the slot's owner; all hear it, as redis-cli does it: the target first, so that the slot is never without one.
    async endMove({ slot, from, target }, tell = null) {
        const primaries = tell ?? await this.#primaries();
        for (const node of new Set([target, from, ...primaries]))
            await node.command(['CLUSTER', 'SETSLOT', slot, 'NODE', target.id]);
    }

    // Neither moves it any more. The keys have to be at the source.
    async cancelMove({ slot, from, target }) {
        for (const node of [from, target])
            await node.command(['CLUSTER', 'SETSLOT', slot, 'STABLE']);
    }

    async #primaries() {
        return (await this.#selves()).filter(one => one.flags.includes('master')).map(one => one.node);
    }

    moveSlot(slot, to) {
        return this.moveSlots([slot], to);
    }

    // One after the other; how many keys moved along. `each` is called before each one.
    async moveSlots(slots, to, each = () => {}) {
        const [map, target, primaries] = [await this.map(), await this.primary(to), await this.#primaries()];
        let keys = 0;
        for (const slot of slots) {
            await each(slot);
            const move = { slot, from: map[slot], target };
            await this.#begin(move);
            keys += await this.moveKeys(move);
            await this.endMove(move, primaries);
        }
        return keys;
    }

    // Waits until every node that answers, bar `old`, takes another one than `old` for the shard's primary, and that one says so too; returns it.
    async moved(shard, old, ms = 30000) {
        let next;
        await until(`another primary of shard ${shard}`, async () => {
            next = await this.primary(shard);
            return next !== undefined && next !== old && (await next.info('cluster')).cluster_state === 'ok';
        }, ms);
        await this.#everyView(`all know the new primary of shard ${shard}`, view =>
            view.find(one => one.id === next.id)?.flags.includes('master') && !(view.find(one => one.id === old.id)?.slots.length > 0), { ms, but: old });
        return next;
    }

    // how: [], ['FORCE'] or ['TAKEOVER']. Returns the new primary.
    async failover(shard, ...how) {
        await this.#agreed();
        const [old, replica] = [await this.primary(shard), await this.replica(shard)];
        await replica.command(['CLUSTER', 'FAILOVER', ...how]);
        return this.moved(shard, old);
    }

    // A primary without slots, and its replicas; its number.
    async addShard() {
        const nodes = [];
        for (let i = 0; i <= this.replicaCount; ++i) {
            nodes.push(await this.#startNode());
            await this.#meet([nodes[i]]);
        }
        await this.#follow(nodes[0], nodes.slice(1));
        this.shards.push({ nodes });
        await this.settled(); // until then it takes no keys
        return this.shards.length - 1;
    }

    // Takes a shard away that has no slots left; the numbers of those behind it change.
    async removeShard(shard) {
        const [{ nodes }] = this.shards.splice(shard, 1);
        for (const node of [...nodes].reverse()) {
            await this.cli('del-node', node.id); // the others forget it, and it them
            await node.kill('SIGTERM');
        }
        await this.settled();
    }

    cli(command, ...args) {
        const [{ host, port }] = this.nodes.filter(node => node.answers);
        const tls = this.tls ? ['--tls', '--cacert', this.tls.ca] : [];
        const auth = this.password ? ['--no-auth-warning', '-a', this.password] : [];
        return new Promise((resolve, reject) => {
            execFile('redis-cli', [...tls, ...auth, '--cluster', command, `${host}:${port}`, ...args], { maxBuffer: 64 << 20 },
                (error, stdout, stderr) => (error ? reject(new Error(`redis-cli --cluster ${command}: ${stdout.slice(-2000)}${stderr}`)) : resolve(stdout)));
        });
    }

    resetStats() {
        return Promise.all(this.nodes.filter(node => node.answers).map(node => node.command(['CONFIG', 'RESETSTAT'])));
    }

    // How many SPUBLISHes each shard's primary ran, since it started or resetStats(). (Its replicas are told in another way, and count none.)
    async spublishes() {
        return Promise.all(this.shards.map(async (_, shard) => (await this.primary(shard)).calls('spublish')));
    }

    // Waits until `count` connections are subscribed to the channel where it is: what is published from now on reaches them all.
    async subscribed(channel, count = 1) {
        await until(`${count} subscribed to sse:${channel}`, async () => {
            const node = await this.nodeOf(channel);
            return node !== undefined && (await node.command(['PUBSUB', 'SHARDNUMSUB', `sse:${channel}`]))[1] === count;
        });
    }

    stop() {
        return (this.stopped ??= this.#stop());
    }

    async #stop() {
        const wrong = (await Promise.all(this.nodes.map(node => node.end()))).filter(fault => fault !== null);
        if (wrong.length !== 0)
            throw new Error(wrong.join('\n'));
    }
}
