// A primary with replicas, and the sentinels that watch over them, on free ports.
//
//     const set = await SentinelSet.start({ replicas: 2, sentinels: 3 });
//     const s = await set.stack({ gateways: 2 });      // Stack.start() on it, ready
//     set.nodes[i], set.sentinels[i]                   kill(), start(), pause(), resume(), command([…])
//     await set.primary()                              the node that the sentinels name
//     await set.failover()                             SENTINEL FAILOVER, until another one is the primary; kill() and the like first where it is a fault
import { after } from 'node:test';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Proc } from './process.mjs';
import { Redis, RespClient } from './redis.mjs';
import { Stack, freePort, tempFolder, until } from './stack.mjs';

export const NAME = 'events';
const HOST = '127.0.0.1';

export class Sentinel extends Proc {
    #client = null;

    constructor(folder, name, port, lines, { password = null, host = HOST, wrap = [] } = {}) {
        mkdirSync(folder, { recursive: true });
        const file = join(folder, 'sentinel.conf');
        writeFileSync(file, [`bind ${host}`, 'protected-mode no', 'logfile ""', `dir ${folder}`, `unixsocket ${join(folder, 'sentinel.sock')}`, ...lines].join('\n'));
        super(name, [...wrap, 'redis-server', file, '--sentinel']);
        Object.assign(this, { host, port, password, socket: join(folder, 'sentinel.sock') });
    }

    async start() {
        this.spawn();
        await this.wait(`${this.name} answers`, () => this.command(['PING']).then(text => text === 'PONG', () => false));
    }

    async kill(signal = 'SIGKILL', ms) {
        this.#client?.close();
        this.#client = null;
        return super.kill(signal, ms);
    }

    async command(argv) {
        if (this.#client === null || this.#client.closed) {
            this.#client = new RespClient(this.socket);
            this.#client.socket.unref();
            if (this.password)
                await this.#client.command(['AUTH', this.password]);
        }
        return this.#client.command(argv);
    }

    // {name: value} of what it knows of the primary.
    async knows() {
        const flat = await this.command(['SENTINEL', 'MASTER', NAME]);
        return Object.fromEntries(Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]]));
    }
}

export class SentinelSet {
    // at: i => ({host, wrap}), the address of node i, or of the sentinels for undefined, and what goes before their command line; redis: settings of each redis-server; sentinel: lines of each sentinel.conf; sentinels: 0: nodes[0] stays the primary; tls: {cert, key, ca} for all of them, and no plain port; password: the sentinels'.
    static async start(options = {}) {
        const set = new SentinelSet(options);
        after(() => set.stop());
        await set.#run();
        return set;
    }

    constructor({ replicas = 2, sentinels = 3, downAfter = 1000, redis = {}, sentinel = [], tls = null, password = null, at = () => ({}) }) {
        Object.assign(this, { count: 1 + replicas, sentinelCount: sentinels, downAfter, redis, sentinel, tls, password, at });
        this.folder = tempFolder();
        this.nodes = [];
        this.sentinels = [];
        this.strangers = [];
    }

