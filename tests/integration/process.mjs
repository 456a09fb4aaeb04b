// One child process: started with only the environment it is given, its output kept by line, ended by its own pid.
import { spawn } from 'node:child_process';
import { existsSync, rmSync, writeSync } from 'node:fs';
import { until } from './wait.mjs';

const started = new Set(); // every Proc of this test file, for the last resort and the logs of a failure
const folders = new Set();

// A test process that is itself killed takes its children along (prctl PR_SET_PDEATHSIG, kept over exec).
const LEASH = existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', '--pdeathsig', 'KILL', '--'] : [];

export function ownFolder(path) {
    folders.add(path);
}

process.on('exit', code => {
    for (const proc of started)
        proc.child?.exitCode === null && proc.child.signalCode === null && proc.child.kill('SIGKILL');
    for (const folder of folders)
        rmSync(folder, { recursive: true, force: true });
    if (code !== 0 || process.exitCode)
        for (const proc of started)
            writeSync(2, `--- ${proc.name}, ${proc.fate}, its last lines ---\n${proc.tail(proc.name === 'redis' ? 4 : 40)}\n`);
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
    process.on(signal, () => process.exit(1));

// {time, level, msg, …} of a key=value line; values may be quoted with backslash escapes.
export function parseLine(line) {
    const fields = {};
    for (const [, key, quoted, bare] of line.matchAll(/([a-z_]+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))/g))
        fields[key] = quoted === undefined ? bare : quoted.replace(/\\x([0-9A-F]{2})|\\(.)/g, (_, hex, c) => (hex ? String.fromCharCode(parseInt(hex, 16)) : c));
    return fields;
}

export class Proc {
    constructor(name, argv, env = {}) {
        Object.assign(this, { name, argv, env, lines: [], child: null, expected: true });
        started.add(this);
    }

    spawn() {
        const argv = [...LEASH, ...this.argv];
        const base = { PATH: process.env.PATH, HOME: process.env.HOME, LANG: 'C.UTF-8' };
        for (const name of ['ASAN_OPTIONS', 'UBSAN_OPTIONS', 'TSAN_OPTIONS', 'LSAN_OPTIONS'])
            if (process.env[name])
                base[name] = process.env[name];
        this.expected = false;
        this.startLine = this.lines.length;
        this.child = spawn(argv[0], argv.slice(1), { env: { ...base, ...this.env }, stdio: ['ignore', 'pipe', 'pipe'] });
        for (const stream of [this.child.stdout, this.child.stderr])
            this.#keep(stream.setEncoding('utf8'));
        this.exited = new Promise((resolve, reject) => {
            this.child.on('error', reject);
            this.child.on('close', (code, signal) => resolve({ code, signal }));
        });
        this.exited.catch(() => {});
    }

    #keep(stream) {
        let rest = '';
        stream.on('data', text => {
            const lines = (rest + text).split('\n');
            rest = lines.pop();
            this.lines.push(...lines);
        });
        stream.on('end', () => rest && this.lines.push(rest));
    }

    get pid() {
        return this.child?.pid;
    }

    get running() {
        return this.child !== null && this.child.exitCode === null && this.child.signalCode === null;
    }

    // "running", or how it ended.
    get fate() {
        if (this.child === null)
            return 'never started';
        return this.running ? 'running' : `ended with ${this.child.signalCode ?? `status ${this.child.exitCode}`}`;
    }

    get log() {
        return this.lines.join('\n');
    }

    tail(n = 25) {
        return this.lines.slice(-n).join('\n');
    }

    // The parsed lines since the last start that hold all of `fields`, e.g. {msg: 'listening', listener: 'public'}.
    logged(fields) {
        return this.lines.slice(this.startLine).map(parseLine).filter(line =>
            Object.entries(fields).every(([key, want]) => (want instanceof RegExp ? want.test(line[key]) : line[key] === String(want))));
    }

    waitLogged(fields, ms) {
        return this.wait(`${this.name} logs ${JSON.stringify(fields)}`, () => this.logged(fields)[0], ms);
    }

    logContains(re) {
        return this.lines.some(line => re.test(line));
    }

    waitLog(re, ms) {
        return this.wait(`${this.name} logs ${re}`, () => this.lines.find(line => re.test(line)), ms);
    }

    // until(), ended early when the process dies; the message carries the last lines of its log.
    wait(what, probe, ms) {
        const detail = () => `\n--- ${this.name} ---\n${this.tail()}`;
        const dead = () => new Error(`${this.name} ${this.fate}; waited for: ${what}${detail()}`);
        return until(what, async () => {
            let value;
            try {
                value = await probe();
            } catch (error) {
                throw this.running ? error : dead();
            }
            if (!value && !this.running)
                throw dead();
            return value;
        }, ms, detail);
    }

    signal(signal) {
        this.child.kill(signal);
    }

    pause() {
        this.signal('SIGSTOP');
    }

    resume() {
        this.signal('SIGCONT');
    }

    // Sends the signal and waits for the end: {code, signal}. What ends here was meant to.
    async kill(signal = 'SIGTERM', ms = 15000) {
        this.expected = true;
        if (this.running)
            this.child.kill(signal);
        await until(`${this.name} ends after ${signal}`, () => !this.running, ms, () => `\n${this.tail()}`);
        return this.exited;
    }

    // What is wrong with how it ran and ended, or null.
    async end() {
        if (this.child === null)
            return null;
        const died = !this.running && !this.expected;
        let result;
        try {
            this.resume();
            result = await this.kill('SIGTERM');
        } catch (error) {
            await this.kill('SIGKILL');
            return error.message;
        }
        const report = this.lines.find(line => /ERROR: (Address|Leak|Thread)Sanitizer|runtime error:|WARNING: ThreadSanitizer/.test(line));
        if (report)
            return `${this.name}: ${report}\n${this.lines.slice(this.lines.indexOf(report)).slice(0, 60).join('\n')}`;
        if (died)
            return `${this.name} died by itself: ${this.fate}\n${this.tail()}`;
        if (result.code !== 0 && result.signal !== 'SIGKILL')
            return `${this.name} ${this.fate} on SIGTERM\n${this.tail()}`;
        return null;
    }
}
