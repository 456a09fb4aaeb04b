// Results as Markdown: {date, machine, versions, rounds, samples: {load: {system: [sample of each round]}}}
import { judged, spread } from './targets.mjs';
import { NAMES, TITLES } from './plan.mjs';

const STEADY = ['fan-1000', 'fan-10000', 'many', 'fan-50', 'few', 'intake'];
const SYSTEMS = Object.keys(NAMES);

export function number(value) {
    if (value === 0)
        return '0';
    const size = Math.abs(value);
    const digits = size >= 1000 ? 0 : size >= 100 ? 0 : size >= 10 ? 1 : 2;
    return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

// "median (min–max)"
function cell(samples, metric) {
    // the floor keeps so little that what it shares with the reader, its twin, outweighs it
    const value = sample => (metric === 'pss_kb' && sample ? Math.max(sample[metric], 0) : sample?.[metric]);
    const seen = spread((samples ?? []).map(value));
    if (seen === null)
        return '';
    return seen.min === seen.max ? number(seen.median) : `${number(seen.median)} (${number(seen.min)}–${number(seen.max)})`;
}

const row = cells => `| ${cells.join(' | ')} |`;

// columns: [title, system => text]. Rows and columns in which nothing was measured are left out; '' when that is all of them.
function table(head, columns, systems = SYSTEMS) {
    const cells = systems.map(system => [NAMES[system], ...columns.map(([, text]) => text(system))]);
    const rows = cells.filter(row => row.slice(1).some(text => text !== ''));
    const used = [0, ...columns.map((_, i) => i + 1).filter(i => rows.some(row => row[i] !== ''))];
    if (rows.length === 0)
        return '';
    const titles = [head, ...columns.map(([title]) => title)];
    return [row(used.map(i => titles[i])), `|---|${'--:|'.repeat(used.length - 1)}`, ...rows.map(cells => row(used.map(i => cells[i])))].join('\n');
}

const ERRORS = ['lost', 'duplicated', 'out_of_order', 'foreign', 'closed', 'publish_failed', 'failed'];

// What went wrong in a sample, in words; null when nothing did.
export function fault(sample) {
    const said = ERRORS.filter(name => sample?.[name] > 0).map(name => `${name.replaceAll('_', ' ')} ${sample[name].toLocaleString('en')}`);
    return said.length === 0 ? null : said.join(', ');
}

function losses({ samples }) {
    return Object.entries(samples).flatMap(([load, systems]) => Object.entries(systems).flatMap(([system, rounds]) => {
        const said = rounds.flatMap((sample, round) => (fault(sample) ? [`round ${round + 1}: ${fault(sample)}`] : []));
        return said.length === 0 ? [] : [`* ${NAMES[system]}, ${TITLES[load] ?? load}: ${said.join('; ')}`];
    }));
}

const verdict = ({ met, stretch }) => (met === null ? 'not measured' : met ? 'yes' : stretch ? 'no (stretch)' : '**no**');

function bounds({ samples, rounds }) {
    const lines = judged(samples, rounds).filter(target => target.seen !== null).map(target => {
        const { seen: { min, median, max }, unit } = target;
        const bound = target.most === undefined ? `≥ ${number(target.least)}` : `≤ ${number(target.most)}`;
                return row([target.what, `${bound}${unit ? ` ${unit}` : ''}`, number(min), `**${number(median)}**`, number(max), verdict(target)]);
    });
    return lines.length === 0 ? '' : [row(['figure', 'bound', 'min', 'median', 'max', 'kept']), '|---|--:|--:|--:|--:|---|', ...lines].join('\n');
}

// [title, note, Markdown] of each part that has something in it.
function parts(results) {
    const { samples } = results;
    const metric = (load, name) => system => cell(samples[load]?.[system], name);
    const loads = name => STEADY.filter(load => samples[load]).map(load => [TITLES[load], metric(load, name)]);
    return [
        ['CPU for each delivery, µs', 'Server only: user and kernel, all its threads; on loopback that includes the receiving side of TCP. HTTP/2: 90 streams to a connection, 990 and 9,990.',
            table('', loads('cpu_us'))],
        ['Latency p50, ms', 'From when an event was due to its arrival.', table('', loads('p50_ms'))],
        ['Latency p99, ms', '', table('', loads('p99_ms'))],
        ['Opening and idling', 'PSS of the server’s processes for each of 5,000 idle streams, 3 seconds after they opened; HTTP/2: 90 streams to a connection.',
            table('', [['idle stream, KB', metric('idle', 'pss_kb')], ['CPU to open one, µs', metric('fan-10000', 'open_cpu_us')],
                ['10,000 opened in, ms', metric('fan-10000', 'open_ms')], ['CPU to open one of 5,000, µs', metric('idle', 'open_cpu_us')]])],
        ['Tokens', '1 channel, 10,000 streams, 10/s, HTTP/1.1, without and with TLS. Each stream has its own token; they open, close, and open again.',
            table('', [['CPU to open one, µs', metric('auth', 'new_cpu_us')], ['CPU to open it again, µs', metric('auth', 'open_cpu_us')],
                ['CPU for each delivery, µs', metric('auth', 'cpu_us')]])],
        ['Most deliveries a second with p99 ≤ 1 s, 10,000 streams', 'Two workers: nothing is pinned, load programs and Redis compete for the same cores.',
            table('', [['deliveries/s', metric('capacity', 'most')], ['CPU for each then, µs', metric('capacity', 'cpu_us')],
                ['p99 then, ms', metric('capacity', 'p99_ms')], ['CPU for each at 60,000/s, µs', metric('two-workers', 'cpu_us')],
                ['p99 at 60,000/s, ms', metric('two-workers', 'p99_ms')]])],
        ['Answers: 2,000 channels with a reader each, 48-byte words; the most words a second with p99 ≤ 100 ms', 'Meanwhile 100 streams a second come and read a channel from its beginning. Redis, its function, the author and the readers share a core.',
            table('', [['words/s', metric('answers', 'most')], ['CPU of the gateway for each, µs', metric('answers', 'cpu_us')], ['of Redis, µs', metric('answers', 'redis_cpu_us')],
                ['p99, ms', metric('answers', 'p99_ms')], ['who joins: first byte, p50 ms', metric('answers', 'join_p50_ms')], ['p99 ms', metric('answers', 'join_p99_ms')]])],
        ['Redis: CPU for each event, µs', '', table('', loads('redis_cpu_us'))],
        ['Publishing: CPU of Redis for each event, µs', '16 connections of `redis-benchmark`, 64 channels, so many commands under way on each.',
            table('', [['16', metric('bus', 'p16_cpu_us')], ['64', metric('bus', 'p64_cpu_us')]])],
        ['Publishing: `POST /channels/…`, 64 connections, acknowledged after Redis has the event', '',
            table('', [['each second', metric('post', 'per_second')], ['p50, ms', metric('post', 'p50_ms')], ['p99, ms', metric('post', 'p99_ms')],
                ['max, ms', metric('post', 'max_ms')], ['publisher’s CPU for each, µs', metric('post', 'cpu_us')], ['Redis’s', metric('post', 'redis_cpu_us')], ['load program’s', metric('post', 'load_cpu_us')]])],
        ['100,000 channels with a listener each, 5,000 streams a second come and go', 'Pause: the latest event of 100 probe streams, 50 events/s each.',
            table('', [['longest pause, ms', metric('churn', 'pause_ms')], ['p99, ms', metric('churn', 'pause_p99_ms')],
                ['without coming and going, ms', metric('churn', 'quiet_ms')], ['came each second', metric('churn', 'opened_s')],
                ['to the response head, p99 ms', metric('churn', 'head_p99_ms')], ['100,000 opened in, ms', metric('churn', 'crowd_open_ms')],
                ['PSS of each, KB', metric('churn', 'crowd_pss_kb')]])],
        ['Bounds', 'Ratios are taken within a round. (The bounds are those the project set itself.)', bounds(results)],
    ].filter(([, , text]) => text !== '');
}

const listed = names => names.join(', ').replace(/, ([^,]*)$/, ' and $1');

// Several runs of one machine as one, the rounds of each behind those of the one before.
export function joined(runs) {
    const [{ machine, versions, date }] = runs, samples = {};
    let rounds = 0;
    for (const run of runs) {
        for (const [load, systems] of Object.entries(run.samples))
            for (const [system, more] of Object.entries(systems)) {
                const all = (samples[load] ??= {})[system] ??= [];
                all.push(...Array(rounds - all.length).fill(null), ...more);
            }
        rounds += run.rounds;
    }
    return { date, machine, versions, rounds, commit: listed([...new Set(runs.flatMap(run => run.commit.split(/, | and /)))]), samples };
}

// "3", or "3 to 6" where some were measured more often.
function roundsOf({ samples }) {
    const counts = Object.values(samples).flatMap(systems => Object.values(systems).map(rounds => rounds.filter(sample => sample !== null).length));
    const [least, most] = [Math.min(...counts), Math.max(...counts)];
    return least === most ? `${most}` : `${least} to ${most}`;
}

const head = results =>
    `Measured ${results.date} at ${results.commit}: ${results.machine}. ${roundsOf(results)} rounds, systems interleaved; each cell is the median (minimum–maximum). ` +
    `256-byte events; server on one core, load programs and Redis on the other; loopback. ${results.versions.join(', ')}.`;

// For the README: six rows to compare by.
const COMPARED = ['floor', 'gateway', 'gateway-tls', 'gateway-h2', 'gateway-h2-tls', 'nchan'];
export function summary(results) {
    const metric = (load, name) => system => cell(results.samples[load]?.[system], name);
    const columns = [['µs, 1 × 1,000 × 100/s', metric('fan-1000', 'cpu_us')], ['µs, 1 × 10,000 × 10/s', metric('fan-10000', 'cpu_us')],
        ['µs, 2,000 × 5, 2,000/s', metric('many', 'cpu_us')], ['p99 ms, 1 × 10,000 × 10/s', metric('fan-10000', 'p99_ms')],
        ['idle stream, KB', metric('idle', 'pss_kb')], ['most deliveries/s', metric('capacity', 'most')]];
    return [head(results), 'CPU of the server for each delivery (channels × streams × events/s), latency, memory, and the most deliveries a second with p99 ≤ 1 s:',
        table('', columns, COMPARED)].join('\n\n');
}

export function markdown(results) {
    const lost = losses(results);
    return [
        head(results),
        ...parts(results).flatMap(([title, note, text]) => [`**${title}**${note && `. ${note}`}`, text]),
        lost.length === 0 ? 'Nothing was lost, doubled or out of order, in any run.' : `What went wrong:\n\n${lost.join('\n')}`,
    ].join('\n\n');
}

// The text between the markers of a document replaced.
export function replaceBlock(text, block) {
    const begin = '<!-- bench:begin -->', end = '<!-- bench:end -->';
    const from = text.indexOf(begin), to = text.indexOf(end);
    if (from < 0 || to < from)
        throw new Error(`the document holds no ${begin} … ${end}`);
    return `${text.slice(0, from + begin.length)}\n\n${block}\n\n${text.slice(to)}`;
}
