// The C client (follow.c) as an object: many streams that come back with their last event id and check every number.
//
//     const f = await Follow.start(t, ports, { streams: 2000, channels: 50 });   // all open, each with a position
//     await f.expect(author.counts);     every stream has seen these numbers of its channels; the report
//     await f.report(), f.listen(), f.hold(), f.go(), f.stall(n), f.drip(n), f.unstall(n)
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { SCALE, binary } from '../integration/stack.mjs';

const LEASH = existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', '--pdeathsig', 'KILL', '--'] : [];

export class Follow {
    #waiting = [];

    // ports: numbers, or "address:port". `wrap` goes before the command line, e.g. ['ip', 'netns', 'exec', …].
    static async start(t, ports, { ms = 60000, ...options } = {}) {
        const follow = new Follow(ports, options);
        t.after(() => follow.stop());
        await follow.command(`open ${Math.round(ms * SCALE)}`, `${follow.streams} streams open`);
        return follow;
    }

    constructor(ports, { streams, channels = 1, each = 1, prefix = 'fault', delay = 200, buffer = 0, start = 0, window = 0, wrap = [] }) {
        this.streams = streams;
        const argv = [...LEASH, ...wrap, binary('follow'), '-n', streams, '-c', channels, '-e', each, '-p', prefix, '-d', delay, '-b', buffer, '-s', start, '-w', window,
            ...ports.map(port => (typeof port === 'number' ? `127.0.0.1:${port}` : port))].map(String);
        this.child = spawn(argv[0], argv.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });
        this.child.stdin.on('error', () => {});
        createInterface({ input: this.child.stdout }).on('line', line => this.#waiting.shift()?.resolve(JSON.parse(line)));
        this.ended = new Promise(resolve => this.child.on('close', resolve));
        this.ended.then(() => this.#waiting.splice(0).forEach(({ reject }) => reject(new Error('the client ended'))));
    }

    // The report that answers it; an Error with the report when it is not good.
    async command(line, what = line) {
        const report = await new Promise((resolve, reject) => {
            this.#waiting.push({ resolve, reject });
            this.child.stdin.write(`${line}\n`);
        });
        if (!report.good)
            throw new Error(`not in time: ${what}: ${JSON.stringify(report)}`);
        return report;
    }

    expect(counts, ms = 60000) {
        return this.command(`expect ${Math.round(ms * SCALE)} ${[counts].flat().join(' ')}`, `${this.streams} streams complete`);
    }

    report() {
        return this.command('report');
    }

    listen() {
        return this.command('listen');
    }

    hold() {
        return this.command('hold');
    }

    go() {
        return this.command('go');
    }

    stall(n) {
        return this.command(`stall ${n}`);
    }

    drip(n) {
        return this.command(`drip ${n}`);
    }

    unstall(n) {
        return this.command(`unstall ${n}`);
    }

    async stop() {
        this.child.stdin.end();
        const timer = setTimeout(() => this.child.kill('SIGKILL'), 5000);
        await this.ended;
        clearTimeout(timer);
    }
}
