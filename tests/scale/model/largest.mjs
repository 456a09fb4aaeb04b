// The largest run that this machine holds: see `largest`. Every stream checks every number.
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cpuNs, pssKb } from '../../bench/measure.mjs';
import { DESCRIPTORS } from '../../bench/programs.mjs';
import { machine } from './measure.mjs';
import { replaceBlock } from './report.mjs';
import { using } from './stage.mjs';

const RESULTS = fileURLToPath(new URL('../../results/model.md', import.meta.url));
const MOST = 2000000;

const PER_CONNECTION = 90;
const SPARE_DESCRIPTORS = 400;
const PORTS = 12000; // from one address to another: connect(2) takes even ports first, and beyond 14,116 searches for milliseconds

// each_kb: of a stream in all of this machine's memory, clients and kernel included, with room to spare. deliveries: a second.
const KINDS = {
    'h2': { title: 'HTTP/2, 90 streams a connection', each_kb: 8, most: 1000000, channels: 10, deliveries: 300000, gateways: () => 4 },
    'h1': { title: 'HTTP/1.1', each_kb: 13, most: 600000, channels: 100, deliveries: 50000,
        gateways: streams => Math.ceil(streams / Math.min(PORTS, DESCRIPTORS - SPARE_DESCRIPTORS)) },
};

const field = (path, name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(path, 'utf8'))[1]);
const rssKb = pids => pids.reduce((sum, pid) => sum + field(`/proc/${pid}/status`, 'VmRSS'), 0);

// KB of the kernel's objects of connections, and of the buffers of TCP; null where only root may know. Both ends are on this machine.
const OBJECTS = /^(?:TCP|sock_inode_cache|filp|eventpoll_\w+|skbuff_\w+) +(\d+) +\d+ +(\d+)/gm; // in use, bytes of each
function kernelKb() {
    const pages = Number(/^TCP: .* mem (\d+)/m.exec(readFileSync('/proc/net/sockstat', 'utf8'))[1]);
    try {
        const objects = [...readFileSync('/proc/slabinfo', 'utf8').matchAll(OBJECTS)];
        return objects.reduce((total, [, count, size]) => total + count * size / 1024, pages * 4);
    } catch {
        return null;
    }
}

const fitting = ({ each_kb: each, most }, leave_kb = 3e6) =>
    Math.max(1000, Math.min(most, Math.floor((field('/proc/meminfo', 'MemAvailable') - leave_kb) / each / 10000) * 10000));

const sum = (values, of) => values.reduce((total, value) => total + of(value), 0);

// `seconds`: of the measured load, after the streams have opened.
async function largest(kind, { streams, seconds = 20, warm = 4, say = () => {} }) {
    const { gateways: count, deliveries, channels } = KINDS[kind];
    const gateways = count(streams);
    const each = Math.ceil(streams / gateways / channels) * channels;
    const rate = Math.max(1, Math.round(deliveries * channels / streams)); // events a second
    const kernel = kernelKb();
    return using({ gateways, protocol: kind, pinned: false, env: { MEMORY_LIMIT: 2 ** 30 } }, async stage => {
        const pids = stage.gateways.map(gateway => gateway.pid);
        say(`${kind}: ${gateways} gateways run, ${each} streams for each`);
        const start = performance.now();
        const readers = await stage.open({ streams: each * gateways, channels, per: PER_CONNECTION, together: true });
        const open_s = (performance.now() - start) / 1000;
        const open_cpu = cpuNs(pids) / 1e9;
        say(`${kind}: ${each * gateways} streams open after ${open_s.toFixed(1)} s`);
        try {
            await stage.settled();
            const memory = { pss_kb: pssKb(pids), rss_kb: rssKb(pids), kernel_kb: kernel === null ? null : kernelKb() - kernel, client_kb: pssKb(readers.map(reader => reader.child.pid)) };
            const load = await measured(stage, readers, { rate, channels, warm, seconds });
            return { kind, streams: each * gateways, gateways, readers: readers.length, connections: Math.ceil(each / (kind === 'h2' ? PER_CONNECTION : 1)) * gateways,
                open_s, open_cpu, ...memory, ...load, channels, rate };
        } finally {
            await Promise.all(readers.map(reader => reader.end()));
        }
    });
}

