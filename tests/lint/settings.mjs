// The tables of settings, as the programs print them (tests/integration/config.test.mjs compares): the gateway's in README.md, the publisher's in
// publisher/README.md.
//
//     node tests/lint/settings.mjs [--write]      BUILD_DIR names the binaries, default build/release
//
// Without --write it only says whether they are up to date.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ROOT } from './source.mjs';

const build = resolve(ROOT, process.env.BUILD_DIR || 'build/release');
for (const [name, file] of [['gateway', 'README.md'], ['publisher', 'publisher/README.md']]) {
    const path = join(ROOT, file);
    const before = readFileSync(path, 'utf8');
    const table = execFileSync(join(build, `sse-${name}`), ['--print-settings'], { encoding: 'utf8' }).trim();
    const place = new RegExp(`(<!-- settings:${name} -->\n)[^]*?(<!-- /settings -->)`);
    if (!place.test(before))
        throw new Error(`${file} has no <!-- settings:${name} --> … <!-- /settings -->`);
    const after = before.replace(place, (_, open, close) => `${open}\n${table}\n\n${close}`);
    if (after === before) {
        console.log(`${file}: the table of settings is up to date`);
    } else if (process.argv.includes('--write')) {
        writeFileSync(path, after);
        console.log(`${file}: the table of settings is new now`);
    } else {
        console.log(`${file}: the table of settings is old; refresh it with  node tests/lint/settings.mjs --write`);
        process.exitCode = 1;
    }
}
