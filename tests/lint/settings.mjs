// The settings tables of README.md, as the programs print them (tests/integration/config.test.mjs compares).
//
//     node tests/lint/settings.mjs [--write]      BUILD_DIR names the binaries, default build/release
//
// Without --write it only says whether they are up to date.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ROOT } from './source.mjs';

const build = resolve(ROOT, process.env.BUILD_DIR || 'build/release');
const path = join(ROOT, 'README.md');
const before = readFileSync(path, 'utf8');
let after = before;
for (const name of ['gateway', 'publisher']) {
    const table = execFileSync(join(build, `sse-${name}`), ['--print-settings'], { encoding: 'utf8' }).trim();
    const place = new RegExp(`(<!-- settings:${name} -->\n)[^]*?(<!-- /settings -->)`);
    if (!place.test(after))
        throw new Error(`README.md has no <!-- settings:${name} --> … <!-- /settings -->`);
    after = after.replace(place, (_, open, close) => `${open}\n${table}\n\n${close}`);
}
if (after === before) {
    console.log('README.md: the settings tables are up to date');
} else if (process.argv.includes('--write')) {
    writeFileSync(path, after);
    console.log('README.md: the settings tables are new now');
} else {
    console.log('README.md: the settings tables are old; refresh them with  node tests/lint/settings.mjs --write');
    process.exitCode = 1;
}
