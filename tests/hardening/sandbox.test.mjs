// What a running program has given up, as the kernel tells it. What the filter does to each kind of call: tests/unit/test_sandbox.c.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { SANITIZED, Stack, freePort } from '../integration/stack.mjs';
import { openStream, request } from '../integration/sse.mjs';

const skip = SANITIZED ? 'a build with a sanitizer keeps its rights' : false;
const status = text => Object.fromEntries([...text.matchAll(/^(\w+):\t(.*)$/gm)].map(([, key, value]) => [key, value]));
const threads = pid => readdirSync(`/proc/${pid}/task`).map(id => status(readFileSync(`/proc/${pid}/task/${id}/status`, 'utf8')));
const NONE = '0000000000000000';

test('every thread: no capabilities, no new privileges, the filter; and the log says so', { skip }, async () => {
    const port = await freePort();
    // by name and over TCP, so that the threads that look names up are there
    const s = await Stack.start({ tls: true, redis: { port, bind: '127.0.0.1' }, env: { REDIS_URL: `redis://localhost:${port}` }, gatewayEnv: [{ THREADS: 3 }] });
    const stream = await openStream(`${s.gw[0].httpsUrl}/post`);
    await s.redis.subscribed('post');
    assert.equal((await request(`${s.gw[0].url}/post?a=1`, { method: 'POST' })).status, 303);
    assert.equal((await stream.next()).data, '{"a":"1"}');
    for (const [program, least] of [[s.gw[0], 4], [s.pub[0], 2]]) {
        const [line] = program.logged({ msg: 'sandbox' });
        assert.deepEqual([line.no_new_privs, line.capabilities, line.seccomp, line.core_dumps], ['on', 'none', 'on', 'off']);
        const all = threads(program.pid);
        assert.ok(all.length >= least, `${program.name} has ${all.length} threads`);
        for (const { NoNewPrivs, CapEff, CapPrm, CapInh, CapAmb, Seccomp } of all)
            assert.deepEqual({ NoNewPrivs, CapEff, CapPrm, CapInh, CapAmb, Seccomp }, { NoNewPrivs: '1', CapEff: NONE, CapPrm: NONE, CapInh: NONE, CapAmb: NONE, Seccomp: '2' });
        if (process.getuid() === 0)
            assert.equal(all[0].CapBnd, NONE);
        assert.match(readFileSync(`/proc/${program.pid}/limits`, 'utf8'), /^Max core file size +1 +1 /m);
    }
    stream.close();
});

test('SECCOMP=off and CORE_DUMPS=on are for those who look for a fault', { skip }, async () => {
    const s = await Stack.start({ env: { SECCOMP: 'off', CORE_DUMPS: 'on' } });
    const before = /^Max core file size.*$/m.exec(readFileSync('/proc/self/limits', 'utf8'))[0];
    for (const program of [...s.gw, ...s.pub]) {
        assert.equal(program.logged({ msg: 'sandbox' })[0].seccomp, 'off');
        assert.ok(threads(program.pid).every(({ Seccomp, NoNewPrivs }) => Seccomp === '0' && NoNewPrivs === '1'));
        assert.ok(readFileSync(`/proc/${program.pid}/limits`, 'utf8').includes(before));
    }
});
