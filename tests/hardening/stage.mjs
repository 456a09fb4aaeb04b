// A gateway with one worker and a publisher, well-behaved clients beside the attacker, and the row that each attack leaves in README.md's table.
import { after } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { SANITIZED, SCALE, Stack, binary, until } from '../integration/stack.mjs';
import { H2, request } from '../integration/sse.mjs';
import { Agent } from 'node:http';
import { setPriority } from 'node:os';

export const STREAMS = 100, EVENTS_PER_SECOND = 50;
const CHANNEL = 'watched';

// What the good client's p99 may be, ms, where twice the calm one is less. On two cores the clients, Redis and the attacker compete with the server, and other programs on the machine do: without any attack the p99 of two
// seconds was seen from 2.6 to 60 ms in one run of channels.test.mjs beside compilers, and from 2.4 to 4 ms beside little else. There 10 says more.
const FLOOR_MS = Number(process.env.HARDENING_FLOOR_MS || 50);

// Part of the full size, for CI: how long a flood lasts, how many requests the load generators send.
export const HARDENING_SCALE = Number(process.env.HARDENING_SCALE || 1);

// One line for each question, one JSON for each answer.
export class Watch {
    static async start(port, channel = CHANNEL, streams = STREAMS) {
        const watch = new Watch();
        watch.child = spawn(binary('watch'), [port, `/channels/${channel}`, streams], { stdio: ['pipe', 'pipe', 'inherit'] });
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
}

const status = (proc, field) => Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${proc.pid}/status`, 'utf8'))[1]);

export const megabytes = kb => Number((kb / 1024).toFixed(1));

// User and system CPU time so far, seconds.
export function cpuSeconds(proc) {
    const fields = readFileSync(`/proc/${proc.pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
}

export class Stage {
    // `gateway` and `publisher`: more settings. H2_GUARD_OFF is for the builds that README.md's "Proof" tells of.
    static async start({ gateway = {}, publisher = {}, ...more } = {}) {
        const off = process.env.H2_GUARD_OFF === undefined ? {} : { H2_GUARD_OFF: process.env.H2_GUARD_OFF };
        const stage = new Stage();
        stage.stack = await Stack.start({ env: off, gatewayEnv: [{ THREADS: 1, HTTP2_CLEARTEXT: 'on', ...gateway }], publisherEnv: [publisher], ...more });
        [stage.gw] = stage.stack.gw;
        [stage.pub] = stage.stack.pub;
        stage.watch = await Watch.start(stage.gw.port);
        after(() => stage.stop());
        await stage.gw.waitMetric('sse_streams', STREAMS);
        await stage.stack.redis.subscribed(CHANNEL);
        stage.published = 0;
        stage.timer = setInterval(() => stage.#publish(), 1000 / EVENTS_PER_SECOND);
        stage.agent = new Agent({ keepAlive: true, maxSockets: 1 });
        return stage;
    }

    stop() {
        clearInterval(this.timer);
        this.agent.destroy();
        this.watch.child.stdin.end();
    }

    #publish() {
        this.stack.redis.publish(CHANNEL, String(process.hrtime.bigint())).then(() => ++this.published, () => {});
    }

    // Publishes no more; each stream of the good client then has every event there was.
    async losesNothing() {
        clearInterval(this.timer);
        await until('the good client has every event', async () => {
            await this.watch.report();
            return this.watch.events === this.published * STREAMS;
        }, 20000, () => `${this.watch.events} events came, ${this.published} were published to ${STREAMS} streams`);
    }

    // Posts to the publisher, one after the other, until `done`; the milliseconds each took.
    async #posts(done) {
        const took = [];
        while (!done()) {
            const start = performance.now();
            const answer = await request(`${this.pub.url}/channels/posted`, { method: 'POST', agent: this.agent, body: '{}',
                headers: { 'content-type': 'application/json' } });
            if (answer.status !== 200)
                throw new Error(`a well-behaved POST was answered with ${answer.status}`);
            took.push(performance.now() - start);
            await new Promise(resolve => setTimeout(resolve, 1000 / EVENTS_PER_SECOND));
        }
        return took.sort((a, b) => a - b);
    }

