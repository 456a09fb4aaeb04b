// README.md does what it says: its marked blocks run in their order against real programs, and print what it shows.
//
//     <!-- run -->           the next fence (sh, js, python) runs and ends with status 0
//     <!-- run: NAME -->     it is a stream: it stays open
//     <!-- prints -->        the next fence is all that the last run printed
//     <!-- prints: NAME -->  … is what NAME printed since it was last looked at; more may follow
//
// Ports are replaced by the test's. Ids, positions, letters, counts and rates may be others of their kind.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, Stack, tempFolder, until, within } from './stack.mjs';

const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
const steps = [];
for (const [, verb, name = '', language, body] of readme.matchAll(/^<!-- (run|prints)(?:: (\w+))? -->\n```(\w+)\n([^]*?)^```$/gm))
    if (verb === 'prints' && name === '')
        steps.at(-1).shown = body;
    else
        steps.push({ verb, name, language, body });

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

const children = new Set();
after(() => children.forEach(({ pid }) => process.kill(-pid, 'SIGKILL')));

class Run {
    out = '';
    err = '';
    seen = 0;

    constructor({ language, body }) {
        const [command, ...args] = argv[language](body.replace(/localhost:(\d{4})\b/g, (_, port) => `127.0.0.1:${PORTS[port]}`));
        this.child = spawn(command, args, { cwd: join(ROOT, 'tests'), env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
        children.add(this.child);
        this.child.stdout.setEncoding('utf8').on('data', text => (this.out += text));
        this.child.stderr.setEncoding('utf8').on('data', text => (this.err += text));
        this.ended = new Promise(resolve => this.child.on('close', (code, signal) => {
            children.delete(this.child);
            resolve(code ?? signal);
        }));
    }

    detail = () => `\n--- printed ---\n${this.out}\n--- stderr ---\n${this.err}`;

    open() {
        return until('the stream is open', () => /^< HTTP\/\S+ 200/m.test(this.err) || this.out !== '', undefined, this.detail);
    }

    async shows(pattern) {
        const found = () => new RegExp(`^${pattern}`).exec(this.out.slice(this.seen));
        this.seen += (await until('it prints what README.md shows', found, undefined, this.detail))[0].length;
    }
}

const escaped = text => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

// The shown text as a pattern: what differs from run to run may be anything of its kind.
function patternOf(text) {
    return escaped(text.trimEnd())
        .replace(/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}/g, '[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}')
        .replace(/^\d{13}-\d+$/gm, '\\d{13}-\\d+')
        .replace(/^data: \d+$/gm, 'data: \\d+')
        .replace(/"msg":"[a-z]"/g, '"msg":"[a-z]"')
        .replace(/"rate":\d+\\\.\d+/g, '"rate":\\d\\.\\d{4}') + '\\n*';
}

const streams = new Map();
for (const step of steps) {
    const { verb, name, body, shown } = step;
    const line = body.split('\n')[0].slice(0, 100);
    if (verb === 'prints')
        test(`README shows of ${name}: ${line}`, () => streams.get(name).shows(patternOf(body)));
    else
        test(`README runs: ${line}`, { skip: missing(step) }, async () => {
            const run = new Run(step);
            if (name !== '') {
                streams.set(name, run);
                return run.open();
            }
            assert.equal(await within('it ends', run.ended).catch(error => error.message), 0, run.detail());
            if (shown !== undefined)
                assert.match(run.out, new RegExp(`^${patternOf(shown)}$`));
        });
}

test('README has blocks of each kind, and each marker stands before a fence', () => {
    const parsed = steps.length + steps.filter(step => step.shown !== undefined).length;
    assert.equal(parsed, [...readme.matchAll(/^<!-- (run|prints)\b/gm)].length);
    for (const language of ['sh', 'js', 'python', 'text'])
        assert.ok(steps.some(step => step.language === language), language);
    for (const [, port] of steps.map(step => step.body).join('').matchAll(/localhost:(\d{4})\b/g))
        assert.ok(port in PORTS, `${port} is none of deploy/local's ports`);
});

test('README names only files that are there', () => {
    const named = [...readme.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)|`((?:tests|proto|deploy|gateway|publisher|runtime|\.ci)\/[\w./-]*)/g)].map(match => match[1] ?? match[2]);
    assert.ok(named.length > 20);
    assert.deepEqual(named.filter(path => !existsSync(join(ROOT, path))), []);
});