    async #run() {
        for (let i = 0; i < this.count; ++i)
            await this.#startNode(i);
        await this.#inStep(this.nodes[0], this.count - 1);
        for (let i = 0; i < this.sentinelCount; ++i)
            await this.#startSentinel(i);
        await this.settled();
    }

    #tlsSettings(port) {
        const { cert, key, ca } = this.tls;
        return { port: 0, 'tls-port': port, 'tls-cert-file': cert, 'tls-key-file': key, 'tls-ca-cert-file': ca, 'tls-auth-clients': 'no', 'tls-replication': 'yes' };
    }

    async #startNode(i) {
        const port = await freePort();
        const { host = HOST, wrap = [] } = this.at(i);
        const node = new Redis(join(this.folder, `node-${i}`), { bind: host, 'protected-mode': 'no', 'repl-diskless-sync-delay': 0, 'repl-timeout': 5, 'repl-ping-replica-period': 1,
            ...(this.tls ? this.#tlsSettings(port) : { port }), ...this.redis });
        Object.assign(node, { name: `redis ${i}`, host, port, argv: [...wrap, ...node.argv] });
        this.nodes.push(node);
        await node.start();
        if (i !== 0)
            await node.command(['REPLICAOF', this.nodes[0].host, String(this.nodes[0].port)]);
    }

    // One that is no part of the set: it watches over `node` alone. Under another name it takes no notice of what the others say.
    async stranger(node, name = NAME) {
        const port = await freePort();
        const sentinel = new Sentinel(join(this.folder, `stranger-${port}`), `stranger ${port}`, port, [`port ${port}`,
            `sentinel monitor ${name} ${node.host} ${node.port} 9`, `sentinel down-after-milliseconds ${name} 60000`]);
        this.strangers.push(sentinel);
        await sentinel.start();
        return sentinel;
    }

    async #startSentinel(i) {
        const port = await freePort();
        const own = this.tls ? Object.entries(this.#tlsSettings(port)).map(pair => pair.join(' ')) : [`port ${port}`];
        const lines = [...own, `sentinel monitor ${NAME} ${this.nodes[0].host} ${this.nodes[0].port} ${Math.floor(this.sentinelCount / 2) + 1}`,
            `sentinel down-after-milliseconds ${NAME} ${this.downAfter}`, `sentinel failover-timeout ${NAME} 6000`, `sentinel parallel-syncs ${NAME} 2`,
            ...(this.password ? [`requirepass ${this.password}`, `sentinel sentinel-pass ${this.password}`] : []), ...this.sentinel];
        const sentinel = new Sentinel(join(this.folder, `sentinel-${i}`), `sentinel ${i}`, port, lines, { password: this.password, ...this.at() });
        this.sentinels.push(sentinel);
        await sentinel.start();
    }

    // Every sentinel that runs knows each other, and all nodes, and nothing is amiss: a failover would go the usual way.
    async settled() {
        await until('the sentinels know all', async () => {
            const all = await Promise.all(this.sentinels.filter(one => one.running).map(one => one.knows()));
            return all.every(one => one.flags === 'master' && Number(one['num-other-sentinels']) === this.sentinelCount - 1 &&
                Number(one['num-slaves']) === this.count - 1);
        }, 30000);
        await this.inStep(this.nodes.filter(node => node.running).length - 1);
    }

    // At least `count` replicas follow the primary, and have told how far they are.
    async inStep(count = 1) {
        await this.#inStep(await this.primary(), count);
    }

    #inStep(primary, count) {
        return until(`${count} replicas are in step`, async () =>
            ((await primary.command(['INFO', 'replication'])).match(/state=online,offset=[1-9]/g) ?? []).length >= count, 30000);
    }

    url(sentinels = this.sentinels, name = NAME) {
        if (this.sentinelCount === 0)
            return `redis://${this.nodes[0].host}:${this.nodes[0].port}`;
        return `${this.tls ? 'rediss' : 'redis'}-sentinel://${sentinels.map(one => `${one.host ?? HOST}:${one.port}`).join(',')}/${name}`;
    }

    async primary() {
        if (this.sentinelCount === 0)
            return this.nodes[0];
        for (const sentinel of this.sentinels)
            if (sentinel.running) {
                const [, port] = await sentinel.command(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME]);
                return this.nodes.find(node => node.port === Number(port));
            }
        throw new Error('no sentinel runs');
    }

    async replicas() {
        const primary = await this.primary();
        return this.nodes.filter(node => node !== primary);
    }

    // Waits until all sentinels that run name another primary than `old`, and that one says so too; returns it.
    async moved(old, ms = 30000) {
        let next;
        await until('another primary', async () => {
            next = await this.primary();
            const named = await Promise.all(this.sentinels.filter(one => one.running).map(one => one.command(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME])));
            return next !== old && named.every(([, port]) => Number(port) === next.port) && (await next.command(['ROLE']))[0] === 'master';
        }, ms);
        return next;
    }

    // Of the newest failover that a sentinel knows of; each failover has a higher one.
    async epoch() {
        const masters = await Promise.all(this.sentinels.filter(one => one.running).map(one => one.command(['SENTINEL', 'MASTER', NAME])));
        return Math.max(...masters.map(fields => Number(fields[fields.indexOf('config-epoch') + 1])));
    }

    async failover() {
        const old = await this.primary();
        await this.sentinels.find(one => one.running).command(['SENTINEL', 'FAILOVER', NAME]);
        return this.moved(old);
    }

    // Stack.start() on this set.
    async stack(options = {}) {
        const s = await Stack.start({ ...options, ready: false, redis: { start: false }, env: { REDIS_URL: this.url(), ...options.env } });
        if (options.ready !== false)
            await Promise.all([...s.gw, ...s.pub].map(program => program.waitReady()));
        return s;
    }

    async subscribed(channel, count = 1) {
        return (await this.primary()).subscribed(channel, count);
    }

    stop() {
        return (this.stopped ??= this.#stop());
    }

    async #stop() {
        const faults = [];
        for (const proc of [...this.strangers, ...this.sentinels, ...this.nodes])
            faults.push(await proc.end());
        const wrong = faults.filter(fault => fault !== null);
        if (wrong.length !== 0)
            throw new Error(wrong.join('\n'));
    }
}