    // Runs `act` and returns its value with what well-behaved clients of `server` noticed meanwhile and the memory it took.
    async during(server, act) {
        writeFileSync(`/proc/${server.pid}/clear_refs`, '5'); // the peak counts from now
        const before = status(server, 'VmRSS');
        await this.watch.report();
        let over = false;
        const posts = server === this.pub ? this.#posts(() => over) : null;
        const value = await act().finally(() => (over = true));
        const report = await this.watch.report();
        const took = await posts;
        const p99 = took === null ? report.p99 : took[Math.floor((took.length - 1) * 0.99)];
        return { value, open: report.open, events: report.events, p99: Number(p99.toFixed(1)), before,
            peak: server.running ? status(server, 'VmHWM') : NaN, after: server.running ? status(server, 'VmRSS') : NaN };
    }

    // What they notice when nothing happens; measured once for each server.
    async calm(server) {
        this.calms ??= new Map();
        if (!this.calms.has(server))
            this.calms.set(server, await this.during(server, () => new Promise(resolve => setTimeout(resolve, 2000))));
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
    let text = '';
    child.stdout.setEncoding('utf8').on('data', chunk => (text += chunk));
    await new Promise(resolve => child.on('close', resolve));
    return JSON.parse(text);
}

// storm.c: what it reports. It computes when nobody else wants to, as an attacker has a machine of its own: what the good client waits for is the server.
export async function storm(server, kind, { seconds, connections, streams = 90, rate, forwarded = false }) {
    const child = spawn(binary('storm'), [server.port, kind, seconds, connections, streams, rate, ...(forwarded ? ['forwarded'] : [])], { stdio: ['ignore', 'pipe', 'inherit'] });
    setPriority(child.pid, 10);
    let text = '';
    child.stdout.setEncoding('utf8').on('data', chunk => (text += chunk));
    await new Promise(resolve => child.on('close', resolve));
    return JSON.parse(text);
}

// One line of the table. `noticed` is what Stage.during() returned, if it was measured.
export function row(t, attack, server, what, calm = null, noticed = null) {
    const values = { attack, server, 'what the server did': what };
    if (noticed !== null)
        Object.assign(values, { 'p99 before, ms': calm.p99, 'p99 during, ms': noticed.p99, 'MB before': megabytes(noticed.before),
            'MB at most': megabytes(noticed.peak), 'MB after': megabytes(noticed.after) });
    t.diagnostic(Object.entries(values).map(([name, value]) => `${name}: ${value}`).join(', '));
    if (process.env.FAULT_ROWS)
        appendFileSync(process.env.FAULT_ROWS, `${JSON.stringify(values)}\n`);
}

// Runs an attack, which returns the bytes it sent; asserts what "What one client can cost" in README.md promises, and leaves a row there: the process lives, its memory
// grows by less than 64 MB, and the good clients lose nothing and wait at most twice as long as without it. `what` is the attack, `bound` what ends it. `latency` false: where
// the servers and the clients have too few cores for it to say anything.
export async function costs(t, stage, server, { what, bound, memory = 65536, latency = true }, act) {
    const calm = await stage.calm(server);
    const noticed = await stage.during(server, async () => {
        const [value] = await Promise.all([act(), new Promise(resolve => setTimeout(resolve, 2000))]); // as long as the calm
        return value;
    });
    assert.ok(server.running, server.tail?.(5));
    assert.equal(noticed.open, STREAMS, 'no stream of the good client was closed');
    assert.ok(SANITIZED || noticed.peak < noticed.before + memory, `${noticed.before} KB grew to ${noticed.peak}`); // a sanitizer keeps what was freed
    assert.ok(!latency || noticed.p99 <= Math.max(calm.p99 * 2, FLOOR_MS * SCALE / HARDENING_SCALE), `p99 ${noticed.p99} ms, ${calm.p99} ms before`);
    const values = { 'what a client does': what, server: server === stage.gw ? 'gateway' : 'publisher', 'what ends it': bound,
        'bytes sent': noticed.value, 'MB more at most': megabytes(Math.max(0, noticed.peak - noticed.before)),
        'p99 before, ms': calm.p99, 'p99 during, ms': noticed.p99 };
    t.diagnostic(Object.entries(values).map(([name, value]) => `${name}: ${value}`).join(', '));
    if (process.env.FAULT_ROWS)
        appendFileSync(process.env.FAULT_ROWS, `${JSON.stringify({ table: 'costs', ...values })}\n`);
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
