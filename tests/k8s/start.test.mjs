// The programs themselves, started with what the manifests give them: the probes are answered, and what autoscaler and monitor ask for is there. Ports, addresses
// and Redis are the test's.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Stack } from '../integration/stack.mjs';
import { find, programs } from './objects.mjs';
import { RENDERS } from './renders.mjs';
import { environment, scaledBy } from './settings.mjs';

const OURS = { PORT: 0, HOST: '127.0.0.1', ADMIN_PORT: 0, ADMIN_HOST: '127.0.0.1', REDIS_URL_FILE: null, DRAIN_SECONDS: 0 };

for (const name of ['overlays/dev', 'overlays/production'])
    test(`${name}: both programs start, answer the probes and count what the autoscaler asks for`, async () => {
        const { objects, given } = RENDERS[name];
        const [[gatewayEnv, gateway], [publisherEnv, publisher]] = ['sse-gateway', 'sse-publisher'].map(program => {
            const [, workload, container] = programs(objects).find(found => found[0] === program);
            return [{ ...environment(objects, given, workload, container).env, ...OURS }, container];
        });
        delete gatewayEnv.PUBLISHER_URL;
        const s = await Stack.start({ gatewayEnv: [gatewayEnv], publisherEnv: [publisherEnv] });
        for (const [server, container] of [[s.gw[0], gateway], [s.pub[0], publisher]])
            for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
                const { status } = await fetch(server.adminUrl + container[probe].httpGet.path);
                assert.equal(status, 200, `${container.name}: ${probe}`);
            }
        for (const metric of scaledBy(objects))
            assert.notEqual(await s.gw[0].metric(metric), undefined, metric);
        for (const { path } of find(objects, 'PodMonitor', 'sse')?.spec.podMetricsEndpoints ?? [])
            assert.match(await (await fetch(s.pub[0].adminUrl + path)).text(), /^sse_/m);
        assert.deepEqual(scaledBy(objects), name === 'overlays/dev' ? [] : ['sse_streams']);
        const tokens = 'JWT_KEY_FILE' in gatewayEnv;
        assert.equal((await fetch(`${s.gw[0].url}/channels/news`, { method: 'POST', body: 'x', headers: { 'content-type': 'text/plain' } })).status, tokens ? 401 : 200);
    });
