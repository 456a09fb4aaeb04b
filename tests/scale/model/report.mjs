// Answers as text and as the tables of deploy/README.md and tests/results/model.md. Pure.
import { NUMBERS, defaults } from './options.mjs';
import { plan } from './plan.mjs';

export const SIZES = [1e6, 1e8];
const USER = 1 / 60, ROOM = 1 / 10; // events a second

// input of plan() for so many streams
export const WORKLOADS = [
    { title: 'a score ticker, seen by all, 1 event/s', of: streams => ({ streams, channels: 1, rate: 1 }) },
    { title: '1 channel a user, 1 event a minute each, 20 kept', of: streams => ({ streams, channels: streams, rate: streams * USER, history: 20 }) },
    { title: 'chat rooms of 50, 1 event in 10 s each, 100 kept', of: streams => ({ streams, channels: streams / 50, rate: streams / 50 * ROOM, history: 100 }) },
    { title: '… the streams of a room at one gateway', of: streams => ({ streams, channels: streams / 50, rate: streams / 50 * ROOM, history: 100, together: true }) },
];
const WAYS = [['HTTP/1.1 behind a proxy', { protocol: 'h1' }], ['HTTP/2 and TLS, a browser each', { protocol: 'h2-tls', per: 1 }]];

// Two digits, and a thousands separator: more would say that it is known better than it is.
export function rough(value) {
    if (value === 0)
        return '0';
    const scale = 10 ** (Math.floor(Math.log10(Math.abs(value))) - 1);
    const short = Math.round(value / scale) * scale;
    return short.toLocaleString('en', { maximumFractionDigits: Math.max(0, -Math.log10(scale)) });
}

const whole = value => Math.ceil(value).toLocaleString('en');
const bytes = value => (value >= 1e12 ? `${rough(value / 1e12)} TB` : value >= 1e9 ? `${rough(value / 1e9)} GB` : `${rough(value / 1e6)} MB`);
const bits = value => (value >= 1e12 ? `${rough(value / 1e12)} Tbit/s` : value >= 1e9 ? `${rough(value / 1e9)} Gbit/s` : `${rough(value / 1e6)} Mbit/s`);
const time = seconds => (seconds < 1 ? `${rough(seconds * 1000)} ms` : `${rough(seconds)} s`);

// What `model --streams …` prints.
export function answer(costs, input) {
    const found = plan(costs, input);
    const rows = [
        ['gateway nodes', `${whole(found.nodes)} of ${input.cores} cores, one of them to spare; what decides: ${found.bound}`],
        ['gateway CPU', `${rough(found.cores)} cores for ${rough(found.deliveries)} deliveries/s; each node hears ${rough(found.heard)} events/s`],
        ['gateway memory', `per node: ${bytes(found.own)}, kernel ${bytes(found.kernel)} (${whole(found.count)} ${found.count === 1 ? 'node carries' : 'nodes carry'} the load)`],
        ['network', `${bits(found.out * 8)} to the clients, ${bits(found.out * 8 / found.count)} of each node; ${bits(found.back * 8)} back`],
        ['load balancers', `${whole(found.balancers)}, one of them to spare: ${whole(found.perBalancer)} connections each, ${whole(found.connections)} in all`],
        ['Redis', `${whole(found.shards)} shards (what decides: ${found.redisBound}), ${rough(found.redisCores)} cores, ${bytes(found.redisBytes)}; an event goes to ${rough(found.fanOut)} gateways`],
        ['publishers', `${whole(found.publishers)}, ${rough(found.publisherCores)} cores, ${rough(input.rate)} events/s`],
        ['a node lost', `${rough(found.storm.streams)} streams come to the others: ${time(found.storm.seconds)} of all their free CPU; clients wait up to ${found.storm.within} s`],
    ];
    if (found.tooHot)
        rows.push(['too much', 'one channel takes more than one Redis can do: a channel is on one shard']);
    return rows.map(([name, text]) => `${name.padEnd(16)}${text}`).join('\n');
}

const row = cells => `| ${cells.join(' | ')} |`;
const size = streams => (streams >= 1e6 ? `${streams / 1e6} million` : streams.toLocaleString('en'));

function line(costs, way, streams, workload) {
    const input = defaults({ ...workload.of(streams), ...way });
    const found = plan(costs, input);
    return [rough(found.deliveries), `${whole(found.nodes)} (${found.bound})`, rough(found.cores), bytes(found.own + found.kernel), bits(found.out * 8), rough(found.fanOut),
        `${whole(found.shards)} (${found.redisBound})`, rough(found.redisCores), bytes(found.redisBytes), time(found.storm.seconds)];
}

const HEAD = ['workload', 'deliveries/s', 'nodes (because of)', 'cores used', 'memory of a node', 'network', 'gateways an event goes to', 'Redis shards (because of)', 'Redis cores used', 'Redis memory',
    'a node lost'];

export function tables(costs) {
    const text = SIZES.flatMap(streams => WAYS.map(([name, way]) => [
        `**${size(streams)} streams, ${name}**`,
        [row(HEAD), `|---|${'--:|'.repeat(HEAD.length - 1)}`, ...WORKLOADS.map(workload => row([workload.title, ...line(costs, way, streams, workload)]))].join('\n'),
    ].join('\n\n')));
    return text.join('\n\n');
}

const cores = value => value.toFixed(3);

// [{point, role, predicted, measured, off}] of validated points.
export function validationTable(results) {
    return [row(['point', 'what', 'predicted', 'measured', 'off by']), '|---|---|--:|--:|--:|',
        ...results.map(({ point, role, predicted, measured, off }) => row([point, role, cores(predicted), cores(measured), `${off > 0 ? '+' : ''}${(off * 100).toFixed(0)} %`]))].join('\n');
}

// The text between `<!-- name -->` and `<!-- /name -->` replaced.
export function replaceBlock(text, name, block) {
    const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
    const [from, to] = [text.indexOf(begin), text.indexOf(end)];
    if (from < 0 || to < from)
        throw new Error(`there is no ${begin} … ${end}`);
    return `${text.slice(0, from + begin.length)}\n\n${block}\n\n${text.slice(to)}`;
}

export const blockOf = (text, name) => text.split(`<!-- ${name} -->`)[1]?.split(`<!-- /${name} -->`)[0].trim();

// The example of a README: what is asked, and the answer that it shows.
const EXAMPLE = /(```sh\ntests\/scale\/model\/model (--streams .*)\n```\n```text\n)([^`]*)```/;

export function example(text) {
    const [, , argv, shown] = EXAMPLE.exec(text);
    return { argv: argv.split(' '), shown: shown.trim() };
}

export const replaceExample = (text, shown) => text.replace(EXAMPLE, (_, before) => `${before}${shown}\n\`\`\``);

export const help = () => [
    'model --streams N [options]     what N streams take',
    'model --measure [--groups …]    measures the costs on this machine anew, in under 10 minutes; the programs must be built',
    'model --validate [--write]      asks for points that were not measured, then measures them; --write: into tests/results/model.md',
    'model --table [--write]         the tables for a million and a hundred million streams; --write: into deploy/README.md',
    '',
    ...Object.entries(NUMBERS).map(([name, [fallback, least, most, what]]) => `  --${name.padEnd(15)} ${what} (${fallback === null ? 'required' : fallback}; ${least} to ${most})`),
    '  --protocol        h1, tls, h2 or h2-tls (h1)',
    '  --together        the balancer sends all streams of a channel to one gateway',
    '  --json            the whole answer as JSON',
].join('\n');
