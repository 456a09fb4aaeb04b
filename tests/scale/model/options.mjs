// What `model` is asked on the command line: one table, with bounds.
import { parseArgs } from 'node:util';
import { PROTOCOLS } from './formula.mjs';
import { GROUPS } from './points.mjs';

// name: [default, least, most, what]
export const NUMBERS = {
    'streams': [null, 1, 1e10, 'open streams'],
    'channels': [1, 1, 1e10, 'channels to spread the streams over evenly'],
    'publishes': [1, 1e-6, 1e8, 'events a second, over all channels'],
    'bytes': [256, 0, 1e6, 'data of an event'],
    'to-all': [0, 0, 1, 'share of the publishes that go to one more channel, which every stream has, too'],
    'per-connection': [1, 1, 90, 'streams of a connection (HTTP/2)'],
    'cores': [8, 1, 256, 'cores of a gateway node'],
    'memory': [32, 0.1, 10000, 'GB of a gateway node'],
    'network': [10, 0.001, 1000, 'Gbit/s of a gateway node'],
    'most': [1e6, 1, 1e8, 'streams of a gateway node at most (descriptors)'],
    'load': [0.6, 0.01, 1, 'share of cores, network and Redis that may be used'],
    'history': [1000, 1, 1e6, 'events kept of a channel: HISTORY_LEN, RING_LEN'],
    'redis-memory': [32, 0.1, 10000, 'GB of a Redis shard'],
    'balancer': [250000, 1, 1e8, 'connections of a load balancer'],
};

export class OptionError extends Error {}

function number(name, text) {
    const [, least, most] = NUMBERS[name];
    const value = Number(text);
    if (!/^[\d.]+(e\d+)?$/.test(text) || !(value >= least && value <= most))
        throw new OptionError(`--${name}: ${text} is no number from ${least} to ${most}`);
    return value;
}

const camel = name => name.replace(/-(\w)/g, (_, letter) => letter.toUpperCase());

function workload(values) {
    const input = Object.fromEntries(Object.entries(NUMBERS).map(([name, [fallback]]) => [camel(name), values[name] === undefined ? fallback : number(name, values[name])]));
    const protocol = values.protocol ?? 'h1';
    if (!PROTOCOLS.includes(protocol))
        throw new OptionError(`--protocol: ${protocol} is none of ${PROTOCOLS.join(', ')}`);
    if (input.channels > input.streams)
        throw new OptionError(`--channels: ${input.channels} is more than the streams; a channel without a listener costs Redis only`);
    const { publishes: rate, perConnection: per, ...rest } = input;
    return { ...rest, rate, per, protocol, together: values.together ?? false };
}

// {mode, groups} or {mode: 'plan', input}; an OptionError says what is wrong.
export function parse(argv) {
    const string = { type: 'string' }, flag = { type: 'boolean' };
    const options = { ...Object.fromEntries(Object.keys(NUMBERS).map(name => [name, string])), 'protocol': string, 'together': flag, 'json': flag,
        'measure': flag, 'groups': string, 'validate': flag, 'table': flag, 'write': flag, 'help': flag };
    let values;
    try {
        ({ values } = parseArgs({ args: argv, options }));
    } catch (error) {
        throw new OptionError(error.message);
    }
    const groups = values.groups?.split(',') ?? Object.keys(GROUPS);
    const unknown = groups.find(name => !GROUPS[name]);
    if (unknown !== undefined)
        throw new OptionError(`--groups: ${unknown} is none of ${Object.keys(GROUPS).join(', ')}`);
    const mode = ['help', 'measure', 'validate', 'table'].find(name => values[name]) ?? 'plan';
    if (mode === 'plan' && values.streams === undefined)
        throw new OptionError('--streams is missing; --help says what there is');
    return { mode, groups, write: values.write ?? false, json: values.json ?? false, input: mode === 'plan' ? workload(values) : null };
}

export const defaults = more => ({ ...workload({ streams: '1' }), ...more });
