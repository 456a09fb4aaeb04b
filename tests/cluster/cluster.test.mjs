// The compose file as its users meet it: built, started, and then hurt under load. Needs root and some minutes; see README.md.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { row, since } from '../fault/rows.mjs';
import { until } from '../integration/wait.mjs';
import { Cluster, ROOT, SERVICES, options, skip } from './cluster.mjs';

const STREAMS = 300;
const POSTS = 1000;
const RATE = 20; // events a second under the faults
const IMAGE_MAX = 15e6;
const OBSERVABILITY = 'deploy/compose/observability.yml', SENTINEL = 'deploy/compose/sentinel.yml', TOKENS = 'deploy/compose/tokens.yml', ADMIN = 'deploy/compose/admin.yml';

let cluster, clients;

before(async () => {
    if (skip)
        return;
    const start = performance.now();
    cluster = await Cluster.start({ DRAIN_SECONDS: '3', TICKERS: 'letters:1000', KEEPALIVE_MS: '2000' }, { build: { prometheus: OBSERVABILITY } });
    clients = cluster.clients;
    console.log(`cluster up after ${since(start)} s`);
}, { timeout: 600000 });

after(() => cluster?.stop());

test('the images are small, say what they are, and run as nobody', options, async () => {
    const [, version] = readFileSync(`${ROOT}/CMakeLists.txt`, 'utf8').match(/^project\(.* VERSION (\S+)/m);
    for (const name of ['sse-gateway', 'sse-publisher']) {
        const [{ Size, Config }] = JSON.parse(await cluster.docker('image', 'inspect', name));
        assert.ok(Size <= IMAGE_MAX, `${name} has ${Size} bytes`);
        assert.equal(Config.User, '65532:65532');
        assert.equal(Config.Labels['org.opencontainers.image.title'], name);
        assert.equal(Config.Labels['org.opencontainers.image.version'], version);
        assert.equal(Config.Labels['org.opencontainers.image.licenses'], 'MIT');
        assert.equal((await cluster.docker('run', '--rm', '--network=none', name, '--version')).split(' ')[1], version);
    }
});

test('every container runs without root, capabilities or a root file system that can be written', options, async () => {
    for (const service of Object.keys(SERVICES)) {
        for (const { name, pid } of await cluster.containers(service)) {
            const status = Object.fromEntries(readFileSync(`/proc/${pid}/status`, 'utf8').trim().split('\n').map(line => line.split(/:\s*/)));
            assert.match(status.Uid, /^65532\t65532\t65532\t65532$/, name);
            assert.deepEqual([status.CapEff, status.CapPrm, status.CapBnd], Array(3).fill('0000000000000000'), name);
            assert.equal(status.NoNewPrivs, '1', name);
            assert.throws(() => writeFileSync(`/proc/${pid}/root/written`, ''), { code: 'EROFS' }, name);
        }
    }
});

// docker-compose 1.29 prints YAML only; its Python reads it.
async function composeConfig(...files) {
    cluster.files.push(...files);
    const yaml = await cluster.compose('config');
    cluster.files.splice(-files.length);
    const { stdout } = await promisify(execFile)('/usr/bin/python3', ['-c', 'import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.argv[1])))', yaml]);
    return JSON.parse(stdout);
}

test('every setting in the compose files is one of the program', options, async () => {
    cluster.engine.env.JWT_KEY = 'not-read-here';
    const { services } = await composeConfig(SENTINEL, TOKENS, ADMIN);
    for (const service of ['gateway', 'publisher']) {
        const help = await cluster.docker('run', '--rm', '--network=none', `sse-${service}`, '--help');
        const names = Object.keys(services[service].environment);
        assert.ok(names.includes('REDIS_URL_FILE') && names.includes('JWT_KEY_FILE'));
        assert.deepEqual(names.filter(name => !new RegExp(`\\b${name}\\b`).test(help)), [], service);
    }
});

test(`${STREAMS} clients of three gateways get each of ${POSTS} posts once and in order`, options, async t => {
    await clients.ask('follow', { streams: STREAMS, channel: 'cluster' });
    const streams = await Promise.all((await cluster.containers('gateway')).map(gateway => cluster.metric(gateway, 'sse_streams')));
    assert.equal(streams.reduce((sum, n) => sum + n, 0), STREAMS);
    assert.ok(streams.every(n => n > STREAMS / 5), `unevenly spread: ${streams}`);
    const start = performance.now();
    await clients.ask('burst', { count: POSTS });
    await clients.ask('settle');
    const report = await clients.ask('report');
    assert.equal(report.events, STREAMS * POSTS);
    assert.equal(report.reconnects, 0);
    check(t, `${POSTS} posts, as fast as they are acknowledged`, report, start);
});

// Nothing lost, nothing twice, nothing out of order, ever since the clients began.
function check(t, what, report, start) {
    row(t, what, { clients: report.streams, events: report.events, lost: report.lost, duplicated: report.duplicated, 'out of order': report.out_of_order,
        gaps: report.gaps, reconnects: report.reconnects, seconds: since(start) });
    const { lost, duplicated, out_of_order, gaps, malformed, faults } = report;
    assert.deepEqual({ lost, duplicated, out_of_order, gaps, malformed, faults },
        { lost: 0, duplicated: 0, out_of_order: 0, gaps: 0, malformed: 0, faults: [] });
}

// Runs `fault` with the load going on, waits until every client is open and has what was published after it; the report, of this fault only.
async function under(t, what, fault) {
    const start = performance.now();
    const before = await clients.ask('report');
    await clients.ask('start', { rate: RATE });
    await clients.ask('settle');
    await fault();
    await clients.ask('settle');
    await clients.ask('stop');
    await clients.ask('settle');
    const report = await clients.ask('report');
    const deliveries = report.events;
    for (const name of ['events', 'reconnects', 'refused', 'again'])
        report[name] -= before[name];
    check(t, what, report, start);
    assert.equal(deliveries, report.streams * report.published, 'each client has each event');
    return report;
}

test('docker kill of a gateway', options, async t => {
    const [gateway] = await cluster.containers('gateway');
    const streams = await cluster.metric(gateway, 'sse_streams');
    const report = await under(t, 'docker kill a gateway', async () => {
        await cluster.docker('kill', gateway.id);
        await clients.ask('settle');
    });
    assert.ok(streams > 0 && report.reconnects >= streams, `${report.reconnects} came back from a gateway with ${streams} streams`);
    await cluster.compose('up', '-d');
    await cluster.healthy(SERVICES);
});

test('scaling the gateways from 3 to 5 and to 2', options, async t => {
    const report = await under(t, 'scale gateways 3 → 5 → 2', async () => {
        await cluster.compose('up', '-d', '--no-recreate', '--scale', 'gateway=5');
        await cluster.healthy({ gateway: 5 });
        await cluster.compose('up', '-d', '--no-recreate', '--scale', 'gateway=2');
        await cluster.healthy({ gateway: 2 });
    });
    assert.ok(report.reconnects >= STREAMS / 4, `${report.reconnects} came over from the three that ended`);
    await cluster.compose('up', '-d', '--no-recreate', '--scale', 'gateway=3');
    await cluster.healthy(SERVICES);
});

test('a rolling restart of the gateways', options, async t => {
    const old = await cluster.containers('gateway');
    await under(t, 'rolling restart of 3 gateways', async () => {
        await promisify(execFile)(`${ROOT}/deploy/compose/roll`, ['gateway'], { env: cluster.engine.env });
    });
    await cluster.healthy(SERVICES);
    const fresh = await cluster.containers('gateway');
    assert.ok(fresh.every(({ id }) => old.every(container => container.id !== id)), 'each container is a new one');
});

test('docker pause of Redis for 5 seconds closes no stream', options, async t => {
    const [redis] = await cluster.containers('redis');
    const report = await under(t, 'docker pause Redis for 5 s', async () => {
        await cluster.docker('pause', redis.id);
        await new Promise(resolve => setTimeout(resolve, 5000)); // the fault's own length
        await cluster.docker('unpause', redis.id);
    });
    assert.equal(report.reconnects, 0);
    await cluster.healthy(SERVICES);
});

test('Redis restarts: its histories are there again, and no stream is closed', options, async t => {
    const [redis] = await cluster.containers('redis');
    const length = async () => Number(await cluster.compose('exec', '-T', 'redis', 'cli', 'XLEN', '{sse:cluster}:log'));
    const before = await length();
    const report = await under(t, 'docker restart Redis', async () => {
        await cluster.docker('restart', redis.id);
        await cluster.healthy(SERVICES);
    });
    assert.ok(before >= POSTS && await length() >= Math.min(before, POSTS), `${before} events before, ${await length()} after`);
    assert.equal(report.reconnects, 0);
});

test('HAProxy reloads, and open streams stay', options, async t => {
    const [haproxy] = await cluster.containers('haproxy');
    const workers = async () => [...(await cluster.docker('top', haproxy.id, '-o', 'pid,ppid')).matchAll(/^(\d+) +(\d+)$/gm)]
        .filter(([, , parent]) => Number(parent) === haproxy.pid).map(([, pid]) => pid);
    const old = await workers();
    const report = await under(t, 'HAProxy reloads', async () => {
        await cluster.compose('exec', '-T', 'haproxy', 'reload');
        await until('a new worker beside the old one', async () => (await workers()).some(pid => !old.includes(pid)));
        await clients.ask('watch', { path: '/sse' });
    });
    assert.equal(report.reconnects, 0);
    assert.ok((await workers()).some(pid => old.includes(pid)), 'the old worker holds the old streams');
});

test('HAProxy restarts, and all clients come back', options, async t => {
    const [haproxy] = await cluster.containers('haproxy');
    const report = await under(t, 'docker restart HAProxy', async () => {
        await cluster.docker('restart', '-t', '1', haproxy.id);
        await cluster.healthy(SERVICES);
    });
    assert.ok(report.reconnects >= STREAMS);
});

test('one publisher is killed, and the letters go on, one for each interval', options, async t => {
    await clients.ask('watch', { path: '/channels/letters' });
    const [publisher] = await cluster.containers('publisher');
    const letters = async () => (await clients.ask('watched', { path: '/channels/letters' })).filter(event => !event.empty);
    await until('letters', async () => (await letters()).length >= 2);
    const seen = (await letters()).length;
    await under(t, 'docker kill a publisher', async () => {
        await cluster.docker('kill', publisher.id);
        await until('five more letters', async () => (await letters()).length >= seen + 5, 10000);
    });
    // an id begins with its milliseconds; tick N of the ticker is published in second N
    const seconds = (await letters()).map(({ id }) => Math.floor(parseInt(id.replace('-', '').slice(0, 12), 16) / 1000));
    assert.deepEqual(seconds.slice(1).map((second, i) => second - seconds[i]), Array(seconds.length - 1).fill(1));
    await cluster.compose('up', '-d');
    await cluster.healthy(SERVICES);
});

// Grafana's image comes from a registry, and no test asks one.
test('the Prometheus of the overlay finds every gateway and publisher, and its alerts are loaded', options, async () => {
    const ask = async path => JSON.parse(await cluster.inside('curl', '-sS', `http://127.0.0.1:9090/api/v1/${path}`)).data;
    cluster.files.push(OBSERVABILITY);
    await cluster.compose('up', '-d', 'prometheus');
    await cluster.healthy({ ...SERVICES, prometheus: 1 });
    let targets;
    await until('five targets are up', async () => {
        targets = (await ask('targets')).activeTargets.map(({ labels, health, lastError }) => ({ job: labels.job, health, lastError }));
        return targets.length === 5 && targets.every(({ health }) => health === 'up');
    }, 40000, () => `: ${JSON.stringify(targets)}`);
    assert.deepEqual(targets.map(({ job }) => job).sort(), ['sse-gateway', 'sse-gateway', 'sse-gateway', 'sse-publisher', 'sse-publisher']);
    const [{ value }] = (await ask('query?query=sum(sse_streams)')).result;
    assert.ok(Number(value[1]) >= STREAMS, `${value[1]} streams`);
    const rules = (await ask('rules')).groups.flatMap(group => group.rules);
    assert.ok(rules.length > 0 && rules.every(({ health }) => health !== 'err'), JSON.stringify(rules.map(({ name, lastError }) => [name, lastError])));
    cluster.files.pop();
});

function token(secret, grants) {
    const part = value => Buffer.from(JSON.stringify(value)).toString('base64url');
    const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ exp: Math.floor(Date.now() / 1000) + 600, ...grants })}`;
    return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

test('with the overlay for tokens nobody gets in without one', options, async () => {
    const secret = randomBytes(32).toString('hex');
    cluster.engine.env.JWT_KEY = join(cluster.folder, 'jwt.key');
    writeFileSync(cluster.engine.env.JWT_KEY, secret, { mode: 0o400 });
    cluster.files.push(TOKENS);
    await cluster.compose('up', '-d');
    await cluster.healthy(SERVICES);
    const post = async (...argv) => cluster.inside('curl', '-sk', '-o', '/dev/null', '-w', '%{http_code}', '-H', 'content-type: text/plain', '-d', 'x', ...argv,
        'https://localhost:4043/channels/secret');
    await until('the new publishers answer', async () => await post() === '401');
    assert.equal(await post('-H', `authorization: Bearer ${token(secret, { sse: { publish: ['secret'] } })}`), '200');
    assert.equal(await post('-H', `authorization: Bearer ${token('another secret of 32 bytes or more', { sse: { publish: ['secret'] } })}`), '401');
    cluster.files.pop();
});
