// One entry for each system: what is started, where its streams are, how events get in, whose CPU and memory count.
//
//     const system = await start('nchan');
//     system.address, path, reader     where `bench read` connects, and its options
//     system.publish                   the options of `bench publish`
//     system.pids()                    the server's processes
//     await system.subscribed(n)       n channels are heard from the bus, where there is one
//     system.freshTokens(n)            of our own: see Gateway
//     await system.stop()
//
// One worker: the server alone on core 0; Redis and the load programs on core 1. With two workers nothing is placed.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT, Redis, Server, certificate, freePort, tempFolder, until } from '../integration/stack.mjs';
import { Proc } from '../integration/process.mjs';
import { family } from './measure.mjs';
import { PER_CONNECTION } from './plan.mjs';
import { BENCH, CLIENT_CORE, DESCRIPTORS, SERVER_CORE, flags, place } from './programs.mjs';
import { Tokens } from './tokens.mjs';

const PEERS = fileURLToPath(new URL('peers', import.meta.url));
const NCHAN = '/usr/lib/nginx/modules/ngx_nchan_module.so';
const START_MS = 30000;

// The peer's settings file with its @NAMES@ filled in.
function fill(name, folder, values) {
    const text = readFileSync(join(PEERS, name), 'utf8').replace(/@([A-Z]+)@/g, (_, key) => {
        if (values[key] === undefined)
            throw new Error(`peers/${name}: nothing for @${key}@`);
        return values[key];
    });
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
}

async function answers(url, options) {
    try {
        const response = await fetch(url, { signal: AbortSignal.timeout(1000), ...options });
        await response.body?.cancel();
        return response.status;
    } catch {
        return null;
    }
}

// Servers with processes of their own (nginx, Pushpin) are asked to end when this process is killed, and must not outlive its end.
const LEASH = ['setpriv', '--pdeathsig', 'TERM', '--'];
const running = new Set();
process.prependListener('exit', () => {
    for (const pid of [...running].flatMap(system => system.pids()))
        process.kill(pid, 'SIGKILL');
});

class System {
    path = '/sub/bench-%d';
    reader = {};
    pattern = null; // of the channels in Redis that are heard
    #procs = [];

    constructor(name, { workers = 1, pinned = workers === 1 } = {}) {
        Object.assign(this, { name, workers, serverCore: pinned ? SERVER_CORE : null, clientCore: pinned ? CLIENT_CORE : null });
        this.folder = tempFolder();
        this.servers = [];
        running.add(this);
    }

    // Starts it with the server, or beside the load programs. `end`: the signal that it ends by.
    async run(proc, { server = true, ready, end = 'SIGTERM' } = {}) {
        proc.endsBy = end;
        proc.argv = place(server ? this.serverCore : this.clientCore, proc.argv);
        this.#procs.push(proc);
        if (server)
            this.servers.push(proc);
        if (proc.start)
            await proc.start();
        else
            proc.spawn();
        if (ready)
            await proc.wait(`${proc.name} is ready`, ready, START_MS);
        return proc;
    }

    async runRedis() {
        this.redisPort = await freePort();
        this.redis = new Redis(join(this.folder, 'redis'), { port: this.redisPort, bind: '127.0.0.1' });
        await this.run(this.redis, { server: false });
    }

    // A program of ours that says {"port":…} when it listens; the port.
    async runNode(script, args, options) {
        const proc = await this.run(new Proc(script, [process.execPath, join(PEERS, script), ...args.map(String)]), options);
        return JSON.parse(await proc.waitLog(/^\{"port":\d+\}$/, START_MS)).port;
    }

    pids() {
        return this.servers.filter(proc => proc.running).flatMap(proc => family(proc.pid));
    }

    redisPids() {
        return this.redis ? [this.redis.pid] : [];
    }

    async subscribed(channels) {
        if (this.pattern !== null)
            await until(`${this.name} hears ${channels} channels`,
                async () => (await this.redis.command(['PUBSUB', 'CHANNELS', this.pattern])).length >= channels, START_MS);
    }

    async stop() {
        const faults = [];
        for (const proc of this.#procs.reverse()) {
            if (proc.endsBy !== 'SIGTERM')
                await proc.kill(proc.endsBy);
            faults.push(await proc.end());
            proc.lines.length = 0;
        }
        running.delete(this);
        rmSync(this.folder, { recursive: true, force: true });
        const wrong = faults.filter(fault => fault !== null);
        if (wrong.length !== 0)
            throw new Error(wrong.join('\n'));
    }
}

