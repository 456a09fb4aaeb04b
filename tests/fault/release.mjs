// The programs of version 1.0, built from this repository's history, for tests of an upgrade.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { ROOT, tempFolder } from '../integration/stack.mjs';

const COMMIT = '0839dd11a8d9eb62347820b5cda1d5494deaecf8'; // the last one before the section of 2.0.0 was begun in the changelog
const BUILD_MS = 300000;

const run = (argv, options = {}) => execFileSync(argv[0], argv.slice(1), { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'], timeout: BUILD_MS, maxBuffer: 256 << 20, ...options });

// Why it can't be built here, or false.
export function absent() {
    try {
        run(['git', 'cat-file', '-e', `${COMMIT}^{commit}`]);
        return false;
    } catch {
        return 'this checkout has no history of version 1.0';
    }
}

// The folder that holds its two programs.
export function build() {
    const source = tempFolder(), folder = join(source, 'build');
    run(['tar', 'x', '-C', source], { input: run(['git', 'archive', COMMIT]), stdio: ['pipe', 'pipe', 'pipe'] });
    run(['cmake', '-G', 'Ninja', '-S', source, '-B', folder, '-DCMAKE_BUILD_TYPE=Debug']); // which is built sooner, and what it sends is the same
    run(['cmake', '--build', folder, '-j', '2', '--target', 'sse-gateway', 'sse-publisher']);
    return folder;
}
