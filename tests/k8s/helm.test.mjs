// The chart itself: what it refuses, what it says, and its table in the README.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse as parseYaml } from 'yaml';
import { CHART, VERSION, helm, template } from './tools.mjs';

const read = name => readFileSync(join(CHART, name), 'utf8');
const values = parseYaml(read('values.yaml'));

function refusal(...args) {
    try {
        template(...args);
    } catch (error) {
        return error.stderr;
    }
    assert.fail(`rendered with ${args.join(' ')}`);
}

test('helm lint has nothing to say', () => {
    for (const name of ['values.yaml', 'values-dev.yaml', 'values-production.yaml'])
        assert.match(helm('lint', '--strict', CHART, '--values', join(CHART, name)), /1 chart\(s\) linted, 0 chart\(s\) failed/);
});

test('the chart and what it installs are of the project\'s version', () => {
    const { version, appVersion } = parseYaml(read('Chart.yaml'));
    assert.deepEqual([version, appVersion], [VERSION, VERSION]);
});

const WRONG = [
    ['gateway.setings.THREADS=x', /\/gateway.*setings/],
    ['gateway.settings.MEMORY_LIMIT=134217728', /\/gateway\/settings\/MEMORY_LIMIT.*got number/],
    ['gateway.settings.threads=x', /'threads'/],
    ['publisher.settings.REDIS_URL=redis://h', /'REDIS_URL'/],
    ['gateway.replicas=0', /\/gateway\/replicas/],
    ['gateway.maxSurge=0', /\/gateway\/maxSurge/],
    ['image.tag=latest', /\/image\/tag/],
    ['redis.cidr=redis.example.com', /\/redis\/cidr/],
    ['service.type=Loadbalancer', /\/service\/type/],
    ['autoscaling.minReplicas=three', /\/autoscaling\/minReplicas/],
    ['gateway.resources.limits.memory=1GB', /\/gateway\/resources\/limits\/memory/],
    ['monitoring.runbookBase=git.example.com', /\/monitoring\/runbookBase/],
    ['nosuch=1', /nosuch/],
];
for (const [set, said] of WRONG)
    test(`--set ${set} is refused by name`, () => {
        assert.match(refusal('--set', set), said);
    });

test('the grace follows the time that draining takes', () => {
    const grace = (...args) => template(...args).find(({ kind, metadata }) => kind === 'Deployment' && metadata.name === 'sse-gateway').spec.template.spec
        .terminationGracePeriodSeconds;
    assert.equal(grace(), 45);
    assert.equal(grace('--set-string', 'gateway.settings.DRAIN_SECONDS=300', '--set', 'gateway.preStopSeconds=10'), 330);
});

test('before Kubernetes 1.30 there is no preStop, and the notes say so', () => {
    assert.match(refusal('--kube-version', '1.29.0'), /preStopSeconds needs Kubernetes 1\.30: set gateway\.preStopSeconds/);
    template('--kube-version', '1.29.0', '--set', 'gateway.preStopSeconds=0,publisher.preStopSeconds=0');
});

test('a release of another name is all of that name', () => {
    const objects = helm('template', 'events', CHART, '--values', join(CHART, 'values-production.yaml'), '--set', 'redis.bundled=true');
    assert.deepEqual([...objects.matchAll(/^ {2}name: (?!events)(.*)$/gm)].map(([, name]) => name), []);
    assert.match(objects, /http:\/\/events-publisher:4044/);
});

test('the README\'s table has every value and its default', () => {
    const rows = Object.fromEntries([...read('README.md').matchAll(/^\| `([\w.]+)` \| (.*?) \|/gm)].map(([, name, value]) => [name, value]));
    const leaves = (object, path) => Object.entries(object).flatMap(([key, value]) => (value !== null && typeof value === 'object' && !Array.isArray(value) &&
        Object.keys(value).length !== 0 ? leaves(value, [...path, key]) : [[[...path, key].join('.'), value]]));
    const expected = leaves(values, []).map(([name, value]) => [name, name === 'httpRoute.parentRefs' ? 'see values.yaml' : `\`${JSON.stringify(value)}\``]);
    assert.deepEqual(rows, Object.fromEntries(expected));
});

test('the notes warn of what is open', () => {
    const notes = (...args) => helm('install', 'sse', CHART, '--dry-run=client', ...args).split('NOTES:')[1];
    assert.match(notes(), /WHOEVER REACHES THE PORT MAY READ/);
    assert.doesNotMatch(notes('--set', 'jwt.secret=sse-jwt'), /WHOEVER/);
    assert.match(notes('--set', 'redis.bundled=true'), /without a password/);
});
