// deploy/howto.md does what it says: its marked blocks run in their order as a person would run them, with deploy/local itself, and print what it shows.
// See blocks.mjs for the markers; the stream called `local` is deploy/local, which ends the one before and all streams.
// Ports are replaced by those that deploy/local chose. Ids may be others.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Run, markersOf, patternOf, running, stepsOf } from './blocks.mjs';
import { defaultPorts } from './default_ports.mjs';
import { BUILD_DIR, ROOT, binary, tempFolder, until, within } from './stack.mjs';

const NAME = 'deploy/howto.md';
const TEXT = readFileSync(join(ROOT, NAME), 'utf8');
const steps = stepsOf(TEXT);

binary('sse-gateway');
await defaultPorts();
const home = tempFolder(); // also stands for the root of the repository: what the commands leave behind goes with it
for (const name of ['deploy', 'proto', 'tests'])
    symlinkSync(join(ROOT, name), join(home, name));
mkdirSync(join(home, 'build/release'), { recursive: true });
symlinkSync(binary('sse-cli'), join(home, 'build/release/sse-cli'));
const cache = tempFolder();
const env = { PATH: process.env.PATH, HOME: home, XDG_CACHE_HOME: cache, LANG: 'C.UTF-8', BUILD_DIR };
let ports = {};

const argv = { sh: body => ['bash', '-euo', 'pipefail', '-c', body], js: body => ['node', '--input-type=module', '--eval', body] };
const start = ({ language, body }) =>
    new Run(argv[language](body.replace(/localhost:(\d{4})\b/g, (_, port) => `localhost:${ports[port] ?? port}`)), { cwd: home, env });

async function endAll() {
    await Promise.all([...running].filter(run => run !== local).map(run => run.end()));
    await local?.end();
    local = null;
}
after(endAll);

// deploy/local, once it is ready: where it listens and what it calls Redis.
let local = null;
async function startLocal(step) {
    await endAll();
    ports = {};
    local = start(step);
    await until('deploy/local is ready', () => {
        assert.equal(local.child.exitCode, null, local.detail());
        return /^Ready/m.test(local.out);
    }, 40000, local.detail);
    const port = re => re.exec(local.out)[1];
    ports = { 4043: port(/^Gateway 1 +http:\/\/localhost:(\d+)/m), 9043: port(/^Gateway 1 .* http:\/\/127\.0\.0\.1:(\d+)/m), 4143: port(/^Gateway 2 +https:\/\/localhost:(\d+)/m),
        4144: port(/^Gateway 2 .* and http:\/\/localhost:(\d+)/m), 4044: port(/^Publisher +http:\/\/localhost:(\d+)/m) };
    env.SSE_URL = `http://localhost:${ports[4043]}`; // sse-cli's default is port 4043
    env.REDIS = port(/-s (\S+) PUBLISH/);
}

const streams = new Map();
for (const step of steps) {
    const { verb, name, body, shown } = step;
    const line = body.split('\n')[0].slice(0, 100);
    if (verb === 'prints')
        test(`${NAME} shows of ${name}: ${line}`, () => streams.get(name).shows(patternOf(body)));
    else if (name === 'local')
        test(`${NAME} starts: ${line}`, { timeout: 120000 }, () => startLocal(step));
    else
        test(`${NAME} runs: ${line}`, async () => {
            const run = start(step);
            if (name !== '') {
                streams.set(name, run);
                return until('the stream is open', () => /^(id|event|data): /m.test(run.out), undefined, run.detail);
            }
            assert.equal(await within('it ends', run.ended, 20000).catch(error => error.message), 0, run.detail());
            if (shown !== undefined)
                assert.match(run.out, new RegExp(`^${patternOf(shown)}$`));
        });
}

test(`each marker of ${NAME} stands before a fence, and each command is marked`, () => {
    assert.equal(...markersOf(TEXT, steps));
    const unmarked = [...TEXT.matchAll(/(^.*)\n```sh\n(.*)/gm)].filter(([, before]) => !before.startsWith('<!-- run'));
    assert.deepEqual(unmarked.map(([, , command]) => command), []);
});

test(`${NAME} names files, headings, settings and metrics that are there`, () => {
    const slug = heading => heading.toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-');
    const headings = path => [...readFileSync(path, 'utf8').matchAll(/^#+ (.*)$/gm)].map(match => slug(match[1]));
    for (const [, path, hash] of TEXT.matchAll(/\]\(([^)#:]*)(?:#([^)]*))?\)/g)) {
        const file = path === '' ? join(ROOT, NAME) : join(ROOT, 'deploy', path);
        assert.ok(existsSync(file), path);
        assert.ok(hash === undefined || headings(file).includes(hash), `${path}#${hash}`);
    }
    const code = ['README.md', 'deploy/settings.md', 'deploy/observability/README.md', 'deploy/lb/README.md'].map(path => readFileSync(join(ROOT, path), 'utf8')).join('\n');
    const settings = new Set([...TEXT.matchAll(/\b([A-Z][A-Z0-9]*_[A-Z_]+)\b/g)].map(match => match[1]));
    assert.deepEqual([...settings].filter(name => !code.includes(`\`${name}\``)), []);
    const metrics = new Set([...TEXT.matchAll(/`(sse_[a-z_]+)(?:\{|`)/g)].map(match => match[1]));
    assert.deepEqual([...metrics].filter(name => name !== 'sse_token' && name !== 'sse_publish' && !code.includes(`\`${name}\``)), []);
});

// The table of costs may be rounded, but not other than what was measured by more than a third.
test(`${NAME} has the costs of README.md`, () => {
    const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
    const measured = (row, column) => Number(readme.split('\n').find(line => line.startsWith(`| ${row} |`)).split('|')[column + 1].trim().split(' ')[0]);
    const said = re => Number(re.exec(TEXT)[1]);
    const pairs = [[said(/a delivery, HTTP\/1\.1 .*? \| ([\d.]+) µs/), measured('**SSE Gateway**', 2)], [said(/few streams \| ([\d.]+) µs/), measured('**SSE Gateway**', 3)],
        [said(/TLS in the gateway \| ([\d.]+) µs/), measured('**SSE Gateway**, TLS', 2)], [said(/HTTP\/2, 90 streams a connection \| ([\d.]+) µs/), measured('**SSE Gateway**, HTTP/2', 2)],
        [said(/with TLS ([\d.]+) µs/), measured('**SSE Gateway**, HTTP/2 over TLS', 2)], [said(/an idle stream \| ([\d.]+) KB/), measured('**SSE Gateway**', 5)],
        [said(/with TLS ([\d.]+) KB/), measured('**SSE Gateway**, TLS', 5)], [said(/HTTP\/2 ([\d.]+) KB/), measured('**SSE Gateway**, HTTP/2', 5)]];
    for (const [written, real] of pairs)
        assert.ok(written > real / 1.33 && written < real * 1.33, `${written} is written, ${real} was measured`);
});
