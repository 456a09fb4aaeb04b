// The model's arithmetic against numbers worked out by hand, its options, and that deploy/README.md shows what the program prints.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { ROOT } from '../../lint/source.mjs';
import { fit, line } from './fit.mjs';
import { along, comments, frameUs, gatewayLoad, gatewayMemory, historyBytes, openUs, publisherUs, redisUs, touched, writeBytes, writeUs } from './formula.mjs';
import { OptionError, defaults, parse } from './options.mjs';
import { fewest, plan } from './plan.mjs';
import { GROUPS, HELD_OUT } from './points.mjs';
import { answer, blockOf, example, replaceBlock, rough, tables } from './report.mjs';

const near = (seen, want, of = 1e-9) => assert.ok(Math.abs(seen - want) <= of * Math.max(1, Math.abs(want)), `${seen} is not ${want}`);

// Round numbers: so that what follows can be worked out in the head.
const COSTS = {
    write_us: [[1, 10], [100, 6]], tls_write_us: 5, frame_us: { 'h1': 0, 'tls': 0, 'h2': 0.5, 'h2-tls': 0.6 }, kb_us: { 'h1': 0, 'tls': 2, 'h2': 1, 'h2-tls': 3 },
    event_us: [[10, 60], [1000, 20]], comment_us: 10, handoff_us: 20, gateway_idle_us: 700,
    redis_idle_us: 1500, redis_gateway_us: 100, redis_publish_us: [[10, 150], [1000, 60]], redis_subscriber_us: [[10, 20], [1000, 5]], redis_kb_us: 0,
    publisher_idle_us: 50, publisher_us: [[10, 100], [1000, 40]],
    gateway_bytes: { 'h1': 2e6, 'tls': 6e6 }, stream_bytes: { 'h1': 0, 'tls': 0, 'h2': 5000, 'h2-tls': 5000 }, connection_bytes: { 'h1': 700, 'tls': 15000, 'h2': 3000, 'h2-tls': 20000 },
    channel_bytes: 1000, ring_event_bytes: 68, socket_bytes: 4500, redis_event_bytes: 68, redis_channel_bytes: 300, redis_subscription_bytes: 200,
    open_stream_us: { 'h1': 0, 'tls': 0, 'h2': 10, 'h2-tls': 10 }, open_connection_us: { 'h1': 30, 'tls': 400, 'h2': 40, 'h2-tls': 500 }, open_channel_us: 10, redis_open_us: 5,
};
const LAYOUT = { gateways: 1, threads: 1, protocol: 'h1', per: 90, bytes: 256, together: false };

test('a curve is straight over the logarithm and flat beyond its ends', () => {
    near(along([[1, 10], [100, 6]], 10), 8);
    near(along([[1, 10], [100, 6]], 0.1), 10);
    near(along([[1, 10], [100, 6]], 1e6), 6);
});

test('few balls fall into different places, many into all', () => {
    assert.equal(touched(1, 5), 1);
    near(touched(2, 2), 1.5); // the second falls beside the first half of the time
    near(touched(1e9, 50), 50, 1e-6);
    near(touched(10, 1e6), 10);
});

test('a write costs what its protocol and its connection’s rate make of it', () => {
    near(writeUs(COSTS, 'h1', 10), 8);
    near(writeUs(COSTS, 'tls', 100), 11);
    near(frameUs(COSTS, 'h2-tls', 256 + 2048), 6.6);
});

test('a silent stream has a comment every 15 s, a busy one has none', () => {
    near(comments(0), 1 / 15);
    near(comments(1 / 15), 1 / 15 / (Math.E - 1));
    near(comments(10), 0);
});

test('a write on the network: data, frame or chunk, record, a head for each segment, half as many acknowledgements', () => {
    assert.deepEqual(writeBytes('h1', 1, 256), { out: 256 + 76 + 7 + 90, back: 90 });
    assert.deepEqual(writeBytes('h2-tls', 10, 256), { out: 10 * (256 + 76 + 9) + 22 + 3 * 90, back: 2 * 90 });
});

test('gateway: one channel of 1,000 streams, 10 events/s', () => {
    const load = gatewayLoad(COSTS, [{ channels: 1, each: 1000, rate: 10 }], LAYOUT);
    near(load.us, 700 + 10 * 60 + 10 * 999 * 8, 1e-6);
    near(load.deliveries, 10000);
    near(load.out, 10000 * 429);
});

