// What the compiler and the linker were asked for stands in the programs themselves (binutils reads it out).
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD_DIR, binary } from '../integration/stack.mjs';

const run = (tool, ...args) => execFileSync(tool, args, { encoding: 'utf8', maxBuffer: 256 << 20 });
const cache = readFileSync(join(BUILD_DIR, 'CMakeCache.txt'), 'utf8');
const sanitized = !/^SANITIZE:STRING=$/m.test(cache);
const optimised = !/^CMAKE_BUILD_TYPE:\w+=Debug$/m.test(cache);
const x86 = process.arch === 'x64';

for (const program of ['sse-gateway', 'sse-publisher']) {
    const path = binary(program);

    test(`${program} is loaded anywhere (PIE), its tables are read-only when it runs (full RELRO)`, () => {
        assert.match(run('readelf', '-hW', path), /Type: +DYN /);
        const dynamic = run('readelf', '-dW', path);
        assert.match(dynamic, /FLAGS_1.* PIE/);
        assert.match(dynamic, /\(FLAGS\) +.*BIND_NOW/);
        assert.doesNotMatch(dynamic, /TEXTREL|RPATH|RUNPATH/);
        assert.match(run('readelf', '-lW', path), /GNU_RELRO/);
    });

    test(`${program} has no memory that can be written and run`, () => {
        const segments = [...run('readelf', '-lW', path).matchAll(/^ +(LOAD|GNU_STACK) .* ([R ][W ][E ]) +0x/gm)];
        assert.ok(segments.length >= 4 && segments.some(([, kind]) => kind === 'GNU_STACK'));
        for (const [, kind, flags] of segments)
            assert.ok(!flags.includes('W') || !flags.includes('E'), `${kind} ${flags}`);
    });

    test(`${program} guards its stack`, () => {
        assert.match(run('nm', '-D', '--undefined-only', path), / __stack_chk_fail\b/);
    });

    test(`${program} uses the C library's checking functions`, { skip: sanitized || !optimised ? 'not with a sanitizer or without optimisation' : false }, () => {
        assert.match(run('nm', '-D', '--undefined-only', path), / __(v?snprintf|memcpy)_chk\b/);
    });

    // Debian 12's C library does not switch the processor's check on, and its start-up code lacks the note that would ask for it; the code is ready.
    test(`${program}: what can be called indirectly begins with a landing pad (CET)`, { skip: x86 ? false : 'x86 only' }, () => {
        const code = run('objdump', '-d', '--no-show-raw-insn', path);
        const own = [...code.matchAll(/^[0-9a-f]+ <(gateway|publisher|redis|publish|listener|config|tls|subscribe|dial)_(\w+)>:\n\s+[0-9a-f]+:\t(\w+)/gm)];
        assert.ok(own.length > 40, `${own.length} functions were found`);
        assert.deepEqual(own.filter(([, , , first]) => first !== 'endbr64').map(([text]) => text), []);
    });
}

test('all of it is compiled with the same guards', () => {
    const commands = JSON.parse(run('ninja', '-C', BUILD_DIR, '--quiet', '-t', 'compdb').replace(/^ninja:.*\n/, ''))
        .filter(({ file, command }) => /\.c$/.test(file) && /(runtime|proto|gateway|publisher)\/[^ ]*\.c$/.test(file) && / -c /.test(command));
    assert.ok(commands.length > 50);
    const flags = ['-fstack-protector-strong', '-fstack-clash-protection', '-fPIE', ...(x86 ? ['-fcf-protection=full'] : []), ...(sanitized || !optimised ? [] : ['-D_FORTIFY_SOURCE=3'])];
    for (const { file, command } of commands)
        for (const flag of flags)
            assert.ok(command.split(' ').includes(flag) || (flag === '-fPIE' && command.includes('-fPIC')), `${flag} is missing for ${file}`);
});
