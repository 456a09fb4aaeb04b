// The program: see `model --help`.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { OptionError, parse } from './options.mjs';
import { plan } from './plan.mjs';
import { observed, predict } from './predict.mjs';
import { answer, example, help, replaceBlock, replaceExample, tables, validationTable } from './report.mjs';

const DEPLOY = fileURLToPath(new URL('../../../deploy/README.md', import.meta.url));
const RESULTS = fileURLToPath(new URL('../../results/model.md', import.meta.url));
const BOUND = 0.2;
const TRIFLE = { gateway: 0.005, redis: 0.005, publisher: 0.005, memory: 1, history: 1 }; // cores, MB: less is not judged

const costs = () => JSON.parse(readFileSync(new URL('costs.json', import.meta.url), 'utf8')).costs;
const say = text => process.stderr.write(`${text}\n`);

function write(path, name, block) {
    writeFileSync(path, replaceBlock(readFileSync(path, 'utf8'), name, block));
    say(`written: ${path}`);
}

// The predictions are made before anything runs.
async function validate(toResults) {
    const { machine, runPoints } = await import('./measure.mjs');
    const { HELD_OUT } = await import('./points.mjs');
    const known = costs();
    const predicted = HELD_OUT.map(point => predict(known, point));
    // programs of its own for each round: what they hold is judged, too
    const samples = await runPoints(HELD_OUT.flatMap(point => [1, 2, 3].map(round => ({ ...point, stage: { ...point.stage, alone: `${point.id} ${round}` } }))), say);
    const results = HELD_OUT.flatMap((point, i) => {
        const seen = observed(samples[point.id], point), said = predicted[i];
        return Object.keys(seen).filter(role => Math.max(seen[role], said[role]) > TRIFLE[role])
            .map(role => ({ point: point.id, role, predicted: said[role], measured: seen[role], off: said[role] / seen[role] - 1 }));
    });
    const { date, commit, machine: where } = machine();
    const wide = results.filter(({ off }) => Math.abs(off) > BOUND).length;
    const text = [`Measured ${date} at ${commit}: ${where}. CPU in cores, memory in MB. ${results.length} figures, ${results.length - wide} within 20 %.`, validationTable(results)].join('\n\n');
    console.log(text);
    if (toResults)
        write(RESULTS, 'validation', text);
    process.exitCode = wide === 0 ? 0 : 1;
}

// The tables, and the answer to the example above them.
function writeTables() {
    const text = readFileSync(DEPLOY, 'utf8');
    writeFileSync(DEPLOY, replaceExample(text, answer(costs(), parse(example(text).argv).input)));
    write(DEPLOY, 'model', tables(costs()));
}

async function measure(groups) {
    const measuring = await import('./measure.mjs');
    await measuring.measure(groups, say);
}

const MODES = {
    help: () => console.log(help()),
    plan: ({ input, json }) => console.log(json ? JSON.stringify(plan(costs(), input), null, 2) : answer(costs(), input)),
    table: ({ write: toReadme }) => (toReadme ? writeTables() : console.log(tables(costs()))),
    measure: ({ groups }) => measure(groups),
    validate: ({ write: toResults }) => validate(toResults),
};

try {
    const options = parse(process.argv.slice(2));
    await MODES[options.mode](options);
} catch (error) {
    console.error(`model: ${error instanceof OptionError || !error.stack ? error.message : error.stack}`);
    process.exitCode = error instanceof OptionError ? 2 : 1;
}
// all stages were stopped; the last words that process.mjs has for a failed test would name each of them
process.removeAllListeners('exit');
