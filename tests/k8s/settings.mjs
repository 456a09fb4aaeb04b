// The settings of rendered containers, held against the programs themselves: every name in the program's own table, every value good for --check-config, every file
// there, and what the manifest says about ports and time the same as what the program will do.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, binary, tempFolder } from '../integration/stack.mjs';
import { find, nameOf, ofKind, portNumber, programs } from './objects.mjs';

// Seconds that the programs themselves take at most after SIGTERM: above DRAIN_SECONDS, and in all.
const constant = (file, name) => Number(new RegExp(`\\b${name} = (\\d+)`).exec(readFileSync(join(ROOT, file), 'utf8'))[1]);
const GATEWAY_EXTRA_S = constant('gateway/gateway.c', 'DRAIN_EXTRA_S');
const PUBLISHER_DRAIN_S = constant('publisher/publisher.c', 'DRAIN_SECONDS');

const tables = {};

// The names of a program's settings, with the second names and the _FILE ones.
function namesOf(program) {
    return tables[program] ??= new Set([...execFileSync(binary(program), ['--print-settings'], { encoding: 'utf8' }).matchAll(/^\| `(\w+)` \|(.*)$/gm)]
        .flatMap(([, name, rest]) => [name, ...[...rest.matchAll(/\b(\w+_FILE): a file|also (\w+)/g)].map(match => match[1] ?? match[2])]));
}

// The files of a Secret or ConfigMap, rendered or given, or undefined.
function filesOf(objects, given, { secret, configMap }) {
    const object = secret ? find(objects, 'Secret', secret.secretName) : find(objects, 'ConfigMap', configMap?.name);
    if (object === undefined)
        return secret ? given[secret.secretName] : undefined;
    const decoded = Object.entries(object.data ?? {}).map(([key, value]) => [key, secret ? Buffer.from(value, 'base64').toString() : value]);
    return { ...Object.fromEntries(decoded), ...object.stringData };
}

// What a container is given: { env, faults }, where paths of mounted files lead to copies of them in a temp folder.
export function environment(objects, given, workload, container) {
    const faults = [];
    const env = {};
    for (const { configMapRef } of container.envFrom ?? []) {
        const map = find(objects, 'ConfigMap', configMapRef.name);
        map ? Object.assign(env, map.data) : faults.push(`there is no ConfigMap ${configMapRef.name}`);
    }
    for (const { name, value } of container.env ?? [])
        env[name] = value;
    const folder = tempFolder();
    for (const { name, mountPath } of container.volumeMounts ?? []) {
        const volume = (workload.spec.template.spec.volumes ?? []).find(v => v.name === name);
        const files = volume && filesOf(objects, given, volume);
        if (files === undefined) {
            faults.push(`nothing is there to mount at ${mountPath}`);
            continue;
        }
        mkdirSync(join(folder, mountPath), { recursive: true });
        for (const [key, text] of Object.entries(files))
            writeFileSync(join(folder, mountPath, key), text);
        for (const [setting, value] of Object.entries(env))
            if (value.startsWith(`${mountPath}/`))
                env[setting] = join(folder, value);
    }
    return { env, faults };
}

// { NAME: value } as the program sees them, or the sentence with which it refuses to start.
function effective(program, env) {
    const { status, stderr } = spawnSync(binary(program), ['--check-config'], { env, encoding: 'utf8' });
    if (status !== 0)
        return stderr.trim();
    const shown = execFileSync(binary(program), ['--print-config'], { env, encoding: 'utf8' });
    return Object.fromEntries([...shown.matchAll(/^(\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]));
}

function publisherFaults(objects, { PUBLISHER_URL: url }) {
    const { hostname, port } = new URL(url);
    return find(objects, 'Service', hostname)?.spec.ports.some(p => p.port === Number(port)) ? [] : [`PUBLISHER_URL: no Service is ${url}`];
}

function graceFaults(program, workload, container, settings) {
    const { terminationGracePeriodSeconds: grace = 30 } = workload.spec.template.spec;
    const pause = container.lifecycle?.preStop?.sleep?.seconds ?? 0;
    const drain = program === 'sse-gateway' ? Number(settings.DRAIN_SECONDS) + GATEWAY_EXTRA_S : PUBLISHER_DRAIN_S;
    return grace > pause + drain ? [] : [`a grace of ${grace} s is not above the preStop's ${pause} and the drain's ${drain}`];
}

function programFaults(objects, given, [program, workload, container]) {
    const { env, faults } = environment(objects, given, workload, container);
    const unknown = Object.keys(env).filter(name => !namesOf(program).has(name)).map(name => `${program} has no setting ${name}`);
    const settings = effective(program, env);
    if (typeof settings === 'string')
        return [...faults, ...unknown, settings];
    return [
        ...faults, ...unknown, ...graceFaults(program, workload, container, settings),
        ...[['http', 'PORT'], ['admin', 'ADMIN_PORT']].filter(([port, name]) => portNumber(workload, port) !== Number(settings[name]))
            .map(([port, name]) => `its port '${port}' is ${portNumber(workload, port)}, but ${name} is ${settings[name]}`),
        ...(/^(127\.|::1$|localhost$)/.test(settings.ADMIN_HOST) ? [`ADMIN_HOST is ${settings.ADMIN_HOST}, where the kubelet can't ask`] : []),
        ...(program === 'sse-gateway' ? publisherFaults(objects, settings) : []),
    ];
}

export function settingsFaults(objects, given) {
    return programs(objects).flatMap(found => programFaults(objects, given, found).map(fault => `${nameOf(found[1])}: ${fault}`));
}

// Names of the metrics that autoscalers count by.
export function scaledBy(objects) {
    return ofKind(objects, 'HorizontalPodAutoscaler').flatMap(({ spec }) => spec.metrics.filter(({ type }) => type === 'Pods').map(({ pods }) => pods.metric.name));
}
