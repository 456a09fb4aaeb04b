// The real programs, put together for a test: a private redis-server, publishers and gateways on free ports, in one temp folder.
//
//     const s = await Stack.start({ gateways: 2, publishers: 1, env: { KEEPALIVE_MS: 200 }, gatewayEnv: [{ THREADS: 1 }] });
//     s.redis                      cli(…args), command([…]), publish(channel, payload), subscribed(channel, n), kill(), start(), pause()
//     s.gw[i], s.pub[i]            url, adminUrl, httpsUrl (tls only), metric(), waitMetric(), logs, kill(), start(), pause(), resume()
//
// Ended by itself after the test (or file) that started it, and then fails when a process died, left with another status than 0, or a
// sanitizer said something. Tickers are off unless env says otherwise.
import { after } from 'node:test';
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:net';
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Proc, ownFolder } from './process.mjs';
import { Redis } from './redis.mjs';
import { SCALE } from './wait.mjs';

export { SCALE, quiet, until, within } from './wait.mjs';
export { Redis } from './redis.mjs';

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
export const BUILD_DIR = resolve(ROOT, process.env.BUILD_DIR || 'build/release');
export const SANITIZED = SCALE > 1;

export function binary(name, folder = BUILD_DIR) {
    const path = join(folder, name);
    if (!existsSync(path))
        throw new Error(`${path} is missing: build it (tests/run does) or set BUILD_DIR`);
    return path;
}

export function freePort() {
    return new Promise((done, fail) => {
        const server = createServer();
        server.on('error', fail);
        server.listen(0, '127.0.0.1', () => {
            const { port } = server.address();
            server.close(() => done(port));
        });
    });
}

// A self-signed certificate for localhost and 127.0.0.1 in `folder`: {cert, key}. Made once for each test file.
let madeCertificate = null;
export function certificate(folder) {
    const to = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
    if (madeCertificate !== null && existsSync(madeCertificate.key)) {
        if (madeCertificate.key !== to.key) {
            copyFileSync(madeCertificate.cert, to.cert);
            copyFileSync(madeCertificate.key, to.key);
        }
        return to;
    }
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30',
        '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', to.key, '-out', to.cert],
    { stdio: 'pipe' });
    madeCertificate = to;
    return to;
}

export function tempFolder() {
    const folder = mkdtempSync(join(tmpdir(), 'sse-test-'));
    ownFolder(folder);
    return folder;
}

// [{name, labels, value}] of Prometheus text.
export function parseMetrics(text) {
    const rows = [];
    for (const [, name, labels, value] of text.matchAll(/^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/gm))
        rows.push({ name, value: Number(value),
            labels: Object.fromEntries([...(labels ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, k, v]) => [k, v])) });
    return rows;
}

// One of our two programs. Its ports are the kernel's choice at the first start and stay over restarts.
export class Server extends Proc {
    constructor(program, name, env, listeners, folder) {
        super(name, [], env);
        this.program = program;
        this.listeners = listeners;
        this.ports = {};
        this.build(folder);
    }

    // From its next start on it is the program of the build in `folder`.
    build(folder) {
        this.argv = [binary(this.program, folder)];
    }

    // Returns when it listens; with `ready`, when the bus is up too.
    async start({ ready = true } = {}) {
        this.spawn();
        for (const [listener, variable] of Object.entries(this.listeners)) {
            const line = await this.waitLogged({ msg: 'listening', listener });
            this.ports[listener] = Number(line.port);
            this.env = { ...this.env, [variable]: line.port };
        }
        if (ready)
            await this.waitReady();
    }

    waitReady() {
        return this.wait(`${this.name} is ready`, async () => (await this.ready()).status === 200);
    }

    async ready() {
        try {
            const response = await fetch(`${this.adminUrl}/readyz`);
            return { status: response.status, body: await response.text() };
        } catch (error) {
            return { status: 0, body: String(error.cause ?? error) };
        }
    }

    get url() {
        return `http://127.0.0.1:${this.ports.plain ?? this.ports.public}`;
    }

    get httpsUrl() {
        return this.tls ? `https://127.0.0.1:${this.ports.public}` : null;
    }

    get adminUrl() {
        return `http://127.0.0.1:${this.ports.admin}`;
    }

    get port() {
        return this.ports.plain ?? this.ports.public;
    }

    async metrics() {
        return parseMetrics(await (await fetch(`${this.adminUrl}/metrics`)).text());
    }

    // The sum of the rows of that name whose labels include `labels`; undefined when there is no such row.
    async metric(name, labels = {}) {
        const rows = (await this.metrics()).filter(row => row.name === name &&
            Object.entries(labels).every(([key, value]) => row.labels[key] === value));
        return rows.length === 0 ? undefined : rows.reduce((sum, row) => sum + row.value, 0);
    }

