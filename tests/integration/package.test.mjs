// The Debian package, its units, the changelog's version and the bill of materials.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { BUILD_DIR, ROOT, SANITIZED, binary, tempFolder } from './stack.mjs';

const has = command => spawnSync('sh', ['-c', `command -v ${command}`]).status === 0;
const run = (command, args, options = {}) => execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], ...options });
const VERSION = /^project\(.* VERSION (\S+) /m.exec(readFileSync(join(ROOT, 'CMakeLists.txt'), 'utf8'))[1];
const PROGRAMS = ['sse-gateway', 'sse-publisher'];

const skip = SANITIZED ? 'a sanitizer\'s build is not for packages' : !has('dpkg-shlibdeps') || !has('systemd-analyze') ? 'tools are missing: deploy/packages package' : false;
const folder = tempFolder();
const inside = join(folder, 'inside');
let deb;
if (!skip) {
    run('cpack', ['-G', 'DEB', '-B', folder, '--config', join(BUILD_DIR, 'CPackConfig.cmake')]);
    deb = join(folder, readdirSync(folder).find(name => name.endsWith('.deb')));
    run('dpkg-deb', ['-x', deb, inside]);
}

const ldd = program => run('ldd', [binary(program)]).split('\n').map(line => /=> (\/\S+)|^\s(\/\S+)/.exec(line)).filter(Boolean).map(match => match[1] ?? match[2]);
const unit = program => readFileSync(join(ROOT, `deploy/systemd/${program}.service`), 'utf8');
const setting = (program, name) => run(binary(program), ['--print-config'], { env: {} }).match(new RegExp(`^${name}=(.*)$`, 'm'))?.[1];

test('the package is named by version and architecture, and depends on what the programs link', { skip }, () => {
    const fields = Object.fromEntries([...run('dpkg-deb', ['-f', deb]).matchAll(/^(\S+): (.*)$/gm)].map(([, name, value]) => [name, value]));
    const architecture = run('dpkg', ['--print-architecture']).trim();
    assert.equal(basename(deb), `sse-gateway_${VERSION}_${architecture}.deb`);
    assert.equal(fields.Version, VERSION);
    assert.match(fields.Maintainer, /^[^<]+ <[^@<>]+@(?!localhost)[^@<>]+\.[a-z]+>$/);
    const depends = fields.Depends.split(', ').map(item => item.split(' ')[0]);
    for (const library of ['libc6', 'libh2o-evloop0.13', 'libhiredis0.14', 'libyajl2', 'libssl3', 'libseccomp2', 'libcjose0'])
        assert.ok(depends.includes(library), `${library} is not in ${fields.Depends}`);
});

test('the package holds the programs, units, settings, the Lua library and the texts, all of root, none writable for others', { skip }, () => {
    const rows = run('dpkg-deb', ['-c', deb]).trim().split('\n').map(line => line.split(/\s+/));
    for (const [mode, owner, , , , path] of rows) {
        assert.equal(owner, 'root/root', path);
        const want = mode[0] === 'd' || path.startsWith('./usr/bin/') ? 'rwxr-xr-x' : 'rw-r--r--';
        assert.equal(mode.slice(1), want, path);
    }
    const paths = rows.map(row => row[5].slice(1));
    const doc = '/usr/share/doc/sse-gateway';
    for (const path of [...PROGRAMS.flatMap(program => [`/usr/bin/${program}`, `/usr/lib/systemd/system/${program}.service`, `/etc/default/${program}`]),
        '/usr/share/sse-gateway/sse.lua', '/usr/share/sse-gateway/observability/alerts.yml', `${doc}/copyright`, `${doc}/changelog.md`, `${doc}/changelog.gz`, `${doc}/README.md`, `${doc}/settings.md`, ...[...PROGRAMS, 'sse-cli'].map(program => `/usr/share/man/man1/${program}.1.gz`)])
        assert.ok(paths.includes(path), path);
    assert.ok(paths.every(path => path.endsWith('/') || /^\/(usr\/(bin|lib\/systemd\/system|share\/(doc\/)?sse-gateway|share\/man\/man1|share\/(bash-completion|zsh|fish)\/(vendor[_-])?completions(\.d)?)|etc\/default)\//.test(path)), paths.join(' '));
    assert.ok(run('zcat', [join(inside, doc, 'changelog.gz')]).startsWith(`sse-gateway (${VERSION}) `));
    assert.equal(run('dpkg-deb', ['--info', deb, 'conffiles']), '/etc/default/sse-gateway\n/etc/default/sse-publisher\n');
});

test('the packaged programs run', { skip }, () => {
    for (const program of PROGRAMS) {
        const path = join(inside, 'usr/bin', program);
        assert.equal(run(path, ['--version']), `${program} ${VERSION}\n`);
        assert.equal(run('sh', ['-ac', `. ${join(inside, 'etc/default', program)}; exec ${path} --check-config`]), '');
        assert.match(run('file', [path]), /, stripped/);
    }
});

test('the settings named in /etc/default are settings', () => {
    for (const program of PROGRAMS) {
        const names = [...readFileSync(join(ROOT, `deploy/systemd/${program}.default`), 'utf8').matchAll(/^#?([A-Z_]+)=/gm)].map(([, name]) => name);
        assert.ok(names.length >= 4);
        for (const name of names)
            assert.notEqual(setting(program, name), undefined, `${program} has no ${name}`);
    }
});

test('systemd takes the units, and finds little to say about their exposure', { skip }, () => {
    for (const program of PROGRAMS) {
        const path = join(folder, `${program}.service`);
        writeFileSync(path, unit(program).replaceAll('/usr/bin/', `${inside}/usr/bin/`));
        const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', path], { encoding: 'utf8' });
        assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
        const said = run('systemd-analyze', ['security', '--offline=true', '--no-pager', '--threshold=20', path]);
        assert.match(said, /Overall exposure level for \S+: (0|1)\.\d OK/);
    }
});

test('a unit waits for the drain before it kills', () => {
    assert.ok(Number(/^TimeoutStopSec=(\d+)s$/m.exec(unit('sse-gateway'))[1]) > Number(setting('sse-gateway', 'DRAIN_SECONDS')) + 5);
    assert.ok(Number(/^TimeoutStopSec=(\d+)s$/m.exec(unit('sse-publisher'))[1]) > 5);
});

test('the filter of the units lets pass what the programs\' own lets pass', { skip }, () => {
    const sets = {};
    for (const [, name, body] of run('systemd-analyze', ['--no-pager', 'syscall-filter']).matchAll(/^(@[\w-]+)\n((?: {4}.*\n?)*)/gm))
        sets[name] = body.split('\n').map(line => line.trim()).filter(line => line && !line.startsWith('#'));
    const expand = names => names.flatMap(name => (name.startsWith('@') ? expand(sets[name]) : [name]));
    const source = readFileSync(join(ROOT, 'runtime/sandbox_calls.c'), 'utf8');
    const own = [.../allowed\[\] = \{([^]*?)\};/.exec(source)[1].replace(/\/\*[^]*?\*\//g, '').matchAll(/"(\w+)"/g)].map(([, name]) => name);
    assert.ok(own.length > 100);
    for (const program of PROGRAMS) {
        const passes = new Set(expand(['@default']));
        for (const [, minus, names] of unit(program).matchAll(/^SystemCallFilter=(~?)(.+)$/gm))
            for (const name of expand(names.split(' ')))
                minus ? passes.delete(name) : passes.add(name);
        for (const name of [...expand(['@default'])])
            passes.add(name);
        assert.ok(passes.has('seccomp') && passes.has('capset') && !passes.has('mount') && !passes.has('ptrace') && !passes.has('chown'));
        // asked for by nobody here: the C library has them, and what it does without them is no different
        assert.deepEqual(own.filter(name => !passes.has(name) && sets['@known'].includes(name)), ['sched_setaffinity']);
    }
});

const noBoot = skip || (process.getuid() !== 0 ? 'needs root' : !has('redis-server') || !existsSync('/lib/systemd/systemd') ? 'no systemd or no redis-server here'
    : spawnSync('unshare', ['--mount', '--pid', '--fork', '--cgroup', '--net', 'true']).status !== 0 ? 'no namespaces here' : false);
test('installed, started, used, reloaded, killed, updated, stopped, removed and purged, by a real systemd', { skip: noBoot }, t => {
    const shared = join(folder, 'shared');
    mkdirSync(shared);
    copyFileSync(deb, join(shared, 'package.deb'));
    run(join(ROOT, 'tests/integration/systemd_boot'), [shared, join(ROOT, 'tests/integration/package_life.sh')]);
    const output = readFileSync(join(shared, 'output'), 'utf8');
    if (output === 'no user namespaces\n')
        return t.skip('the kernel makes no user namespaces here: in a chroot?');
    const locked = 'root 0 capabilities 0000000000000000 NoNewPrivs: 1 Seccomp: 2';
    assert.deepEqual(output.trim().split('\n'), [
        'installed: 0', 'enabled: disabled inactive inactive', 'started: 0', 'gateway: {"status":"ready"}', 'publisher: {"status":"ready"}', 'stream: data: hi',
        `sse-gateway: ${locked}`, 'sse-gateway-writes: 3', `sse-publisher: ${locked}`, 'sse-publisher-writes: 3',
        'reloaded: 0 active', 'killed: active', 'upgraded: active active 1', 'stopped: success 0 2', 'removed: 0 inactive 0 2', 'purged: 0 0',
    ], output);
});

test('deploy/sbom lists every library the programs load, each with its package, always the same', () => {
    const programs = PROGRAMS.map(name => binary(name));
    const text = run(join(ROOT, 'deploy/sbom'), programs);
    assert.equal(run(join(ROOT, 'deploy/sbom'), programs.toReversed?.() ?? [...programs].reverse()), text);
    const bom = JSON.parse(text);
    assert.deepEqual([bom.bomFormat, bom.specVersion, bom.metadata.component.version], ['CycloneDX', '1.5', VERSION]);
    const files = bom.components.flatMap(component => component.components);
    const linked = [...new Set(PROGRAMS.flatMap(ldd))];
    assert.ok(linked.length >= 10);
    assert.deepEqual(files.map(file => file.name).sort(), linked.sort());
    for (const { name, hashes } of files)
        assert.equal(hashes[0].content, run('sha256sum', [name]).split(' ')[0]);
    for (const { name, version, purl } of bom.components) {
        assert.equal(run('dpkg-query', ['-W', '-f', '${Version}', name]), version);
        assert.match(purl, /^pkg:deb\/debian\/(?:[a-z0-9.-]|%2B)+@[\w.%~-]+\?arch=\w+$/);
    }
    assert.deepEqual(bom.dependencies[0].dependsOn, bom.components.map(component => component['bom-ref']));
});

test('deploy/sbom says in one sentence what it can\'t do', () => {
    for (const [args, sentence] of [[[], /name at least one program/], [['/etc/passwd'], /\/etc\/passwd is no program/], [['/no/such'], /\/no\/such is no program/],
        [[join(ROOT, 'deploy/sbom')], /deploy\/sbom: .*not a dynamic executable/]]) {
        const { status, stdout, stderr } = spawnSync(join(ROOT, 'deploy/sbom'), args, { encoding: 'utf8' });
        assert.equal(status, 1);
        assert.equal(stdout, '');
        assert.match(stderr, sentence);
    }
});