class Floor extends System {
    path = '/channels/bench-%d';

    async start({ tls = false, uring = false }) {
        const [port, bus] = [await freePort(), await freePort()];
        const { cert, key } = tls ? certificate(this.folder) : {};
        const argv = [BENCH, 'floor', ...flags({ port, 'bus-port': bus, uring, 'tls-cert': cert, 'tls-key': key })];
        const proc = await this.run(new Proc(this.name, argv), { end: 'SIGKILL' });
        await proc.waitLog(/"ready":true/, START_MS);
        this.address = `127.0.0.1:${port}`;
        this.reader = tls ? { tls } : {};
        this.publish = { via: 'floor', to: `127.0.0.1:${bus}` };
    }
}

class Gateway extends System {
    #tokens = null;
    path = '/channels/bench-%d';
    pattern = 'sse:bench-*';

    async start({ tls = false, h2 = false, alg = null }) {
        await this.runRedis();
        await this.runPublisher(false);
        const settings = { PORT: 0, HOST: '127.0.0.1', ADMIN_PORT: 0, REDIS_URL: this.redisUrl, THREADS: this.workers, DRAIN_SECONDS: 0,
            CHANNEL_RATE: 0 };
        if (tls) {
            const { cert, key } = certificate(this.folder);
            Object.assign(settings, { TLS_CERT: cert, TLS_KEY: key });
        } else if (h2) {
            settings.HTTP2_CLEARTEXT = 'on';
        }
        if (alg) {
            this.#tokens = new Tokens(this.folder, alg);
            settings.JWT_KEY_FILE = this.#tokens.keys;
        }
        this.gateway = await this.run(new Server('sse-gateway', this.name, texts(settings), { public: 'PORT', admin: 'ADMIN_PORT' }));
        this.address = `127.0.0.1:${this.gateway.ports.public}`;
        this.reader = { tls, ...(h2 ? { protocol: 'h2', 'per-connection': PER_CONNECTION } : {}) };
        this.publish = { via: 'redis', to: `127.0.0.1:${this.redisPort}` };
    }

    // From now on the streams come with tokens that the gateway has not seen, where it asks for any.
    freshTokens(count) {
        if (this.#tokens)
            this.reader['header-file'] = this.#tokens.headers(count);
    }

    get redisUrl() {
        return `redis://127.0.0.1:${this.redisPort}`;
    }

    // It loads the function that durable publishing calls.
    async runPublisher(server, folder) {
        const settings = { PORT: 0, HOST: '127.0.0.1', ADMIN_PORT: 0, REDIS_URL: this.redisUrl, TICKERS: 'off' };
        const proc = new Server('sse-publisher', 'sse-publisher', texts(settings), { public: 'PORT', admin: 'ADMIN_PORT' });
        proc.build(folder);
        await this.run(proc, { server });
        this.postAddress = `127.0.0.1:${proc.ports.public}`;
    }
}

const texts = settings => Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)]));

class Publisher extends Gateway {
    async start({ folder }) {
        await this.runRedis();
        await this.runPublisher(true, folder);
    }
}

// Redis by itself, on the server's core, and what a publisher sends it for one event: with `batch`, for so many.
class Bus extends System {
    async start({ commands, library, batch = 1 }) {
        const { serverCore, clientCore } = this;
        [this.serverCore, this.clientCore] = [clientCore, serverCore]; // runRedis() places it beside the load programs
        await this.runRedis();
        [this.serverCore, this.clientCore] = [serverCore, clientCore];
        if (library)
            await this.redis.command(['FUNCTION', 'LOAD', library]);
        Object.assign(this, { commands, batch });
    }
}

// The least that publishes durably, with the history that the publisher keeps by default.
const LEAST = `#!lua name=bench
redis.register_function("least", function(keys, args)
    local id = redis.call("XADD", keys[1], "MAXLEN", "~", "1000", "*", "d", args[1])
    redis.call("PUBLISH", "x", args[1])
    return id
end)`;

const LOG = '{sse:bench-__rand_int__}:log', DATA = 'x'.repeat(256), BATCH = 32;
const FUNCTIONS = readFileSync(join(ROOT, 'proto/bus/sse.lua'), 'utf8');
const BUS = {
    'bus-plain': { commands: [['XADD', LOG, 'MAXLEN', '~', '1000', '*', 'd', DATA], ['PUBLISH', 'x', DATA]] },
    'bus-least': { commands: [['FCALL', 'least', '1', LOG, DATA]], library: LEAST },
    'bus-publish': { commands: [['FCALL', 'sse_publish', '1', 'sse:bench-__rand_int__', DATA]], library: FUNCTIONS },
    'bus-many': { commands: [['FCALL', 'sse_publish_many', '1', 'sse:bench-__rand_int__', ...Array(BATCH).fill(['data', DATA]).flat()]], library: FUNCTIONS, batch: BATCH },
};

