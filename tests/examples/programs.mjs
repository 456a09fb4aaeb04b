// The programs of proto/examples/, how each is run, and what that needs: [command…] of a copy of the folder, or the sentence that says what is missing.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Proc } from '../integration/process.mjs';
import { ROOT, tempFolder, within } from '../integration/stack.mjs';

export const EXAMPLES = join(ROOT, 'proto/examples');
const HERE = join(ROOT, 'tests/examples');

// A copy, so that Node finds packages beside it and nothing is written into the sources.
export function copyOf() {
    const copy = join(tempFolder(), 'examples');
    cpSync(EXAMPLES, copy, { recursive: true });
    symlinkSync(join(HERE, 'node_modules'), join(copy, 'node_modules'));
    return copy;
}
const copy = copyOf();

const works = (command, ...args) => spawnSync(command, args, { stdio: 'ignore' }).status === 0;
const memo = make => {
    let made;
    return () => (made ??= make());
};

const python = module => memo(() => ['python3', '/usr/bin/python3'].find(command => works(command, '-c', `import ${module}`)));
const pythons = { json: python('json'), httpx: python('httpx'), redis: python('redis') };
const runPython = (module, needs) => (file, at) => (pythons[module]() ? [pythons[module](), join(at, file)] : `no ${needs}`);

const hasNode = memo(() => existsSync(join(HERE, 'node_modules/.package-lock.json')));
const runNode = (file, at) => (hasNode() ? ['node', join(at, file)] : 'no packages: npm ci in tests/examples');

const javaVersion = memo(() => Number(/"(\d+)/.exec(spawnSync('java', ['-version'], { encoding: 'utf8' }).stderr)?.[1] ?? 0));
const hasJava = memo(() => javaVersion() >= 17 && works('javac', '-version'));
const runJava = (file, at) => (hasJava() ? ['java', join(at, file)] : 'no Java 17 (Debian: openjdk-17-jdk-headless)');

const hasElixir = memo(() => works('elixir', '--version'));
const runElixir = (file, at) => (hasElixir() ? ['elixir', join(at, file)] : 'no Elixir (Debian: elixir)');
const hasEredis = memo(() => hasElixir() && works('elixir', '-e', 'true = Code.ensure_loaded?(:eredis)'));
const runEredis = (file, at) => (hasEredis() ? ['elixir', join(at, file)] : 'no Elixir with eredis (Debian: elixir erlang-redis-client)');

// Compiled, because `go run` does not pass signals on. As GOPATH has it, so that Debian's libraries are found and nothing is downloaded.
const hasGo = memo(() => works('go', 'version'));
const REDIGO = '/usr/share/gocode/src/github.com/gomodule/redigo';
function runGo(file, at) {
    if (!hasGo())
        return 'no Go (Debian: golang-go)';
    if (file.endsWith('redis') && !existsSync(REDIGO))
        return 'no Go with redigo (Debian: golang-go golang-github-gomodule-redigo-dev)';
    const program = join(at, `${file}.bin`);
    if (!existsSync(program)) {
        const built = spawnSync('go', ['build', '-p', '1', '-o', program], { cwd: join(at, file), encoding: 'utf8',
            env: { ...process.env, GO111MODULE: 'off', GOPATH: '/usr/share/gocode', GOFLAGS: '' } });
        if (built.status !== 0)
            throw new Error(`go build of ${file}: ${built.stderr}`);
    }
    return [program];
}

const runScript = (file, at) => [join(at, file)];

// `loneCr`: takes a line that ends with CR alone. `silence`: gives up after a minute without a byte. `positions: false`: it forgets
// the id of a frame without data. `waits`: ms until it comes back after an answer that is no stream.
export const subscribers = [
    { file: 'python/subscribe.py', run: runPython('json', 'Python 3'), loneCr: true, silence: '60' },
    { file: 'python/subscribe_httpx.py', run: runPython('httpx', 'httpx (Debian: python3-httpx)'), loneCr: true, silence: '60' },
    { file: 'node/subscribe.mjs', run: runNode, loneCr: true, silence: '60_000' },
    { file: 'node/subscribe_eventsource.mjs', run: runNode, loneCr: true, positions: false, waits: 5000 },
    { file: 'go/subscribe', run: runGo, silence: '60 * time.Second' },
    { file: 'java/Subscribe.java', run: runJava, loneCr: true },
    { file: 'elixir/subscribe.exs', run: runElixir, loneCr: true, silence: '60_000' },
    { file: 'curl/subscribe', run: runScript, silence: '60' },
];

export const publishers = [
    { file: 'python/publish.py', run: runPython('json', 'Python 3') },
    { file: 'node/publish.mjs', run: runNode },
    { file: 'go/publish', run: runGo },
    { file: 'java/Publish.java', run: runJava },
    { file: 'elixir/publish.exs', run: runElixir },
    { file: 'curl/publish', run: runScript },
    { file: 'python/publish_redis.py', run: runPython('redis', 'redis-py (Debian: python3-redis)'), redis: true },
    { file: 'node/publish_redis.mjs', run: runNode, redis: true },
    { file: 'go/publish_redis', run: runGo, redis: true },
    { file: 'elixir/publish_eredis.exs', run: runEredis, redis: true },
    { file: 'curl/publish_redis', run: runScript, redis: true },
];

// Publish several texts together: URL or channel, then the texts.
export const batchers = [
    { file: 'python/publish_many.py', run: runPython('json', 'Python 3') },
    { file: 'node/publish_many.mjs', run: runNode },
    { file: 'go/publish_many', run: runGo },
    { file: 'curl/publish_many_redis', run: runScript, redis: true },
];

// What none of them can run here: the libraries are in no Debian package.
export const UNRUN = ['java/PublishRedis.java', 'elixir/publish_redis.exs'];

// A running example; `out` is what it printed on stdout.
export class Example extends Proc {
    out = '';

    constructor({ file, run, at = copy }, args, env = {}) {
        super(file, [...run(file, at), ...args], env);
        this.spawn();
        this.child.stdout.on('data', text => (this.out += text));
    }

    printed(text, ms = 20000) {
        return this.wait(`${this.name} prints ${JSON.stringify(text.slice(-200))}`, () => this.out.length >= text.length, ms);
    }

    // Its status, once it has ended.
    async status(ms = 40000) {
        this.expected = true;
        const { code, signal } = await within(`${this.name} ends`, this.exited, ms).catch(error => {
            throw new Error(`${error.message}\n${this.tail()}`);
        });
        return code ?? signal;
    }
}

// The sentence that a test is skipped with, or false.
export function lacking(program) {
    const found = program.run(program.file, copy);
    return typeof found === 'string' ? `${program.file}: ${found}` : false;
}

// The same program, but what it waits a minute for takes two seconds.
export function impatient(program) {
    const at = copyOf();
    const whole = join(at, program.file);
    let edits = 0;
    for (const path of statSync(whole).isDirectory() ? readdirSync(whole).map(name => join(whole, name)) : [whole]) {
        const text = readFileSync(path, 'utf8');
        edits += text.split(program.silence).length - 1;
        writeFileSync(path, text.replaceAll(program.silence, program.silence.replace('60', '2')));
    }
    if (edits === 0)
        throw new Error(`${program.file} has no ${program.silence}`);
    return { ...program, at };
}
