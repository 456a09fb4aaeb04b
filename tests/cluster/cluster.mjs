// docker-compose.yml on an engine of the tests' own (./engine), and its clients (./clients.mjs).
//
//     const cluster = await Cluster.start({ DRAIN_SECONDS: '3' });     images built, all services up and healthy
//     await cluster.compose('up', '-d', '--scale', 'gateway=5');
//     await cluster.containers('gateway')                              [{id, name, pid, address, health}, …]
//     await cluster.clients.ask('follow', {…})
import { execFile, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { until } from '../integration/wait.mjs';

const run = promisify(execFile);
const ENGINE = fileURLToPath(new URL('engine', import.meta.url));
const HERE = fileURLToPath(new URL('.', import.meta.url));
const LEASH = ['setpriv', '--pdeathsig', 'TERM', '--']; // the engine goes when the test is killed outright

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const SERVICES = { redis: 1, publisher: 2, gateway: 3, haproxy: 1 };

function whyNot() {
    const { status, stderr } = spawnSync(ENGINE, ['check'], { encoding: 'utf8' });
    return status === 0 ? '' : stderr.trim().split('\n').pop() || 'tests/cluster/engine check failed';
}

// Why no engine can run on this machine, '' when one can or must (CLUSTER_REQUIRED=1); and what each test says with it.
export const skip = process.env.CLUSTER_REQUIRED === '1' ? '' : whyNot();
export const options = { skip: skip ? `no container engine can run here: ${skip}` : false, timeout: 180000 };

class Engine {
    constructor() {
        const { stdout } = spawnSync(ENGINE, ['env'], { encoding: 'utf8', env: process.env });
        this.env = { ...process.env };
        for (const [, name, value] of stdout.matchAll(/(\w+)=(\S+)/g))
            this.env[name] = value.replace('$PATH', process.env.PATH);
    }

    // how: 'build' or 'run'
    async start(how) {
        await this.stop();
        const log = [];
        this.child = spawn(LEASH[0], [...LEASH.slice(1), ENGINE, how], { stdio: ['ignore', 'pipe', 'pipe'] });
        for (const stream of [this.child.stdout, this.child.stderr])
            createInterface({ input: stream }).on('line', line => log.push(line) > 50 && log.shift());
        this.ended = new Promise(resolve => this.child.on('close', resolve));
        let ended = false;
        this.ended.then(() => { ended = true; });
        await until('the engine answers', async () => {
            if (ended)
                throw new Error(`the engine did not start: ${log.slice(-3).join('\n')}`);
            return this.docker('version').then(() => true, () => false);
        }, 20000, () => `: ${log.slice(-3).join('\n')}`);
    }

    async stop() {
        this.child?.kill('SIGTERM');
        await this.ended;
        this.child = null;
    }

    async docker(...argv) {
        return (await run('docker', argv, { env: this.env, maxBuffer: 1 << 24 })).stdout.trim();
    }
}

class Clients {
    #waiting = new Map();
    #last = 0;

    constructor(origin, certificate) {
        this.child = spawn(ENGINE, ['in', process.execPath, join(HERE, 'clients.mjs'), origin, certificate], { stdio: ['pipe', 'pipe', 'inherit'] });
        this.child.stdin.on('error', () => {});
        createInterface({ input: this.child.stdout }).on('line', line => {
            const { id, value, error } = JSON.parse(line);
            const { resolve, reject } = this.#waiting.get(id);
            this.#waiting.delete(id);
            if (error === undefined) resolve(value);
            else reject(new Error(error));
        });
        this.ended = new Promise(resolve => this.child.on('close', resolve));
        this.ended.then(() => this.#waiting.forEach(({ reject }) => reject(new Error('the clients ended'))));
    }

    ask(what, options = {}) {
        return new Promise((resolve, reject) => {
            const id = ++this.#last;
            this.#waiting.set(id, { resolve, reject });
            this.child.stdin.write(`${JSON.stringify({ id, do: what, ...options })}\n`);
        });
    }

    async stop() {
        this.child.stdin.end();
        await this.ended;
    }
}

export class Cluster {
    engine = new Engine();
    folder = mkdtempSync(join(tmpdir(), 'sse-cluster-'));
    files = ['docker-compose.yml'];

    // `settings` are the environment of docker-compose; `use`: further compose files from the start; `services`: what must be healthy;
    // `build`: what else is built, {service: its compose file}.
    static async start(settings = {}, { use = [], services = SERVICES, build = {} } = {}) {
        const cluster = new Cluster();
        Object.assign(cluster.engine.env, { COMPOSE_PROJECT_NAME: 'sse-cluster', LISTEN_PORT: '4043' }, settings);
        cluster.files.push(...use);
        try {
            await cluster.engine.start('build');
            await run(ENGINE, ['base'], { env: cluster.engine.env });
            await cluster.#build(['init', ...Object.keys({ ...SERVICES, ...build })], Object.values(build));
            await cluster.engine.start('run');
            await cluster.#sweep();
            await cluster.compose('up', '-d');
            await cluster.healthy(services);
            await cluster.#meetClients();
        } catch (error) {
            error.message += `\n${await cluster.compose('logs', '--no-color', '--tail', '15').catch(() => '')}`;
            await cluster.stop();
            throw error;
        }
        return cluster;
    }

    // docker-compose with the project's own files, as a user calls it.
    async compose(...argv) {
        const files = this.files.flatMap(file => ['-f', file]);
        return (await run('docker-compose', [...files, ...argv], { cwd: ROOT, env: this.engine.env, maxBuffer: 1 << 24 })).stdout;
    }

    docker(...argv) {
        return this.engine.docker(...argv);
    }

    // In the network of the containers.
    async inside(...argv) {
        return (await run(ENGINE, ['in', ...argv], { env: this.engine.env })).stdout;
    }

    // Of one service, those that run.
    async containers(service) {
        const ids = (await this.compose('ps', '-q', service)).trim().split('\n').filter(Boolean);
        const all = ids.length ? JSON.parse(await this.docker('inspect', ...ids)) : [];
        return all.filter(({ State }) => State.Running).map(({ Id, Name, State, NetworkSettings }) => ({ id: Id, name: Name.slice(1), pid: State.Pid,
            health: State.Health?.Status, address: NetworkSettings.Networks['sse-cluster_inside']?.IPAddress }));
    }

    // Waits until exactly so many containers of each service run, all healthy.
    async healthy(services, ms = 60000) {
        let seen;
        await until('all services are healthy', async () => {
            seen = await Promise.all(Object.keys(services).map(service => this.containers(service)));
            return seen.every((containers, i) => containers.length === Object.values(services)[i] && containers.every(c => c.health === 'healthy'));
        }, ms, () => `: ${JSON.stringify(seen.flat().map(({ name, health }) => [name, health]))}`);
    }

    // Of the /metrics of a gateway or publisher; the sum over all labels.
    async metric({ address }, name, port = 9043) {
        const text = await this.inside('curl', '-sS', `http://${address}:${port}/metrics`);
        return [...text.matchAll(new RegExp(`^${name}(?:{[^}]*})? (\\S+)$`, 'gm'))].reduce((sum, [, value]) => sum + Number(value), 0);
    }

    async stop() {
        await this.clients?.stop();
        await this.compose('down', '-v', '-t', '1').catch(() => {});
        await this.engine.stop();
        rmSync(this.folder, { recursive: true, force: true });
    }

    // The engine that builds has no bridge: apt goes through the machine's own network.
    async #build(services, more) {
        const file = join(this.folder, 'build.json');
        writeFileSync(file, JSON.stringify({ services: Object.fromEntries(services.map(name => [name, { build: { network: 'host' } }])) }));
        const files = [...this.files, ...more, file].flatMap(name => ['-f', name]);
        await run('docker-compose', [...files, 'build'], { cwd: ROOT, env: this.engine.env, maxBuffer: 1 << 24 })
            .catch(error => { throw new Error(`docker-compose build failed:\n${`${error.stdout}${error.stderr}`.split('\n').slice(-40).join('\n')}`); });
    }

    // What a run that was killed left behind.
    async #sweep() {
        const left = (await this.docker('ps', '-aq')).split('\n').filter(Boolean);
        if (left.length)
            await this.docker('rm', '-f', ...left);
        await this.compose('down', '-v');
        await this.docker('image', 'prune', '-f'); // of earlier builds
    }

    // They trust the certificate that the cluster made for itself, and no other.
    async #meetClients() {
        const certificate = join(this.folder, 'tls.crt');
        writeFileSync(certificate, await this.compose('exec', '-T', 'haproxy', 'cat', '/access/tls.crt'));
        this.clients = new Clients('https://localhost:4043', certificate);
    }
}
