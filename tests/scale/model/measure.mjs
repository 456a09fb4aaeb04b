// Runs points on this machine: their samples, and of measured ones the costs.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { ROOT } from '../../integration/stack.mjs';
import { fit } from './fit.mjs';
import { GROUPS } from './points.mjs';
import { Awake, Stage, stayOnClientCore } from './stage.mjs';

const COSTS = fileURLToPath(new URL('costs.json', import.meta.url));
const LIMIT_S = 590; // of all points together

export const readCosts = (path = COSTS) => JSON.parse(readFileSync(path, 'utf8'));

const middle = values => (values[Math.floor((values.length - 1) / 2)] + values[Math.ceil((values.length - 1) / 2)]) / 2;
const median = samples => Object.fromEntries(Object.keys(samples[0]).map(name => [name, middle(samples.map(sample => sample[name]).sort((a, b) => a - b))]));

// {id: sample} of the points; each sample also has its load's numbers.
export async function runPoints(points, say) {
    stayOnClientCore();
    const awake = new Awake();
    try {
        return await runAll(points, say);
    } finally {
        awake.stop();
    }
}

async function runAll(points, say) {
    const samples = {}, end = performance.now() + LIMIT_S * 1000;
    for (let i = 0; i < points.length;) {
        let n = i;
        while (n < points.length && JSON.stringify(points[n].stage) === JSON.stringify(points[i].stage))
            ++n;
        const stage = await Stage.start(points[i].stage);
        try {
            for (const point of points.slice(i, n))
                for (let round = 0; round < (point.rounds ?? 1); ++round) {
                    if (performance.now() > end)
                        throw new Error(`measuring took over ${LIMIT_S} s`);
                    (samples[point.id] ??= []).push({ ...await stage.run(point.load), streams: point.load.streams, rate: point.load.rate });
                    const { seconds, gateway_us: gateway, redis_us: redis } = samples[point.id].at(-1);
                    say(`${point.id}: gateways ${(gateway / seconds / 1e6).toFixed(3)} cores, Redis ${(redis / seconds / 1e6).toFixed(3)}`);
                }
        } finally {
            await stage.stop();
        }
        i = n;
    }
    return Object.fromEntries(Object.entries(samples).map(([id, rounds]) => [id, median(rounds)]));
}

const output = (...argv) => execFileSync(argv[0], argv.slice(1), { encoding: 'utf8' }).trim();

export const machine = () => ({
    date: new Date().toISOString().slice(0, 10),
    commit: output('git', '-C', ROOT, 'describe', '--always', '--dirty'),
    machine: `${cpus().length} cores, ${cpus()[0].model.trim()}, Linux ${release()}, ${output('redis-server', '--version').replace(/^Redis server v=(\S+).*/s, 'Redis $1')}`,
});

const round = (_, value) => (typeof value === 'number' ? Number(value.toPrecision(4)) : value);

// A line for each cost and each sample.
function text(costs) {
    const lines = object => Object.entries(object).map(([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value, round)}`).join(',\n');
    const parts = Object.entries(costs).map(([name, part]) => `"${name}": {\n${lines(part)}\n}`);
    return `{\n${parts.join(',\n')}\n}\n`;
}

// Measures these groups anew, and writes what follows from them and the older samples of the others.
export async function measure(groups, say) {
    const old = readCosts();
    const samples = await runPoints(groups.flatMap(group => GROUPS[group]), say);
    const measured = { ...old.measured, ...Object.fromEntries(groups.map(group => [group, machine()])) };
    const all = { ...old.samples, ...samples };
    const have = Object.keys(GROUPS).filter(group => GROUPS[group].every(point => all[point.id]));
    writeFileSync(COSTS, text({ measured, costs: fit(all, have, old.costs), samples: all }));
}
