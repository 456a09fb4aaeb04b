// Clients that go: with a word, seen within a second; without one, found within two keep-alive periods.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { Stack, until } from '../integration/stack.mjs';
import { openStream } from '../integration/sse.mjs';
import { Raw } from '../integration/raw.mjs';
import { Follow } from './follow.mjs';
import { row, since } from './rows.mjs';

const REQUEST = 'GET /channels/fault-0 HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n';

// Idle streams: no event, and the keep-alive is far away, so that only the close itself can tell.
for (const [how, close] of Object.entries({
    'closes': raw => raw.socket.destroy(),
    'resets': raw => raw.socket.resetAndDestroy(),
    'closes its half': raw => raw.socket.end(),
}))
    for (const secure of [false, true]) {
        if (secure && how === 'resets')
            continue; // Node can't do that to TLS
        test(`an idle client over ${secure ? 'TLS' : 'HTTP/1.1'} that ${how} is seen within a second`, async t => {
            const s = await Stack.start({ tls: secure, env: { KEEPALIVE_MS: 60000, DRAIN_SECONDS: 0 } });
            const [gw] = s.gw;
            const raws = await Promise.all(Array.from({ length: 50 }, () => Raw.connect(secure ? gw.ports.public : gw.port, { secure })));
            raws.forEach(raw => raw.send(REQUEST));
            await Promise.all(raws.map(raw => raw.waitText(/\nretry: \d+\n\n/)));
            assert.equal(await gw.metric('sse_streams'), 50);
            const start = performance.now();
            raws.forEach(close);
            await gw.waitMetric('sse_streams', 0, { ms: 1000 });
            row(t, `50 idle ${secure ? 'TLS' : 'HTTP/1.1'} clients: ${how}`, { clients: 50, seconds: since(start) });
            assert.equal(await gw.metric('sse_stream_closes_total', { reason: 'client closed' }), 50);
            await gw.waitMetric('sse_connections', 0, { ms: 1000 });
            raws.forEach(raw => raw.close());
        });
    }

// A network namespace whose cable is pulled: nothing is closed, nothing answers.
class Cable {
    static count = 0;

    constructor(t) {
        const own = `${process.pid}x${++Cable.count}`;
        this.name = `sse-fault-${own}`;
        this.near = `10.231.${process.pid % 250}.${Cable.count * 4 + 1}`;
        this.far = `10.231.${process.pid % 250}.${Cable.count * 4 + 2}`;
        const device = `sse${own}`;
        execFileSync('ip', ['netns', 'add', this.name]);
        t.after(() => execFileSync('ip', ['netns', 'del', this.name]));
        execFileSync('ip', ['link', 'add', device, 'type', 'veth', 'peer', 'name', 'far', 'netns', this.name]);
        execFileSync('ip', ['addr', 'add', `${this.near}/30`, 'dev', device]);
        execFileSync('ip', ['link', 'set', device, 'up']);
        this.inside('ip', 'addr', 'add', `${this.far}/30`, 'dev', 'far');
        this.inside('ip', 'link', 'set', 'far', 'up');
    }

    get wrap() {
        return ['nsenter', `--net=/run/netns/${this.name}`];
    }

    inside(...argv) {
        const [command, ...args] = [...this.wrap, ...argv];
        return execFileSync(command, args);
    }

    pull() {
        this.inside('ip', 'link', 'set', 'far', 'down');
    }
}

const mayNet = (() => {
    try {
        execFileSync('unshare', ['--net', 'true'], { stdio: 'pipe' });
        return true;
    } catch {
        return false;
    }
})();

for (const load of ['idle', 'busy'])
    test(`${load} clients that vanish without a word are found within two keep-alive periods`, { timeout: 60000, skip: mayNet ? false : 'needs root, for a network namespace' }, async t => {
        const KEEPALIVE_MS = 2000, CLIENTS = 100;
        const cable = new Cable(t);
        const s = await Stack.start({ env: { HOST: '', KEEPALIVE_MS, DRAIN_SECONDS: 0 } });
        const [gw] = s.gw;
        const follow = await Follow.start(t, [`${cable.near}:${gw.port}`], { streams: CLIENTS, wrap: cable.wrap, delay: 100000 });
        const near = await openStream(`${gw.url}/channels/fault-0`);
        await gw.waitMetric('sse_streams', CLIENTS + 1);
        cable.pull();
        const start = performance.now();
        let stop = false;
        const events = (async () => {
            for (let n = 1; load === 'busy' && !stop; ++n) {
                await s.post('fault-0', `0 ${n}\n${n}`);
                await new Promise(resolve => setTimeout(resolve, 50));
            }
        })();
        await gw.waitMetric('sse_streams', 1, { ms: 15000 });
        const ms = performance.now() - start;
        stop = true;
        await events;
        row(t, `${CLIENTS} ${load} clients vanish, keep-alive ${KEEPALIVE_MS / 1000} s`, { clients: CLIENTS, seconds: since(start) });
        assert.ok(ms < 2 * KEEPALIVE_MS + 500, `found after ${ms} ms`);
        assert.equal(await gw.metric('sse_stream_closes_total', { reason: 'peer vanished' }), CLIENTS);
        await until('the one that is there goes on', () => near.ended === null);
        near.close();
        follow.child.kill('SIGKILL');
    });
