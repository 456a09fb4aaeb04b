// README.md and two documents that go on from it do what they say: their marked blocks run in their order against real programs, and print what is shown.
// See blocks.mjs for the markers. Ports are replaced by the test's. Ids, positions, letters, counts and rates may be others of their kind.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Run, markersOf, patternOf, running, stepsOf } from './blocks.mjs';
import { ROOT, Stack, tempFolder, until, within } from './stack.mjs';

const DOCUMENTS = ['README.md', 'deploy/README.md', 'proto/examples/README.md'].map(name => {
    const text = readFileSync(join(ROOT, name), 'utf8');
    return { name, text, steps: stepsOf(text) };
});
const steps = DOCUMENTS.flatMap(document => document.steps);

// As deploy/local starts it: the second gateway has TLS, and a plain port beside it.
const s = await Stack.start({ gateways: 2, tls: [1], env: { TICKERS: 'letters:200,counter:200,usd_eur:100' } });
const PORTS = { 4043: s.gw[0].port, 4143: s.gw[1].ports.public, 4144: s.gw[1].port, 4044: s.pub[0].ports.public, 9043: s.gw[0].ports.admin };

// curl tells with this when the head of a stream is there; what it prints stays the same.
const home = tempFolder();
writeFileSync(join(home, '.curlrc'), 'verbose\n');
const env = { PATH: process.env.PATH, HOME: home, LANG: 'C.UTF-8', REDIS: s.redis.socket };

const has = (python, module) => spawnSync(python, ['-c', `import ${module}`]).status === 0;
const pythonFor = body => ['python3', '/usr/bin/python3'].find(python => has(python, /^import .*\bredis\b/m.test(body) ? 'redis' : 'json'));

const BROWSER = "import { EventSource } from 'eventsource';\n"; // tests/e2e has the real ones
const argv = {
    sh: body => ['bash', '-euo', 'pipefail', '-c', body],
    js: body => ['node', '--input-type=module', '--eval', (body.includes('new EventSource') ? BROWSER : '') + body],
    python: body => [pythonFor(body), '-c', body],
};
const missing = ({ language, body }) => (language === 'python' && !pythonFor(body) ? 'no python3, or it lacks the module' : false);

after(() => Promise.all([...running].map(run => run.end('SIGKILL'))));

function start({ language, body }) {
    const command = argv[language](body.replace(/localhost:(\d{4})\b/g, (_, port) => `127.0.0.1:${PORTS[port]}`));
    return new Run(command, { cwd: join(ROOT, 'tests'), env });
}

const isOpen = run => until('the stream is open', () => /^< HTTP\/\S+ 200/m.test(run.err) || run.out !== '', undefined, run.detail);

// What differs from run to run may be anything of its kind.
const KINDS = [[/^\d{13}-\d+$/gm, '\\d{13}-\\d+'], [/^data: \d+$/gm, 'data: \\d+'], [/"msg":"[a-z]"/g, '"msg":"[a-z]"'],
    [/"rate":\d+\\\.\d+/g, '"rate":\\d\\.\\d{4}']];

const streams = new Map();
for (const [document, step] of DOCUMENTS.flatMap(({ name, steps: own }) => own.map(step => [name, step]))) {
    const { verb, name, body, shown } = step;
    const stream = `${document} ${name}`, line = body.split('\n')[0].slice(0, 100);
    if (verb === 'prints')
        test(`${document} shows of ${name}: ${line}`, () => streams.get(stream).shows(patternOf(body, KINDS)));
    else
        test(`${document} runs: ${line}`, { skip: missing(step) }, async () => {
            const run = start(step);
            if (name !== '') {
                streams.set(stream, run);
                return isOpen(run);
            }
            assert.equal(await within('it ends', run.ended).catch(error => error.message), 0, run.detail());
            if (shown !== undefined)
                assert.match(run.out, new RegExp(`^${patternOf(shown, KINDS)}$`));
        });
}

test('there are blocks of each kind, and each marker stands before a fence', () => {
    for (const { name, text, steps: own } of DOCUMENTS) {
        assert.equal(...markersOf(text, own));
        assert.ok(own.length >= 3, name);
    }
    for (const language of ['sh', 'js', 'python', 'text'])
        assert.ok(steps.some(step => step.language === language), language);
    for (const [, port] of steps.map(step => step.body).join('').matchAll(/localhost:(\d{4})\b/g))
        assert.ok(port in PORTS, `${port} is none of deploy/local's ports`);
});