class Nchan extends System {
    pattern = '*bench-*';

    async start() {
        await this.runRedis();
        const port = await freePort();
        const config = fill('nginx.conf', this.folder,
            { MODULE: NCHAN, WORKERS: this.workers, USER: userInfo().username, DESCRIPTORS, FOLDER: this.folder, REDIS: this.redisPort, PORT: port });
        const url = `http://127.0.0.1:${port}/pub/ready`;
        await this.run(new Proc('nginx', [...LEASH, 'nginx', '-p', this.folder, '-c', config]),
            { ready: async () => [200, 201, 202].includes(await answers(url, { method: 'POST', body: 'x' })) });
        this.address = `127.0.0.1:${port}`;
        this.publish = { via: 'nchan', to: this.address, path: '/pub/bench-%d' };
    }
}

class Node extends System {
    pattern = 'bench-*';

    async start() {
        await this.runRedis();
        this.address = `127.0.0.1:${await this.runNode('better-sse.mjs', [this.redisPort])}`;
        this.publish = { via: 'redis-plain', to: `127.0.0.1:${this.redisPort}` };
    }
}

class Pushpin extends System {
    async start() {
        const [port, publish] = [await freePort(), await freePort()];
        const origin = await this.runNode('origin.mjs', [], { server: false });
        const values = { FOLDER: this.folder, PORT: port, PUBLISH: publish, ORIGIN: origin };
        const [config, zurl] = ['pushpin.conf', 'zurl.conf', 'routes'].map(name => fill(name, this.folder, values));
        await this.run(new Proc('zurl', [...LEASH, 'zurl', `--config=${zurl}`]));
        await this.run(new Proc('pushpin', [...LEASH, 'pushpin', `--config=${config}`]), { ready: async () =>
            await answers(`http://127.0.0.1:${port}/sub/ready`) === 200 && await answers(`http://127.0.0.1:${publish}/`) !== null });
        this.address = `127.0.0.1:${port}`;
        this.publish = { via: 'pushpin', to: `127.0.0.1:${publish}` };
        this.reader = { opening: 4 }; // more at once and it refuses some
    }
}

const SYSTEMS = {
    'floor': () => [new Floor('floor'), {}],
    'floor-uring': () => [new Floor('floor-uring'), { uring: true }],
    'floor-tls': () => [new Floor('floor-tls'), { tls: true }],
    'gateway': () => [new Gateway('gateway'), {}],
    'gateway-tls': () => [new Gateway('gateway-tls'), { tls: true }],
    'gateway-h2': () => [new Gateway('gateway-h2'), { h2: true }],
    'gateway-h2-tls': () => [new Gateway('gateway-h2-tls'), { tls: true, h2: true }],
    'gateway-2': () => [new Gateway('gateway-2', { workers: 2 }), {}],
    'gateway-hs256': () => [new Gateway('gateway-hs256'), { alg: 'HS256' }],
    'gateway-es256': () => [new Gateway('gateway-es256'), { alg: 'ES256' }],
    'gateway-tls-hs256': () => [new Gateway('gateway-tls-hs256'), { tls: true, alg: 'HS256' }],
    'gateway-tls-es256': () => [new Gateway('gateway-tls-es256'), { tls: true, alg: 'ES256' }],
    'gateway-h2-2': () => [new Gateway('gateway-h2-2', { workers: 2 }), { h2: true }],
    'publisher': () => [new Publisher('publisher'), {}],
    'publisher-before': () => [new Publisher('publisher-before'), { folder: process.env.BEFORE_DIR }],
    ...Object.fromEntries(Object.entries(BUS).map(([name, options]) => [name, () => [new Bus(name), options]])),
    'nchan': () => [new Nchan('nchan'), {}],
    'nchan-2': () => [new Nchan('nchan-2', { workers: 2 }), {}],
    'node': () => [new Node('node'), {}],
    'pushpin': () => [new Pushpin('pushpin'), {}],
};

export async function start(name) {
    const [system, options] = SYSTEMS[name]();
    try {
        await system.start(options);
    } catch (error) {
        await system.stop().catch(() => {});
        throw error;
    }
    return system;
}