test('gateways: each hears what one of its streams reads, and all of it with the streams of a channel apart', () => {
    const rooms = [{ channels: 1000, each: 2, rate: 100 }];
    near(gatewayLoad(COSTS, rooms, { ...LAYOUT, gateways: 2 }).heard, 75);
    near(gatewayLoad(COSTS, rooms, { ...LAYOUT, gateways: 2, together: true }).heard, 50);
    near(gatewayLoad(COSTS, [{ channels: 1, each: 1e6, rate: 100 }], { ...LAYOUT, gateways: 2 }).heard, 100);
});

test('gateways: HTTP/2 writes once for all streams of a connection that read the channel', () => {
    const load = gatewayLoad(COSTS, [{ channels: 1, each: 90000, rate: 1 }], { ...LAYOUT, protocol: 'h2' });
    near(load.connections, 1000);
    near(load.us, 700 + 60 + 999 * 10 + 90000 * 0.5 + 90000 * comments(1) * 10, 1e-6);
});

test('a gateway with threads pays for each that an event is handed to', () => {
    const one = { channels: 1, each: 8000, rate: 10 };
    near(gatewayLoad(COSTS, [one], { ...LAYOUT, threads: 8 }).us - gatewayLoad(COSTS, [one], LAYOUT).us, 10 * 7 * (20 - 8), 1e-6); // instead of a write
});

test('Redis: a publish, and a write to each gateway that listens', () => {
    near(redisUs(COSTS, { rate: 1000, at: 4, gateways: 8 }), 1500 + 800 + 1000 * (60 + 4 * 5));
});

test('publishers: less for each when there are many', () => {
    near(publisherUs(COSTS, 10), 50 + 1000);
    near(publisherUs(COSTS, 1000), 50 + 40000);
});

test('memory: streams, connections, channels, histories; Redis has nodes of 4 KiB', () => {
    assert.deepEqual(gatewayMemory(COSTS, { streams: 900, connections: 10, channels: 5, kept: 10, bytes: 256, protocol: 'h2' }),
        { own: 2e6 + 900 * 5000 + 10 * 3000 + 5 * (1000 + 10 * 400), kernel: 45000 });
    assert.equal(historyBytes(COSTS, 1, 256), 300 + 4096);
    assert.equal(historyBytes(COSTS, 100, 256), 300 + 10 * 4096);
});

test('opening: a part of the connection, and of a channel that is new', () => {
    near(openUs(COSTS, 'h2-tls', 10, 0.5), 10 + 50 + 5);
    near(openUs(COSTS, 'h1', 90, 0), 30);
});

test('the fewest that are enough', () => {
    assert.equal(fewest(n => n >= 37), 37);
    assert.equal(fewest(() => true, 2), 2);
    assert.equal(fewest(() => false), Infinity);
});

test('a plan: the nodes for its cores and one to spare', () => {
    const found = plan(COSTS, defaults({ streams: 1e6, channels: 1, rate: 1, cores: 2, load: 0.5 }));
    // 1,000,000 × 10 µs a second is 10 cores, 1 core of each node may be used; 60 µs for each of its events, 20 instead of 10 for its second thread's
    assert.equal(found.bound, 'cores');
    assert.equal(found.nodes, Math.ceil(10 + 11 * (0.0007 + 0.00006 - 0.00001 + 0.00001)) + 1);
    assert.equal(found.shards, 1);
});

test('a plan: of one user’s channel each, Redis’ memory decides', () => {
    const found = plan(COSTS, defaults({ streams: 1e7, channels: 1e7, rate: 1e7 / 3600, history: 20, redisMemory: 16 }));
    assert.equal(found.redisBound, 'memory');
    near(found.redisBytes, 1e7 * (300 + 2 * 4096 + 200), 1e-6);
    assert.equal(found.shards, Math.ceil(found.redisBytes / 16e9));
});

test('a plan: limits of one Redis or of the threads that read from it are reported', () => {
    assert.equal(plan(COSTS, defaults({ streams: 1e4, channels: 1, rate: 15000, cores: 64 })).tooHot, true);
    assert.throws(() => plan(COSTS, defaults({ streams: 1e6, channels: 1, rate: 40000, cores: 256, network: 1000 })), /hears [\d,]+ events\/s, more than its one thread/);
});

