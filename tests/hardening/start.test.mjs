// The guard's own start: on any other library it refuses to run.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { binary, tempFolder } from '../integration/stack.mjs';
import { row } from './stage.mjs';

const library = /libh2o-evloop\S+ => (\S+)/.exec(execFileSync('ldd', [binary('sse-gateway')], { encoding: 'utf8' }))[1];

function startWith(program, change) {
    const folder = tempFolder(), bytes = readFileSync(library);
    writeFileSync(join(folder, basename(library)), change(bytes));
    return spawnSync(binary(program), [], { encoding: 'utf8', timeout: 20000,
        env: { ...process.env, LD_LIBRARY_PATH: folder, PORT: '0', ADMIN_PORT: '0', HTTP_PORT: '-1', REDIS_URL: 'redis://127.0.0.1:1' } });
}

for (const program of ['sse-gateway', 'sse-publisher'])
    test(`${program} refuses to start on another version of libh2o, with one sentence`, t => {
        const { status, stderr } = startWith(program, bytes => {
            const at = bytes.indexOf('h2o/2.2.5\0');
            assert.ok(at > 0);
            return Buffer.concat([bytes.subarray(0, at), Buffer.from('h2o/2.2.6'), bytes.subarray(at + 9)]);
        });
        assert.equal(status, 1, stderr);
        assert.match(stderr.trim().split('\n').at(-1), /why="this program guards libh2o 2\.2\.5, and the libh2o that was loaded is another version"$/);
        row(t, 'libh2o replaced by another version', program.replace('sse-', ''), 'does not start');
    });
