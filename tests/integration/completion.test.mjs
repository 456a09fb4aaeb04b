// Manual pages and shell completion hold just what the programs say of themselves, and the shells themselves make it of them.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { gunzipSync } from 'node:zlib';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD_DIR, SCALE, binary, tempFolder } from './stack.mjs';

const folder = tempFolder();
const out = (command, args, options = {}) => execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 20000 * SCALE, ...options });
const needs = command => ({ skip: spawnSync('sh', ['-c', `command -v ${command}`]).status === 0 ? false : `${command} is not installed` });
const SERVERS = ['sse-gateway', 'sse-publisher'];
const PROGRAMS = [...SERVERS, 'sse-cli'];

// Installed as a packager would: everything into one folder.
const inside = join(folder, 'inside');
for (const part of ['proto/cli', 'deploy/man', 'deploy/completion'])
    out('cmake', ['--install', join(BUILD_DIR, part), '--prefix', '/usr'], { env: { ...process.env, DESTDIR: inside } });
const share = (...path) => join(inside, 'usr/share', ...path);
const page = program => share('man/man1', `${program}.1.gz`);
const scripts = program => ({ bash: share('bash-completion/completions', program), zsh: share('zsh/vendor-completions', `_${program}`), fish: share('fish/vendor_completions.d', `${program}.fish`) });

// {tail: ['--channel', …, '-h'], …} of sse-cli; ['--help', 'healthcheck', …] of a server.
const rows = out(binary('sse-cli'), ['--print-options']).trimEnd().split('\n').map(line => line.split('\t'));
const optionsOf = Object.fromEntries(rows.filter(row => row[1] === '').map(([command]) =>
    [command, rows.filter(row => row[0] === command && row[1] !== '').flatMap(row => row[1].split(','))]));
const argumentsOf = program => [...out(binary(program), ['--help']).split('\n\n').find(part => part.startsWith('Arguments')).matchAll(/^ {2}(\S+)(?: (\S+))? {2,}/gm)];

test('the lists are not empty', () => {
    assert.deepEqual(Object.keys(optionsOf), ['tail', 'publish', 'bench']);
    for (const options of Object.values(optionsOf))
        assert.ok(options.length > 10 && options.includes('--url') && options.includes('-H'));
    for (const program of SERVERS)
        assert.ok(argumentsOf(program).length >= 6);
    out(join(inside, 'usr/bin/sse-cli'), ['--version']);
});