test('twice the streams never take fewer nodes, for each protocol', () => {
    for (const protocol of ['h1', 'tls', 'h2', 'h2-tls']) {
        const nodes = [1e5, 2e5, 4e5, 8e5, 1.6e6].map(streams => plan(COSTS, defaults({ streams, channels: streams / 50, rate: streams / 500, protocol })).nodes);
        assert.deepEqual(nodes, [...nodes].sort((a, b) => a - b));
    }
});

test('options that are wrong are named', () => {
    const fault = (...argv) => {
        try {
            parse(argv);
        } catch (error) {
            assert.ok(error instanceof OptionError);
            return error.message;
        }
        return 'none';
    };
    assert.match(fault(), /^--streams is missing/);
    assert.match(fault('--streams', 'many'), /^--streams: many is no number/);
    assert.match(fault('--streams', '1e11'), /^--streams: 1e11 is no number from 1 to 10000000000$/);
    assert.match(fault('--streams', '10', '--channels', '11'), /^--channels: 11 is more than the streams/);
    assert.match(fault('--streams', '10', '--protocol', 'h3'), /^--protocol: h3 is none of/);
    assert.match(fault('--groups', 'fan,all'), /^--groups: all is none of/);
    assert.match(fault('--nonsense'), /nonsense/);
    assert.equal(parse(['--streams', '1e6', '--to-all', '0.5']).input.toAll, 0.5);
});

test('a straight line through points on it is that line', () => {
    const { a, b } = line([[1, 5], [2, 7], [4, 11]]);
    near(a, 3);
    near(b, 2);
});

const costs = JSON.parse(readFileSync(new URL('costs.json', import.meta.url), 'utf8'));

test('costs.json: the costs are what follows from its samples', () => {
    const made = JSON.parse(JSON.stringify(fit(costs.samples, Object.keys(GROUPS))));
    for (const name of new Set([...Object.keys(made), ...Object.keys(costs.costs)]))
        [made[name]].flat(9).forEach((value, i) => typeof value === 'number' && near(value, [costs.costs[name]].flat(9)[i], 0.02));
    assert.deepEqual(Object.keys(made).sort(), Object.keys(costs.costs).sort());
});

test('costs.json: every group says where and when it was measured, every point has its sample', () => {
    for (const [name, points] of Object.entries(GROUPS)) {
        assert.match(costs.measured[name].machine, /cores/);
        assert.match(costs.measured[name].date, /^\d{4}-\d\d-\d\d$/);
        assert.deepEqual(points.filter(point => !costs.samples[point.id]).map(point => point.id), []);
    }
});

test('held-out points are none of the measured', () => {
    const key = ({ stage, load: { streams, channels, rate } }) => `${stage.protocol ?? 'h1'} ${streams}/${channels} ${rate}`;
    const measured = new Set(Object.values(GROUPS).flat().map(key));
    assert.ok(HELD_OUT.length >= 6);
    assert.deepEqual(HELD_OUT.filter(point => measured.has(key(point))), []);
});

const deploy = readFileSync(`${ROOT}/deploy/README.md`, 'utf8');

test('deploy/README.md has the tables that the program prints', () => {
    assert.equal(blockOf(deploy, 'model'), tables(costs.costs));
});

test('deploy/README.md shows the answer to its example', () => {
    const { argv, shown } = example(deploy);
    assert.equal(shown, answer(costs.costs, parse(argv).input));
});

test('tests/results/model.md: the largest run lost nothing and closed nothing', () => {
    const rows = Object.fromEntries(blockOf(readFileSync(`${ROOT}/tests/results/model.md`, 'utf8'), 'largest').split('\n').filter(text => text.startsWith('| ')).map(text => text.split('|').slice(1, -1).map(cell => cell.trim()))
        .map(([name, ...cells]) => [name, cells]));
    for (const name of ['lost', 'duplicated', 'out of order', 'streams closed'])
        assert.deepEqual(rows[name], ['0', '0']);
    assert.ok(rows.streams.every(text => Number(text.replaceAll(',', '')) >= 200000), `at least 200,000 streams: ${rows.streams}`);
});

test('a block is replaced, and a missing one is reported', () => {
    assert.equal(replaceBlock('a <!-- x --> b <!-- /x --> c', 'x', 'new'), 'a <!-- x -->\n\nnew\n\n<!-- /x --> c');
    assert.throws(() => replaceBlock('nothing', 'x', 'new'), /there is no/);
});

test('numbers are no more exact than they are known', () => {
    assert.deepEqual([0, 0.0123, 1.26, 12.6, 1260, 126000].map(rough), ['0', '0.012', '1.3', '13', '1,300', '130,000']);
});
