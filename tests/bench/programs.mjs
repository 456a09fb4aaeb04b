// The load programs (`bench read`, `publish`, `post`, `churn`) as objects, and where every process of a run is placed.
import { execFile, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BUILD_DIR } from '../integration/stack.mjs';
import { within } from '../integration/wait.mjs';

const WANTED_DESCRIPTORS = 262144;
const LEASH = existsSync('/usr/bin/setpriv') ? ['setpriv', '--pdeathsig', 'KILL', '--'] : [];
const raise = n => ['prlimit', `--nofile=${n}:${n}`];
const [, HARD_LIMIT] = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
const allowed = spawnSync(raise(WANTED_DESCRIPTORS)[0], [...raise(WANTED_DESCRIPTORS).slice(1), 'true']).status === 0;

// Of each process of a run: as many as one server needs for 100,000 streams where that is allowed, else the hard limit.
export const DESCRIPTORS = allowed ? WANTED_DESCRIPTORS : Number(HARD_LIMIT);

export const BENCH = join(BUILD_DIR, 'tests/bench/bench');

export const SERVER_CORE = 0, CLIENT_CORE = 1;

// The command on one core, or on any with null, with enough descriptors. All of it execs: the pid is the program's.
export const place = (core, argv) => [...raise(DESCRIPTORS), ...(core === null ? [] : ['taskset', '-c', String(core)]), ...argv];

export const flags = options => Object.entries(options).flatMap(([name, value]) =>
    (value === false || value === undefined ? [] : value === true ? [`--${name}`] : [`--${name}`, String(value)]));

class Program {
    #lines = [];
    #waiting = [];
    #errors = [];

    constructor(command, core, options) {
        this.name = `bench ${command}`;
        const argv = [...LEASH, ...place(core, [BENCH, command, ...flags(options)])];
        this.child = spawn(argv[0], argv.slice(1), { stdio: ['pipe', 'pipe', 'pipe'] });
        this.child.stdin.on('error', () => {});
        createInterface({ input: this.child.stdout }).on('line', line => {
            const waiting = this.#waiting.shift();
            waiting ? waiting.resolve(line) : this.#lines.push(line);
        });
        createInterface({ input: this.child.stderr }).on('line', line => this.#errors.length < 20 && this.#errors.push(line));
        this.ended = new Promise(resolve => {
            this.child.on('error', error => this.#errors.push(error.message));
            this.child.on('close', (code, signal) => resolve(signal ?? code));
        });
        this.ended.then(how => this.#waiting.splice(0).forEach(({ reject }) => reject(this.#fault(`ended with ${how}`))));
    }

    #fault(what) {
        return new Error(`${this.name}: ${what}${this.#errors.map(line => `\n  ${line}`).join('')}`);
    }

    // What it said on stderr: the first broken streams, say.
    get errors() {
        return this.#errors;
    }

    // Its next line of JSON.
    async next(seconds) {
        const line = this.#lines.shift() ??
            await within(`${this.name} answers`, new Promise((resolve, reject) => this.#waiting.push({ resolve, reject })), seconds * 1000);
        return JSON.parse(line);
    }

    ask(command, seconds = 30) {
        this.child.stdin.write(`${command}\n`);
        return this.next(seconds);
    }

    async end() {
        this.child.stdin.end('end\n');
        const timer = setTimeout(() => this.child.kill('SIGKILL'), 10000);
        await this.ended;
        clearTimeout(timer);
    }
}

// Streams of `system` that check every event. `opened` is {open, ms, us_cpu}.
export class Reader extends Program {
    static async open(system, { streams, channels, path = system.path, ...options }) {
        const reader = new Reader('read', system.clientCore, { to: system.address, path, streams, channels, ...system.reader, ...options });
        try {
            reader.opened = await reader.next(90);
        } catch (error) {
            await reader.end();
            throw error;
        }
        return reader;
    }

    mark() {
        return this.ask('mark');
    }

    report() {
        return this.ask('report');
    }

    // The report, once each stream has SEQ `last` or the seconds are over.
    expect(last, seconds) {
        return this.ask(`expect ${last} ${seconds}`, seconds + 30);
    }
}

// A program that runs its time and prints one line.
async function once(command, core, options, seconds) {
    const program = new Program(command, core, options);
    try {
        return await program.next(seconds + 60);
    } finally {
        await program.end();
    }
}

export const publish = (system, { channels, rate, seconds, bytes, batch }) =>
    once('publish', system.clientCore, { ...system.publish, ...(batch ? { via: 'redis-many', batch } : {}), channels, rate, seconds, bytes }, seconds);

export const post = (system, options) => once('post', system.clientCore, { to: system.postAddress, path: '/channels/bench-%d', ...options }, options.seconds);

export const churn = (system, options) => once('churn', system.clientCore, { to: system.address, ...options }, options.seconds);

// Debian's load program for Redis: `count` times the command over 16 connections, `pipeline` under way on each; __rand_int__ in it is one of `channels` numbers.
export async function redisBenchmark(system, command, { count, pipeline, channels }) {
    const argv = place(system.clientCore, ['redis-benchmark', '-h', '127.0.0.1', '-p', String(system.redisPort), '-c', '16', '-P', String(pipeline), '-n', String(count),
        '-r', String(channels), '-q', ...command]);
    const { stdout, stderr } = await promisify(execFile)(argv[0], argv.slice(1), { timeout: 120000 });
    if (/error/i.test(stdout + stderr))
        throw new Error(`redis-benchmark: ${(stdout + stderr).slice(0, 300)}`);
}