async function measured(stage, readers, { rate, channels, warm, seconds }) {
    const pids = stage.gateways.map(gateway => gateway.pid);
    const published = stage.publish({ rate, channels }, warm + seconds);
    published.catch(() => {});
    await sleep(warm * 1000);
    await Promise.all(readers.map(reader => reader.mark()));
    const before = cpuNs(pids), start = performance.now();
    const { last_seq: last } = await published;
    const reports = await Promise.all(readers.map(reader => reader.expect(last, 60)));
    const wall = (performance.now() - start) / 1000;
    const events = sum(reports, report => report.events);
    return { events, deliveries_s: events / wall, cpu_us: (cpuNs(pids) - before) / 1000 / events, gateway_cores: (cpuNs(pids) - before) / 1e9 / wall,
        p50_ms: Math.max(...reports.map(report => report.p50_us)) / 1000, p99_ms: Math.max(...reports.map(report => report.p99_us)) / 1000,
        ...Object.fromEntries(['lost', 'duplicated', 'out_of_order', 'closed'].map(name => [name, sum(reports, report => report[name])])) };
}

const ROWS = [
    ['streams', run => run.streams], ['gateway processes', run => run.gateways], ['connections', run => run.connections], ['opened in, s', run => run.open_s],
    ['CPU of the gateways to open one, µs', run => run.open_cpu * 1e6 / run.streams],
    ['memory of the gateways (PSS), MB', run => run.pss_kb / 1024], ['… resident, MB', run => run.rss_kb / 1024], ['… PSS for each stream, KB', run => run.pss_kb / run.streams],
    ['kernel memory of their connections, both ends, MB', run => run.kernel_kb && run.kernel_kb / 1024], ['… for each connection, KB', run => run.kernel_kb && run.kernel_kb / run.connections],
    ['memory of the clients (PSS), MB', run => run.client_kb / 1024],
    ['channels', run => run.channels], ['events/s', run => run.rate], ['deliveries/s', run => run.deliveries_s], ['deliveries checked', run => run.events],
    ['lost', run => run.lost], ['duplicated', run => run.duplicated], ['out of order', run => run.out_of_order], ['streams closed', run => run.closed],
    ['p50, ms', run => run.p50_ms], ['p99, ms', run => run.p99_ms], ['CPU of the gateways for each delivery, µs', run => run.cpu_us], ['cores the gateways used', run => run.gateway_cores],
];

const digits = value => value === null ? '' : value.toLocaleString('en', { maximumFractionDigits: Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2 });

function table(runs) {
    const { date, commit, machine: where } = machine();
    const gb = field('/proc/meminfo', 'MemTotal') / 1024 / 1024;
    const row = cells => `| ${cells.join(' | ')} |`;
    return [`Measured ${date} at ${commit}: ${where}, ${gb.toFixed(0)} GiB; clients, Redis and gateways on the one machine, at most ${DESCRIPTORS.toLocaleString('en')} descriptors a process.`,
        [row(['', ...runs.map(run => KINDS[run.kind].title)]), `|---|${'--:|'.repeat(runs.length)}`, ...ROWS.map(([name, of]) => row([name, ...runs.map(run => digits(of(run)))]))].join('\n'),
    ].join('\n\n');
}

async function main() {
    const { values } = parseArgs({ options: { streams: { type: 'string' }, only: { type: 'string' }, write: { type: 'boolean', default: false } } });
    const wanted = values.streams === undefined ? null : Number(values.streams);
    if (wanted !== null && !(Number.isInteger(wanted) && wanted >= 100 && wanted <= MOST))
        throw new Error(`--streams: ${values.streams} is not a whole number from 100 to ${MOST}`);
    if (values.only !== undefined && !KINDS[values.only])
        throw new Error(`--only: ${values.only} is none of ${Object.keys(KINDS).join(', ')}`);
    const runs = [];
    for (const kind of Object.keys(KINDS).filter(name => values.only === undefined || values.only === name))
        runs.push(await largest(kind, { streams: wanted ?? fitting(KINDS[kind]), say: text => process.stderr.write(`${text}\n`) }));
    console.log(table(runs));
    if (values.write)
        writeFileSync(RESULTS, replaceBlock(readFileSync(RESULTS, 'utf8'), 'largest', table(runs)));
    if (runs.some(run => run.lost + run.duplicated + run.out_of_order + run.closed !== 0))
        process.exitCode = 1;
}

try {
    await main();
} catch (error) {
    console.error(`largest: ${error.message}`);
    process.exitCode = 1;
}
process.removeAllListeners('exit'); // all was stopped; process.mjs would name each of them
