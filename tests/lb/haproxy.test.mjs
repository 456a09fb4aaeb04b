// HAProxy with deploy/lb/haproxy.cfg: what holds behind all of them, and what is its own.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { until } from '../integration/stack.mjs';
import { request } from '../integration/sse.mjs';
import { Site } from './site.mjs';
import { believed, facts } from './facts.mjs';

// Names are slow here, so that a new worker has requests before it knows where to.
const site = await Site.start('haproxy', { env: { REDIS_TIMEOUT_MS: 2000 }, slowNames: 200 });
const admin = path => request(`http://127.0.0.1:${site.ports.admin}${path}`);

test('it tells on its own admin port, and only there, how it is', async () => {
    assert.equal((await admin('/healthz')).status, 200);
    assert.match((await admin('/metrics')).body, /^haproxy_backend_active_servers\{proxy="gateways"\} 2$/m);
    assert.equal((await admin('/stats')).status, 404);
});

test('a gateway that is not ready gets no new streams though its port is open, and keeps those it has', { timeout: 60000 }, async () => {
    const open = await site.ways['HTTP/1.1']('/channels/bus');
    await open.nextFrame();
    site.redis.pause();
    await until('HAProxy knows', async () => (await admin('/healthz')).status === 503, 15000);
    await assert.rejects(site.ways['HTTP/2']('/channels/bus'));
    const answer = await site.post('/channels/other', 'x');
    assert.equal(answer.status, 503);
    assert.equal(answer.headers['retry-after'], '1');
    site.redis.resume();
    await until('HAProxy knows', async () => (await admin('/healthz')).status === 200, 15000);
    await until('it is published again', async () => (await site.post('/channels/bus', 'after')).status === 200);
    assert.equal((await open.next()).data, 'after');
    open.close();
    await until('no stream', async () => (await Promise.all(site.gw.map(gw => gw.metric('sse_streams')))).every(n => n === 0));
});

facts(site);

test('with the PROXY protocol, changed as the file says, the gateways know each client too', async () => {
    const edit = text => {
        const changed = text.replace(/^( +server.* "\$\{LB_GATEWAY_HOST\}.*)$/gm, '$1 send-proxy-v2')
            .replace(/^.*set-header X-Forwarded-For.*\n/m, '');
        assert.equal(changed.match(/send-proxy-v2$/mg).length, 2);
        return changed;
    };
    await believed(await Site.start('haproxy', { edit, gatewayEnv: { PROXY_PROTOCOL: 'on', FORCE_SSL: 'off' } }));
});
