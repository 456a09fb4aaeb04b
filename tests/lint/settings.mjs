// The tables of deploy/settings.md, as the programs print them (tests/integration/config.test.mjs compares).
//
//     node tests/lint/settings.mjs [--write]      BUILD_DIR names the binaries, default build/release
//
// Without --write it only says whether they are up to date.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ROOT } from './source.mjs';

const FILE = 'deploy/settings.md', path = join(ROOT, FILE);
const build = resolve(ROOT, process.env.BUILD_DIR || 'build/release');
const before = readFileSync(path, 'utf8');
let after = before;
for (const name of ['gateway', 'publisher']) {
    const table = execFileSync(join(build, `sse-${name}`), ['--print-settings'], { encoding: 'utf8' }).trim();
    const place = new RegExp(`(<!-- settings:${name} -->\n)[^]*?(<!-- /settings -->)`);
    if (!place.test(after))
        throw new Error(`${FILE} has no <!-- settings:${name} --> … <!-- /settings -->`);
    after = after.replace(place, (_, open, close) => `${open}\n${table}\n\n${close}`);
}
if (after === before) {
    console.log(`${FILE} is up to date`);
} else if (process.argv.includes('--write')) {
    writeFileSync(path, after);
    console.log(`${FILE} is new now`);
} else {
    console.log(`${FILE} is out of date; refresh it with  node tests/lint/settings.mjs --write`);
    process.exitCode = 1;
}