for (const program of PROGRAMS) {
    test(`${program}: the manual page has every setting, argument and option, and the version`, () => {
        const text = gunzipSync(readFileSync(page(program))).toString();
        if (program === 'sse-cli') {
            for (const [command, option, argument] of rows.filter(row => row[1] !== ''))
                assert.ok(text.includes(`Fl \\-${option.split('--')[1].replaceAll('-', '\\-')}${argument ? ` Ar ${argument}` : ''}\n`), `${command} ${option}`);
        } else {
            const settings = [...out(binary(program), ['--print-config'], { env: {} }).matchAll(/^([A-Z][A-Z0-9_]+)=/gm)].map(match => match[1]);
            assert.ok(settings.length > 9);
            assert.deepEqual([...text.matchAll(/^\.It Ev (\S+)\n(?!\.)/gm)].map(match => match[1]), settings);
            for (const [, name] of argumentsOf(program))
                assert.match(text, new RegExp(`^\\.It (Fl |Cm )${name.replace(/^-/, '')}$`, 'm'));
        }
        assert.ok(text.includes(`(version ${out(binary(program), ['--version']).split(' ')[1].trim()})`));
        assert.doesNotMatch(text, /@[A-Z]+|`/);
    });

    test(`${program}: mandoc has no warning about the page`, needs('mandoc'), () => {
        assert.equal(spawnSync('mandoc', ['-T', 'lint', '-W', 'warning', page(program)], { encoding: 'utf8' }).stdout, '');
    });

    test(`${program}: man has no warning about the page, and shows it`, needs('man'), () => {
        const { status, stdout, stderr } = spawnSync('man', ['--warnings', '-E', 'UTF-8', '-l', page(program)], { encoding: 'utf8', env: { ...process.env, MANWIDTH: '100', LC_ALL: 'C.UTF-8' } });
        assert.equal(status, 0, stderr);
        assert.equal(stderr, '');
        assert.match(stdout, /^EXIT STATUS$/m);
    });
}

// What bash offers for the last word of the line, asked as it asks itself: the function that `complete` was told.
function bash(program, line) {
    const words = line.split(' ');
    return out('bash', ['--norc', '-c', `source "$1"
        read -r _ _ function _ <<<"$(complete -p ${program})"
        COMP_WORDS=("\${@:2}") COMP_CWORD=$(($# - 2))
        "$function" && printf '%s\\n' "\${COMPREPLY[@]}"`, 'bash', scripts(program).bash, ...words], { cwd: folder }).trim().split('\n').sort();
}

const fish = (program, line) => out('fish', ['--no-config', '-c', 'source $argv[1]; complete -C $argv[2]', scripts(program).fish, line], { cwd: folder, env: { ...process.env, HOME: folder } })
    .trim().split('\n').map(row => row.split('\t')[0]).sort();

// zsh completes only for a person: it gets a terminal (zpty), and what it lists there is read until `last` was seen.
const ZSH = `zmodload zsh/zpty || exit 3
zpty z zsh -f -i
zpty -w z "PROMPT=; autoload -U compinit; fpath=($1 \\$fpath); compinit -u -D; LISTMAX=0; stty columns 200 rows 100; zstyle ':completion:*' list-prompt ''"
zpty -w z "echo REA''DY"
zpty -r -m z ready '*READY*'
zpty -w -n z "$2"$'\\t\\t'
zpty -r -m z seen "*$3*"
print -r -- "$seen"
zpty -d z`;
const zsh = (program, line, last) => out('zsh', ['-f', '-c', ZSH, 'zsh', share('zsh/vendor-completions'), line, last], { env: { ...process.env, TERM: 'xterm', HOME: folder } });

writeFileSync(join(folder, 'token.txt'), '');
const long = options => options.filter(option => option.startsWith('--')).sort();

test('bash: the commands, every option of each, files where files are wanted, nothing where only a person knows', needs('bash'), () => {
    assert.deepEqual(bash('sse-cli', 'sse-cli t'), ['tail']);
    assert.deepEqual(bash('sse-cli', 'sse-cli '), ['--help', '--print-options', '--version', 'bench', 'publish', 'tail']);
    for (const [command, options] of Object.entries(optionsOf)) {
        assert.deepEqual(bash('sse-cli', `sse-cli ${command} -`), [...options].sort());
        assert.deepEqual(bash('sse-cli', `sse-cli ${command} --url http://x --to`), ['--token-file']);
    }
    assert.deepEqual(bash('sse-cli', 'sse-cli tail --token-file to'), ['token.txt']);
    assert.deepEqual(bash('sse-cli', 'sse-cli tail --http '), ['1.1', '2']);
    assert.deepEqual(bash('sse-cli', 'sse-cli tail --from -'), ['']);
    assert.deepEqual(bash('sse-cli', 'sse-cli tail ne'), ['']);
    for (const program of SERVERS) {
        assert.deepEqual(bash(program, `${program} `), [...new Set(argumentsOf(program).map(match => match[1]))].sort());
        assert.deepEqual(bash(program, `${program} healthcheck `), ['--live']);
        assert.deepEqual(bash(program, `${program} --help `), ['']);
    }
});

test('fish: the same', needs('fish'), () => {
    assert.deepEqual(fish('sse-cli', 'sse-cli '), ['bench', 'publish', 'tail']);
    for (const [command, options] of Object.entries(optionsOf))
        assert.deepEqual(fish('sse-cli', `sse-cli ${command} --`), long(options));
    assert.deepEqual(fish('sse-cli', 'sse-cli tail --token-file to'), ['token.txt']);
    assert.deepEqual(fish('sse-cli', 'sse-cli tail --http '), ['1.1', '2']);
    for (const program of SERVERS) {
        const names = [...new Set(argumentsOf(program).map(match => match[1]))];
        assert.deepEqual(fish(program, `${program} --`), long(names));
        assert.deepEqual(fish(program, `${program} `), names.filter(name => !name.startsWith('-')));
        assert.deepEqual(fish(program, `${program} healthcheck --`), ['--live']);
    }
});

test('zsh: the same', needs('zsh'), () => {
    for (const program of PROGRAMS)
        out('zsh', ['-n', scripts(program).zsh]);
    const listed = text => [...text.matchAll(/^(?:\x1b\[\w)*(--[a-z-]+|[a-z]+) {2,}--/gm)].map(match => match[1]).sort();
    assert.deepEqual(listed(zsh('sse-cli', 'sse-cli ', 'tail  *--')), ['--help', '--print-options', '--version', 'bench', 'publish', 'tail']);
    for (const [command, options] of Object.entries(optionsOf))
        assert.deepEqual(listed(zsh('sse-cli', `sse-cli ${command} --`, '--url  *--')), long(options));
    for (const program of SERVERS)
        assert.deepEqual(listed(zsh(program, `${program} `, 'healthcheck  *--')), [...new Set(argumentsOf(program).map(match => match[1]))].sort());
});
