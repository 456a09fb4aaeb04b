// Sizes, top-level names and formatting.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { ROOT, faultsIn, files, isC, read } from './source.mjs';

const LINES_MAX = 600;
const FUNCTION_MAX = 80;
const GENERATED = /(^|\/)package-lock\.json$/;
const TOP = ['.ci', '.clang-format', '.clang-tidy', '.dockerignore', '.editorconfig', '.gitignore', '.github', 'CHANGELOG.md', 'CMakeLists.txt', 'CMakePresets.json', 'LICENSE',
    'README.md', 'deploy', 'docker-compose.yml', 'gateway', 'proto', 'publisher', 'runtime', 'tests'];

const text = files.filter(name => !GENERATED.test(name) && !/\.(png|ico|bin)$|\/(corpus|regression)\//.test(name));
const c = files.filter(isC);

// A file that is one thought may be longer; prose has no limit.
test(`code files over ${LINES_MAX} lines are named`, context => {
    for (const line of faultsIn(text.filter(name => !/\.(md|svg|json|yaml)$/.test(name)), (name, body) => {
        const lines = body.split('\n').length - 1;
        return lines > LINES_MAX ? `${lines} lines: one thought?` : [];
    }))
        context.diagnostic(line);
});

test(`no C function is over ${FUNCTION_MAX} lines`, () => {
    assert.deepEqual(faultsIn(c, (name, body) => {
        const lines = body.split('\n');
        const open = lines.flatMap((line, i) => (line === '{' ? [i] : []));
        return open.flatMap(from => {
            const length = lines.indexOf('}', from) - from - 1;
            return length > FUNCTION_MAX ? `${lines[from - 1]} has ${length} lines` : [];
        });
    }), []);
});

test('no C line holds a tab or ends with a space', () => {
    assert.deepEqual(faultsIn(c, (name, body) => body.split('\n').flatMap((line, i) =>
        (/\t|[ \t]$/.test(line) ? `line ${i + 1}` : []))), []);
});

test('the top level holds only what belongs there', () => {
    const seen = [...new Set(files.map(name => name.split('/')[0]))];
    assert.deepEqual(seen.filter(name => !TOP.includes(name)), []);
});

test('scripts are executable and bash reads them', () => {
    const scripts = text.filter(name => read(name).startsWith('#!/bin/bash'));
    assert.ok(scripts.includes('tests/run') && scripts.includes('deploy/local'));
    for (const name of scripts) {
        execFileSync('bash', ['-n', name], { cwd: ROOT });
        execFileSync('test', ['-x', name], { cwd: ROOT });
    }
});

const clangFormat = spawnSync('clang-format', ['--version']).status === 0;
test('C files are as clang-format leaves them', { skip: clangFormat ? false : 'clang-format is not installed' }, () => {
    const { status, stderr } = spawnSync('clang-format', ['--dry-run', '-Werror', ...c.filter(name => /\.c$/.test(name))], { cwd: ROOT, encoding: 'utf8' });
    assert.equal(status, 0, stderr.split('\n').filter(line => line.includes('error:')).join('\n'));
});
