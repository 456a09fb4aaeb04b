// A gateway with one worker and a publisher, well-behaved clients beside the attacker, and the row that each attack leaves in the table.
import { after } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { SANITIZED, SCALE, Stack, binary, until } from '../integration/stack.mjs';
import { H2 } from '../integration/sse.mjs';
import { getPriority, setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

export const STREAMS = 100;
const CHANNEL = 'watched', MEASURED_MS = 2000;

// What the good client's p99 may be, ms, where twice the calm one is less: see "What one client can cost" in README.md.
const FLOOR_MS = Number(process.env.HARDENING_FLOOR_MS || 10);

// Part of the full size, for CI: how long a flood lasts, how many requests the load generators send.
export const HARDENING_SCALE = Number(process.env.HARDENING_SCALE || 1);

// watch.c: one letter for each order, one JSON for each answer.
export class Watch {
    // `more`: where it publishes, too.
    static start(port, path, streams, ...more) {
        const watch = new Watch();
        watch.child = spawn(binary('watch'), [port, path, streams, ...more], { stdio: ['pipe', 'pipe', 'inherit'] });
        watch.answers = [];
        watch.events = 0; // in all reports
        watch.child.stdout.setEncoding('utf8').on('data', text => watch.answers.push(...text.trim().split('\n')));
        return watch;
    }

    async report() {
        this.child.stdin.write('r');
        await until('the watch reports', () => this.answers.length !== 0);
        const report = JSON.parse(this.answers.shift());
        this.events += report.events;
        return report;
    }

    publishNoMore() {
        this.child.stdin.write('s');
    }

    end() {
        this.child.stdin.end();
    }
}

// An attacker has a machine of its own; here it computes when nobody else wants to, so that what the good clients wait for is the server.
const GIVES_WAY = Math.min(19, getPriority() + 10);
export const giveWay = (pid = 0) => setPriority(pid, GIVES_WAY);

// What a program writes.
async function output(child) {
    let text = '';
    child.stdout.setEncoding('utf8').on('data', chunk => (text += chunk));
    await new Promise(resolve => child.on('close', resolve));
    return text;
}

async function attackerOutput(program, ...args) {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    giveWay(child.pid);
    return output(child);
}

// Takes all of a core that nobody else wants.
const compute = () => attackerOutput(process.execPath, '-e', `for (const end = Date.now() + ${MEASURED_MS}; Date.now() < end;);`);

const status = (proc, field) => Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${proc.pid}/status`, 'utf8'))[1]);

export const megabytes = kb => Number((kb / 1024).toFixed(1));

// User and system CPU time so far, seconds.
export function cpuSeconds(proc) {
    const fields = readFileSync(`/proc/${proc.pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
}

export class Stage {
    // `gateway` and `publisher`: more settings. H2_GUARD_OFF is for the builds that README.md's "Proof" tells of. This process and what it starts later attack, so it gives way;
    // `last` false: it will start another stage, and its attackers are programs or threads that give way by themselves.
    static async start({ gateway = {}, publisher = {}, last = true, ...more } = {}) {
        const off = process.env.H2_GUARD_OFF === undefined ? {} : { H2_GUARD_OFF: process.env.H2_GUARD_OFF };
        const stage = new Stage();
        stage.stack = await Stack.start({ env: off, gatewayEnv: [{ THREADS: 1, HTTP2_CLEARTEXT: 'on', ...gateway }], publisherEnv: [publisher], ...more });
        [stage.gw] = stage.stack.gw;
        [stage.pub] = stage.stack.pub;
        const { redis } = stage.stack;
        stage.watch = Watch.start(stage.gw.port, `/channels/${CHANNEL}`, STREAMS, redis.socket, `sse:${CHANNEL}`, stage.pub.port);
        after(() => stage.watch.end());
        await stage.gw.waitMetric('sse_streams', STREAMS);
        await redis.subscribed(CHANNEL);
        await stage.watch.report(); // what was published before
        for (const { pid } of process.env.HARDENING_REALTIME ? [redis, stage.gw, stage.pub, stage.watch.child] : [])
            execFileSync('chrt', ['--all-tasks', '--fifo', '--pid', '1', pid]);
        if (last)
            giveWay();
        return stage;
    }

    // Publishes no more; each stream of the good client then has every event there was.
    async losesNothing() {
        this.watch.publishNoMore();
        let published;
        await until('the good client has every event', async () => {
            ({ published } = await this.watch.report());
            return this.watch.events === published * STREAMS;
        }, 20000, () => `${this.watch.events} events came, ${published} were published to ${STREAMS} streams`);
    }

    // Runs `act` and returns its value with what well-behaved clients of `server` noticed meanwhile and the memory it took.
    async during(server, act) {
        writeFileSync(`/proc/${server.pid}/clear_refs`, '5'); // the peak counts from now
        const before = status(server, 'VmRSS');
        await this.watch.report();
        const value = await act();
        const report = await this.watch.report();
        assert.ok(server !== this.pub || (report.refused === 0 && report.posts !== 0), `${report.refused} well-behaved POSTs were refused, ${report.posts} answered`);
        return { value, open: report.open, events: report.events, p99: Number((server === this.pub ? report.post_p99 : report.p99).toFixed(1)), before,
            peak: server.running ? status(server, 'VmHWM') : NaN, after: server.running ? status(server, 'VmRSS') : NaN };
    }

    // What they notice when nothing happens, with `busy`: what they notice then of a program that only computes, as an attacker's does, and has nothing to do with
    // the server. Measured once for each server.
    async calm(server) {
        this.calms ??= new Map();
        if (!this.calms.has(server)) {
            const calm = await this.during(server, () => sleep(MEASURED_MS));
            const { p99 } = await this.during(server, compute);
            this.calms.set(server, { ...calm, busy: p99 });
        }
        return this.calms.get(server);
    }

    // {reason: count} of what the guard has done.
    async abuses(server) {
        const rows = (await server.metrics()).filter(row => row.name === 'sse_http2_abuse_total' && row.value !== 0);
        return Object.fromEntries(rows.map(row => [row.labels.reason, row.value]));
    }
}

// attack.c, once or (again: true) with a new connection after each that was closed; what it reports.
export async function attack(server, kind, { seconds = 2 * HARDENING_SCALE, again = false } = {}) {
    const child = spawn(binary('attack'), [server.port, kind, seconds, ...(again ? ['again'] : [])], { stdio: ['ignore', 'pipe', 'inherit'] });
    return JSON.parse(await output(child));
}

// storm.c: what it reports.
export async function storm(server, kind, { seconds, connections, streams = 90, rate, forwarded = false }) {
    return JSON.parse(await attackerOutput(binary('storm'), server.port, kind, seconds, connections, streams, rate, ...(forwarded ? ['forwarded'] : [])));
}

const p99s = (calm, noticed) => ({ 'p99 before, ms': calm.p99, 'p99 beside a busy program, ms': calm.busy, 'p99 during, ms': noticed.p99 });

function leave(t, values, calm, noticed, floor = FLOOR_MS) {
    t.diagnostic(Object.entries(values).map(([name, value]) => `${name}: ${value}`).join(', '));
    if (process.env.FAULT_ROWS)
        appendFileSync(process.env.FAULT_ROWS, `${JSON.stringify(values)}\n`);
    if (noticed !== null)
        assert.ok(noticed.p99 <= Math.max(2 * Math.max(calm.p99, calm.busy), floor * SCALE / HARDENING_SCALE), `p99 ${noticed.p99} ms, ${calm.p99} ms before, ${calm.busy} ms beside a busy program`);
}

// One line of the table. `noticed` is what Stage.during() returned, if it was measured: then the good client waits at most twice as long as without the attack.
export function row(t, attack, server, what, calm = null, noticed = null) {
    leave(t, { attack, server, 'what the server did': what, ...(noticed === null ? {} : { ...p99s(calm, noticed), 'MB before': megabytes(noticed.before),
        'MB at most': megabytes(noticed.peak), 'MB after': megabytes(noticed.after) }) }, calm, noticed);
}

// Runs an attack, which returns the bytes it sent; asserts what "What one client can cost" in README.md promises, and leaves a row there: the process lives, its memory
// grows by less than 64 MB, and the good clients lose nothing and wait at most twice as long as without it. `what` is the attack, `bound` what ends it; `floor`
// instead of FLOOR_MS: who sets it says what the good client waits for.
export async function costs(t, stage, server, { what, bound, memory = 65536, floor = FLOOR_MS }, act) {
    const calm = await stage.calm(server);
    const noticed = await stage.during(server, async () => (await Promise.all([act(), sleep(MEASURED_MS)]))[0]); // as long as the calm
    assert.ok(server.running, server.tail?.(5));
    assert.equal(noticed.open, STREAMS, 'no stream of the good client was closed');
    assert.ok(SANITIZED || noticed.peak < noticed.before + memory, `${noticed.before} KB grew to ${noticed.peak}`); // a sanitizer keeps what was freed
    leave(t, { table: 'costs', 'what a client does': what, server: server === stage.gw ? 'gateway' : 'publisher', 'what ends it': bound,
        'bytes sent': noticed.value, 'MB more at most': megabytes(Math.max(0, noticed.peak - noticed.before)), ...p99s(calm, noticed) }, calm, noticed, floor);
    return noticed;
}

// That a client which does nothing wrong is served, on a connection of its own and on an open one.
export async function serves(server, path, expected) {
    const h2 = await H2.connect(server.url);
    const answer = await h2.request(path);
    h2.close();
    if (answer.status !== expected)
        throw new Error(`${path} is answered with ${answer.status}, not ${expected}`);
}
