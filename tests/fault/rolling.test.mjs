// A deploy: three gateways behind HAProxy, restarted one after the other under load.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, until } from '../integration/stack.mjs';
import { Proc } from '../integration/process.mjs';
import { openStream } from '../integration/sse.mjs';
import { Load } from './load.mjs';
import { since } from './rows.mjs';

const DRAIN_S = 2;

const CONFIG = (port, gateways) => `
global
    maxconn 9000
defaults
    mode http
    option abortonclose
    option http-no-delay
    option redispatch
    retries 3
    timeout connect 2s
    timeout http-request 10s
    timeout client 1h
    timeout server 1h
frontend streams
    bind 127.0.0.1:${port}
    default_backend gateways
backend gateways
    balance leastconn
    option httpchk GET /readyz
${gateways.map((gw, i) => `    server gw${i} 127.0.0.1:${gw.port} check port ${gw.ports.admin} inter 200ms fall 1 rise 1`).join('\n')}
`;

async function haproxy(t, stack) {
    const port = await freePort();
    const file = join(stack.folder, 'haproxy.cfg');
    writeFileSync(file, CONFIG(port, stack.gw));
    const proc = new Proc('haproxy', ['haproxy', '-db', '-f', file]);
    t.after(() => proc.kill('SIGKILL'));
    proc.spawn();
    await proc.wait('haproxy answers', async () => {
        try {
            return (await fetch(`http://127.0.0.1:${port}/events`, { method: 'HEAD', headers: { accept: 'text/event-stream' } })).status === 200;
        } catch {
            return false;
        }
    });
    return port;
}

test('a rolling restart of three gateways behind HAProxy loses nothing', { timeout: 240000 }, async t => {
    let port;
    const load = await Load.start(t, { gateways: 3, env: { DRAIN_SECONDS: DRAIN_S }, ports: async stack => [port = await haproxy(t, stack)], follow: { delay: 500 } });
    const start = performance.now();
    for (const gw of load.stack.gw) {
        const { code } = await gw.kill('SIGTERM');
        assert.equal(code, 0);
        await gw.start();
        await until(`${gw.name} is in service again`, async () => {
            (await openStream(`http://127.0.0.1:${port}/events`)).close();
            return await gw.metric('sse_streams_opened_total') > 0;
        });
    }
    await until('all streams are open', async () => (await load.follow.report()).open === load.follow.streams);
    const seconds = since(start);
    await load.recovery();
    const report = await load.finish(t, `rolling restart of 3 gateways behind HAProxy, DRAIN_SECONDS=${DRAIN_S}`, { seconds });
    assert.ok(report.reconnects > report.streams / 2);
    assert.ok(report.refused < report.streams / 10, `${report.refused} connections were refused`);
});
