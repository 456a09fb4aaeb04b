// The outside of the cluster, in a process of its own because it runs in the network where the published port is: the author, the followers, and
// watchers of other streams. Reads commands, {"id", "do", …}, from standard input, one line each, and answers {"id", "value"} or {"id", "error"}.
//
//     clients.mjs ORIGIN CERTIFICATE
import { readFileSync } from 'node:fs';
import { get } from 'node:https';
import { createInterface } from 'node:readline';
import { until } from '../integration/wait.mjs';
import { Author } from './author.mjs';
import { Followers, Reader } from './followers.mjs';

const [origin, certificate] = process.argv.slice(2);
const ca = readFileSync(certificate);
let author, followers;
const watched = {};

const commands = {
    async follow(options) {
        author = new Author({ origin, ca, ...options });
        followers = new Followers({ origin, ca, ...options });
        await until('every stream is open', () => followers.ready === followers.streams.length, 30000, () => `: ${JSON.stringify(followers.report())}`);
    },
    burst: ({ count }) => author.burst(count),
    start: ({ rate }) => author.start(rate),
    stop: () => author.stop(),

    // Every follower is open and has an event that was published after the call.
    async settle({ ms = 30000 }) {
        const number = author.running && !author.stopping ? await author.more() : author.count;
        await until(`every stream has number ${number}`, () => followers.complete(number) === followers.streams.length &&
            followers.report().open === followers.streams.length, ms, () => `: ${JSON.stringify(followers.report())}`);
    },
    report: () => ({ ...followers.report(), published: author.count, again: author.again, faults: author.faults }),

    // Collects the events of a stream until `watched` asks for them.
    async watch({ path }) {
        const events = watched[path] = [];
        const reader = new Reader(event => events.push(event));
        get(origin + path, { agent: false, ca, headers: { accept: 'text/event-stream' } }, answer => answer.on('data', bytes => reader.feed(bytes)));
        await until(`an event of ${path}`, () => events.length > 0);
    },
    watched: ({ path }) => watched[path],
};

createInterface({ input: process.stdin }).on('line', async line => {
    const { id, do: name, ...options } = JSON.parse(line);
    let answer;
    try {
        answer = { id, value: await commands[name](options) };
    } catch (error) {
        answer = { id, error: error.message };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
}).on('close', () => process.exit());
