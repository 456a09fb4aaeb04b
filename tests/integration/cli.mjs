// sse-cli as a child process, with its outputs apart: const c = cli(['tail', 'news'], { env }); await c.line(); c.events; await c.exited.
import { spawn } from 'node:child_process';
import { after } from 'node:test';
import { SCALE, binary, until } from './stack.mjs';

const running = new Set();
process.on('exit', () => running.forEach(child => child.kill('SIGKILL')));

export class Cli {
    // input: what the standard input holds, null for a pipe that stays open. terminal: stdout and stderr are one terminal, of script(1).
    constructor(args, { env = {}, input = '', terminal = false } = {}) {
        const base = { PATH: process.env.PATH, LANG: 'C.UTF-8', TERM: 'xterm', TZ: 'UTC' };
        for (const name of ['ASAN_OPTIONS', 'UBSAN_OPTIONS', 'LSAN_OPTIONS', 'TSAN_OPTIONS'])
            if (process.env[name])
                base[name] = process.env[name];
        const quoted = [binary('sse-cli'), ...args].map(arg => `'${arg.replaceAll('\'', '\'\\\'\'')}'`).join(' ');
        const argv = terminal ? ['script', '-qefc', `exec ${quoted}`, '/dev/null'] : [binary('sse-cli'), ...args];
        this.child = spawn(argv[0], argv.slice(1), { env: { ...base, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
        Object.assign(this, { out: '', err: '', code: undefined });
        this.child.stdout.setEncoding('utf8').on('data', text => (this.out += text));
        this.child.stderr.setEncoding('utf8').on('data', text => (this.err += text));
        this.child.stdin.on('error', () => {});
        if (input !== null)
            this.child.stdin.end(input);
        running.add(this.child);
        this.exited = new Promise((resolve, reject) => {
            this.child.on('error', reject);
            this.child.on('close', (code, signal) => {
                running.delete(this.child);
                resolve(this.code = code ?? signal);
            });
        });
    }

    get lines() {
        return this.out.split('\n').slice(0, -1);
    }

    // Of tail: what came so far.
    get events() {
        return this.lines.map(line => JSON.parse(line));
    }

    get data() {
        return this.events.map(event => event.data);
    }

    // probe() until it is truthy; ended early when the process is gone.
    wait(what, probe, ms = 10000) {
        const said = () => `\n--- sse-cli, ${this.code === undefined ? 'running' : `ended with ${this.code}`} ---\n${this.out.slice(-2000)}\n${this.err.slice(-2000)}`;
        return until(what, () => {
            const value = probe();
            if (!value && this.code !== undefined)
                throw new Error(`sse-cli ended; waited for: ${what}${said()}`);
            return value;
        }, ms, said);
    }

    waitEvents(count, ms) {
        return this.wait(`${count} events`, () => this.lines.length >= count, ms);
    }

    waitErr(re, ms) {
        return this.wait(`stderr says ${re}`, () => re.test(this.err), ms);
    }

    // The status it ends with.
    async end(ms = 15000) {
        await until('sse-cli ends', () => this.code !== undefined, ms, () => `\n${this.out.slice(-2000)}\n${this.err.slice(-2000)}`);
        return this.code;
    }
}

export function cli(args, options) {
    const made = new Cli(args, options);
    after(() => made.child.kill('SIGKILL'));
    return made;
}

// {code, out, err} of one that ends by itself.
export async function run(args, options) {
    const made = new Cli(args, options);
    await made.end(20000 * Math.max(1, SCALE / 2));
    return made;
}
