// The files of the project as git knows them, new ones included.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

export const files = execFileSync('git', ['-C', ROOT, 'ls-files', '-z', '--cached', '--others', '--exclude-standard', '--deduplicate'], { encoding: 'utf8' })
    .split('\0').filter(name => name !== '');

export const read = name => readFileSync(join(ROOT, name), 'utf8');

export const isC = name => /\.[ch]$/.test(name);

// Runs `check` on each file; it returns a sentence, a list of them, or nothing. All faults come together as "file: sentence".
export function faultsIn(names, check) {
    return names.flatMap(name => [check(name, read(name)) ?? []].flat().map(fault => `${name}: ${fault}`));
}