    async waitMetric(name, want, { labels = {}, ms } = {}) {
        const good = typeof want === 'function' ? want : value => value === want;
        let value;
        try {
            await this.wait(`${name}${JSON.stringify(labels)} of ${this.name} is ${want}`,
                async () => good(value = await this.metric(name, labels)), ms);
        } catch (error) {
            error.message = `${error.message.split('\n')[0]}; it is ${value}\n${error.message.split('\n').slice(1).join('\n')}`;
            throw error;
        }
        return value;
    }
}

export class Stack {
    // See the top of the file. More options: tls: true or [indexes] gives gateways a certificate, with a plain listener beside it;
    // redis: settings of redis-server, plus {start: false}; ready: false does not wait for the bus; publisherEnv: [{…}] as gatewayEnv; programs: the folder of another build.
    static async start(options = {}) {
        const stack = new Stack(options);
        after(() => stack.stop());
        await stack.#run();
        return stack;
    }

    constructor(options) {
        const { gateways = 1, publishers = 1, env = {}, gatewayEnv = [], publisherEnv = [], redis = {}, tls = false, ready = true, programs } = options;
        this.options = { gateways, publishers, env, gatewayEnv, publisherEnv, tls, ready, programs };
        this.folder = tempFolder();
        const { start = true, ...args } = redis;
        this.startRedis = start;
        this.redis = new Redis(join(this.folder, 'redis'), args);
        this.gw = [];
        this.pub = [];
        this.stopped = null;
    }

    async #run() {
        const { gateways, publishers, ready } = this.options;
        if (this.startRedis)
            await this.redis.start();
        const up = { ready: ready && this.startRedis };
        for (let i = 0; i < publishers; ++i)
            this.pub.push(this.#publisher(i));
        await Promise.all(this.pub.map(p => p.start(up)));
        for (let i = 0; i < gateways; ++i)
            this.gw.push(this.#gateway(i));
        await Promise.all(this.gw.map(g => g.start(up)));
    }

    // A REDIS_URL of the test's own gets the program's user, unless it names one.
    #settings(user, ...layers) {
        const all = Object.assign({ PORT: 0, HOST: '127.0.0.1', ADMIN_PORT: 0, REDIS_URL: this.redis.urlFor(user) }, ...layers);
        if (!all.REDIS_URL.includes('@'))
            all.REDIS_URL = this.redis.urlFor(user, all.REDIS_URL);
        return Object.fromEntries(Object.entries(all).filter(([, v]) => v !== null && v !== undefined).map(([k, v]) => [k, String(v)]));
    }

    #publisher(i) {
        const env = this.#settings('publisher', { TICKERS: 'off' }, this.options.env, this.options.publisherEnv[i]);
        return new Server('sse-publisher', `publisher ${i}`, env, { public: 'PORT', admin: 'ADMIN_PORT' }, this.options.programs);
    }

    // DRAIN_SECONDS 0: a test that ends with streams open does not wait for them
    // THREADS: the second gateway shares one thread between bus and worker, so that both ways of running are tested everywhere
    #gateway(i) {
        const layers = [{ DRAIN_SECONDS: 0, THREADS: 2 - (i % 2) }];
        const tls = this.options.tls === true || (Array.isArray(this.options.tls) && this.options.tls.includes(i));
        if (this.pub.length !== 0)
            layers.push({ PUBLISHER_URL: this.pub[0].url });
        if (tls) {
            const { cert, key } = certificate(this.folder);
            layers.push({ TLS_CERT: cert, TLS_KEY: key, HTTP_PORT: 0 });
        }
        const env = this.#settings('gateway', ...layers, this.options.env, this.options.gatewayEnv[i]);
        const listeners = { public: 'PORT', admin: 'ADMIN_PORT', ...(env.HTTP_PORT !== undefined ? { plain: 'HTTP_PORT' } : {}) };
        const gateway = new Server('sse-gateway', `gateway ${i}`, env, listeners, this.options.programs);
        gateway.tls = tls;
        return gateway;
    }

    stop() {
        return (this.stopped ??= this.#stop());
    }

    async #stop() {
        const faults = [];
        for (const group of [this.gw, this.pub, [this.redis]])
            faults.push(...await Promise.all(group.map(proc => proc.end())));
        rmSync(this.folder, { recursive: true, force: true });
        const wrong = faults.filter(fault => fault !== null);
        if (wrong.length !== 0)
            throw new Error(wrong.join('\n'));
    }

    // One durable event through a publisher's own port; resolves with the answer once Redis has it.
    async post(channel, data, { pub = 0, headers = {} } = {}) {
        const { request } = await import('./sse.mjs');
        const answer = await request(`${this.pub[pub].url}/channels/${encodeURIComponent(channel)}`,
            { method: 'POST', headers: { 'content-type': 'text/plain', ...headers }, body: data });
        if (answer.status !== 200)
            throw new Error(`POST /channels/${channel}: ${answer.status} ${answer.body}`);
        return JSON.parse(answer.body);
    }

    // Waits until every listed gateway that has a stream of the channel hears it from Redis.
    subscribed(channel, count = this.gw.length) {
        return this.redis.subscribed(channel, count);
    }
}
