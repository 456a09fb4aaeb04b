// Figures that a document takes from another one are the same in both.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { read } from './source.mjs';

// The medians of the README's row of the gateway: µs for 1,000 and 10,000 streams, for small channels, p99, KB of an idle stream.
const cells = read('README.md').split('\n').find(line => line.startsWith('| **SSE Gateway** |')).split('|').map(cell => Number.parseFloat(cell));
const [delivery, idle] = [cells[3], cells[6]];

test('what a delivery and an idle stream cost is what the README measured', () => {
    assert.ok(delivery > 0 && idle > 0, `${cells}`);
    assert.ok(read('deploy/k8s/README.md').includes(` ${delivery.toFixed(1)} µs of CPU for each delivery`), `deploy/k8s/README.md: ${delivery.toFixed(1)} µs`);
    assert.ok(read('deploy/k8s/README.md').includes(` ${idle} KB`), `deploy/k8s/README.md: ${idle} KB`);
    assert.ok(read('deploy/howto.md').includes(`(also behind a proxy) | ${delivery.toFixed(0)} µs of CPU |`), `deploy/howto.md: ${delivery.toFixed(0)} µs`);
    assert.ok(read('deploy/howto.md').includes(`| an idle stream | ${idle.toFixed(1)} KB`), `deploy/howto.md: ${idle.toFixed(1)} KB`);
});
