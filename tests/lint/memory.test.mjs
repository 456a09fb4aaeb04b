// A gateway's container has room for all that its settings let it keep, and a tenth to spare: the sums of deploy/security.md and deploy/k8s/README.md, for each way that we ship.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { read } from './source.mjs';

// Bytes of a stream with its socket, of 100 channels in it, of a channel, and of all that has no setting.
const STREAM = 3000, ITS_CHANNELS = 100 * 60, CHANNEL = 1000, REST = 64e6;
const BOUNDS = { RING_MEMORY: 1, MEMORY_LIMIT: 1, BODIES_LIMIT: 1, MAX_CHANNELS: CHANNEL, MAX_STREAMS: STREAM + ITS_CHANNELS };

const defaults = Object.fromEntries([...read('deploy/settings.md').split('## sse-publisher')[0].matchAll(/^\| `(\w+)` \| `(\d+)` \|/gm)].map(([, name, value]) => [name, Number(value)]));
const sum = given => Object.entries(BOUNDS).reduce((all, [name, bytes]) => all + bytes * (given[name] ?? defaults[name]), REST);
const numbers = (text, pattern) => Object.fromEntries([...text.matchAll(pattern)].map(([, name, value]) => [name, Number(value)]));
const mebibytes = text => Number(text) * 2 ** 20;

const compose = read('docker-compose.yml').split(/^ {2}(?=\w+:$)/m).find(service => service.startsWith('gateway:'));
const chart = read('deploy/helm/sse-gateway/values.yaml').split(/^(?=\w)/m).find(part => part.startsWith('gateway:'));
const SHIPPED = {
    'deploy/k8s/base': [numbers(read('deploy/k8s/base/gateway.env'), /^(\w+)=(\d+)$/gm), mebibytes(/limits:\n(?: +#.*\n)* +memory: (\d+)Mi/.exec(read('deploy/k8s/base/gateway.yaml'))[1])],
    'deploy/helm': [numbers(chart, /^ {4}(\w+): "(\d+)"/gm), mebibytes(/limits: \{ memory: (\d+)Mi \}/.exec(chart)[1])],
    'docker-compose.yml': [numbers(compose, /^ {6}(\w+): (?:\$\{\w+:-)?(\d+)\}?$/gm), mebibytes(/limits: \{.* memory: (\d+)M \}/.exec(compose)[1])],
};

for (const [name, [settings, limit]] of Object.entries(SHIPPED))
    test(`${name}: the memory limit is a tenth above what the gateway may keep`, () => {
        assert.ok((settings.MAX_STREAMS ?? 0) > 0, 'streams have a limit');
        assert.ok((settings.MEMORY_LIMIT ?? 0) > 0, `${JSON.stringify(settings)}`);
        assert.ok(sum(settings) <= 0.9 * limit, `${sum(settings) / 1e6} MB of ${limit / 1e6}`);
    });

test('the three ways have the same limits', () => {
    const values = Object.values(SHIPPED).map(([settings, limit]) => [...Object.keys(BOUNDS).map(name => settings[name] ?? defaults[name]), limit]);
    assert.deepEqual(values.slice(1), [values[0], values[0]]);
});

test('the documents give these sums', () => {
    const [settings, limit] = SHIPPED['deploy/k8s/base'], mb = bytes => Math.round(bytes / 1e6);
    const k8s = read('deploy/k8s/README.md'), security = read('deploy/security.md');
    for (const sentence of [`The limit of ${limit / 2 ** 20} MiB holds`, `with ${STREAM / 1000} KB in all`, `(40,000: ${mb(settings.MAX_STREAMS * STREAM)} MB, and ${mb(settings.MAX_STREAMS * ITS_CHANNELS)} MB more where each has 100 channels: ${ITS_CHANNELS / 100} bytes`,
        `(50,000: ${mb(settings.MAX_CHANNELS * CHANNEL)} MB)`, `and ${mb(REST)} MB for the rest: ${mb(sum(settings))} MB`])
        assert.ok(k8s.includes(sentence), sentence);
    const without = given => 10 * Math.round(sum({ MAX_STREAMS: 0, ...given }) / 1e7);
    for (const sentence of [`${STREAM / 1000} KB each with its socket (\`MAX_STREAMS\`), and ${ITS_CHANNELS / 100} bytes for each of its channels`, `${CHANNEL / 1000} KB for each of`, `about ${mb(REST)} MB`, `With the defaults that is ${without({})} MB`, `with \`MAX_CHANNELS=50000\` it is ${without({ MAX_CHANNELS: 50000 })} MB`])
        assert.ok(security.includes(sentence), sentence);
});
