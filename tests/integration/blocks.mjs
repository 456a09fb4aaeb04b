// Documentation that is run: the marked blocks of a Markdown text, and what a person would do with them.
//
//     <!-- run -->           the next fence runs and ends with status 0
//     <!-- run: NAME -->     it is a stream: it stays open
//     <!-- prints -->        the next fence is all that the last run printed
//     <!-- prints: NAME -->  … is what NAME printed since it was last looked at; more may follow
import { spawn } from 'node:child_process';
import { until, within } from './wait.mjs';

const ID = '[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}';

// { verb, name, language, body, shown } of each step; `shown` is what a run without a name prints.
export function stepsOf(text) {
    const steps = [];
    for (const [, verb, name = '', language, body] of text.matchAll(/^<!-- (run|prints)(?:: (\w+))? -->\n```(\w+)\n([^]*?)^```$/gm))
        if (verb === 'prints' && name === '')
            steps.at(-1).shown = body;
        else
            steps.push({ verb, name, language, body });
    return steps;
}

// How many markers the text has, and how many of them stepsOf() took: equal when each stands before a fence.
export const markersOf = (text, steps) => [[...text.matchAll(/^<!-- (run|prints)\b/gm)].length,
    steps.length + steps.filter(step => step.shown !== undefined).length];

// A shown text as a pattern. Ids may be others; `kinds` says what else may, as [regular expression on the escaped text, pattern].
export function patternOf(text, kinds = []) {
    const escaped = text.trimEnd().replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(new RegExp(ID, 'g'), ID);
    return kinds.reduce((pattern, [from, to]) => pattern.replace(from, to), escaped) + '\\n*';
}

// What runs now.
export const running = new Set();

// A command in a process group of its own.
export class Run {
    out = '';
    err = '';
    seen = 0;

    constructor([command, ...args], { cwd, env }) {
        this.child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
        running.add(this);
        this.child.stdout.setEncoding('utf8').on('data', text => (this.out += text));
        this.child.stderr.setEncoding('utf8').on('data', text => (this.err += text));
        this.ended = new Promise(resolve => this.child.on('close', (code, signal) => {
            running.delete(this);
            resolve(code ?? signal);
        }));
    }

    detail = () => `\n--- printed ---\n${this.out}\n--- stderr ---\n${this.err}`;

    // The whole group: bash and what it started.
    async end(signal = 'SIGTERM') {
        if (running.has(this))
            process.kill(-this.child.pid, signal);
        await within('it ends', this.ended, 20000);
    }

    // What comes next of its output is of this pattern.
    async shows(pattern) {
        const found = () => new RegExp(`^${pattern}`).exec(this.out.slice(this.seen));
        this.seen += (await until('it prints what the text shows', found, undefined, this.detail))[0].length;
    }
}
