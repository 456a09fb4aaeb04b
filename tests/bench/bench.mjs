// Measures what plan.mjs lists and writes tables, JSON and a plot. See README.md; `run` builds first.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { BUILD_DIR, ROOT } from '../integration/stack.mjs';
import { withStolen } from './measure.mjs';
import { PEERS, plan } from './plan.mjs';
import { plot } from './plot.mjs';
import { fault, joined, markdown, replaceBlock, summary } from './report.mjs';
import { RUNS } from './runs.mjs';

const { values: options } = parseArgs({ options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    loads: { type: 'string' },
    repeat: { type: 'string' },
    json: { type: 'string' },
    readme: { type: 'boolean', default: false },
    from: { type: 'string' },
} });
const list = text => (text === undefined ? null : text.split(','));
const output = (command, ...args) => {
    try {
        return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
    } catch {
        return '';
    }
};

const say = text => process.stderr.write(`${text}\n`);

function versions() {
    const debian = name => output('dpkg-query', '-W', '-f', '${Version}', name).replace(/^\d+:|[-+].*$/g, '');
    const npm = name => JSON.parse(readFileSync(join(ROOT, 'tests/node_modules', name, 'package.json'), 'utf8')).version;
    return [`Nchan ${debian('libnginx-mod-nchan')} in nginx ${debian('nginx')}`, `Pushpin ${debian('pushpin')}`, `Redis ${debian('redis-server')}`,
        `Node.js ${process.versions.node}`, `better-sse ${npm('better-sse')}`, `ioredis ${npm('ioredis')}`];
}

const begin = rounds => ({
    date: new Date().toISOString().slice(0, 10),
    commit: output('git', '-C', ROOT, 'describe', '--always', '--dirty'),
    machine: `${cpus().length} cores, ${cpus()[0].model.trim()}, Linux ${release()}`,
    versions: versions(),
    rounds,
    samples: {},
});

// A line for each sample, five digits for each figure.
function json({ samples, ...head }) {
    const round = (_, value) => (typeof value === 'number' ? Number(value.toPrecision(5)) : value);
    const lines = Object.entries(samples).flatMap(([load, systems]) => Object.entries(systems).map(([system, rounds]) => ({ load, system, rounds })));
    const block = ({ load, system, rounds }) =>
        `{"load":"${load}","system":"${system}","rounds":[\n${rounds.map(sample => JSON.stringify(sample, round)).join(',\n')}]}`;
    return `${JSON.stringify(head).slice(0, -1)},"samples":[\n${lines.map(block).join(',\n')}]}\n`;
}

function parse(text) {
    const { samples, ...head } = JSON.parse(text);
    const tables = {};
    for (const { load, system, rounds } of samples)
        (tables[load] ??= {})[system] = rounds;
    return { ...head, samples: tables };
}

function save(results, path) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, json(results));
    writeFileSync(path.replace(/(\.json)?$/, '.svg'), plot(results));
}

function write(results, path) {
    save(results, path);
    console.log(markdown(results));
    say(`written: ${path} and the plot beside it`);
    if (!options.readme)
        return;
    save(results, join(ROOT, 'tests/results/bench.json'));
    for (const [name, text] of [['README.md', summary(results)], ['tests/results/bench.md', markdown(results)]]) {
        const path = join(ROOT, name);
        writeFileSync(path, replaceBlock(readFileSync(path, 'utf8'), text));
        say(`written: ${path}`);
    }
}

// What a sample of each kind must have some of.
const MAIN = { steady: 'events', bus: 'events', idle: 'open_ms', post: 'per_second', churn: 'opened_s' };
const problem = (kind, sample) => fault(sample) ?? (MAIN[kind] && !(sample[MAIN[kind]] > 0) ? `no ${MAIN[kind]}` : null);

const brief = sample => Object.entries(sample).filter(([name, value]) => typeof value === 'number' &&
    /^(cpu_us|p16_cpu_us|p64_cpu_us|p99_ms|pss_kb|most|per_second|pause_ms|open_ms|join_p50_ms|client_load|stolen)$/.test(name)).map(([name, value]) => `${name} ${value.toFixed(2)}`).join(', ');

const STOLEN_MAX = 0.02, TRIES = 5;

// A sample that a busy host disturbed is taken again; the least disturbed of a few counts, whatever its figures. One with a fault counts at once.
async function calmSample(load, name, memory) {
    let best = null;
    for (let tries = 0; tries < (options.quick ? 1 : TRIES) && !(best?.stolen <= STOLEN_MAX); ++tries) {
        const sample = await withStolen(() => RUNS[load.kind](load, name, memory));
        if (problem(load.kind, sample) !== null)
            return sample;
        if (best === null || sample.stolen < best.stolen)
            best = sample;
    }
    return best;
}

// Every sample of every load, the systems interleaved. `faults` gets what went wrong in ours.
async function measure(loads, results, faults, each) {
    for (const load of loads) {
        const memory = {};
        const table = results.samples[load.name] = Object.fromEntries(load.systems.map(name => [name, []]));
        for (let round = 0; round < results.rounds; ++round)
            for (const name of load.systems) {
                const what = `${load.name}, ${name}, round ${round + 1}`;
                const peer = PEERS.includes(name);
                try {
                    const sample = await calmSample(load, name, memory[name] ??= {});
                    table[name].push(sample);
                    const wrong = problem(load.kind, sample);
                    say(`${what}: ${brief(sample)}${wrong === null ? '' : ` — ${wrong}`}`);
                    if (!peer && wrong !== null)
                        faults.push(`${what}: ${wrong}`);
                } catch (error) {
                    table[name].push(null);
                    say(`${what}: ${error.message}`);
                    if (!peer)
                        faults.push(`${what}: ${error.message}`);
                }
                each(what);
            }
    }
}

// Correctness only: every sample of ours, with nothing lost.
async function quick() {
    const loads = plan({ quick: true, only: list(options.only), loads: list(options.loads) });
    const results = begin(1), faults = [];
    let done = 0;
    await measure(loads, results, faults, () => ++done);
    markdown(parse(json(results))); // must not fail
    plot(results);
    for (const text of faults)
        console.log(`failed: ${text}`);
    if (done === 0)
        faults.push('nothing was measured');
    console.log(`${done - Math.min(done, faults.length)} passed, ${faults.length} failed`);
    process.exitCode = faults.length === 0 ? 0 : 1;
}

async function full() {
    const path = resolve(options.json ?? join(BUILD_DIR, '../bench/results.json'));
    const results = begin(Number(options.repeat ?? 3)), faults = [];
    const loads = plan({ quick: false, only: list(options.only), loads: list(options.loads) });
    await measure(loads, results, faults, () => save(results, path));
    write(results, path);
    if (faults.length !== 0) {
        console.log(`\nfailed:\n${faults.join('\n')}`);
        process.exitCode = 1;
    }
}

if (options.from)
    write(joined(list(options.from).map(path => parse(readFileSync(path, 'utf8')))), resolve(options.json ?? list(options.from)[0]));
else
    await (options.quick ? quick() : full());
// All systems were stopped; the last words that process.mjs has for a failed test would name each of them.
process.removeAllListeners('exit');
