// Everything that deploy/k8s and deploy/helm render: the right fields, the right values, fitting each other and the programs.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { CHECKS, imagesAreOf } from './checks.mjs';
import { address, mayReach, neighbour, podsOf, stranger } from './network.mjs';
import { containers, find, nameOf, ofKind } from './objects.mjs';
import { RENDERS } from './renders.mjs';
import { typeFaults, valueFaults } from './schema.mjs';
import { settingsFaults } from './settings.mjs';
import { VERSION, kubectl } from './tools.mjs';
import { stale } from './alerts.mjs';

test('every field is one that Kubernetes or the custom resource knows, of the right type', () => {
    const all = Object.values(RENDERS).flatMap(({ objects }) => objects);
    assert.ok(all.length > 100, `${all.length} objects`);
    assert.deepEqual(typeFaults(all), []);
});

for (const [name, { objects, given }] of Object.entries(RENDERS)) {
    test(`${name}: every value is one that its schema allows`, async () => {
        assert.deepEqual(await valueFaults(objects), []);
    });

    for (const [check, run] of Object.entries({ ...CHECKS, [`images are of version ${VERSION}`]: imagesAreOf(VERSION) }))
        test(`${name}: ${check}`, () => {
            assert.deepEqual(run(objects), []);
        });

    test(`${name}: the programs know every setting, take its value and find its files; ports and grace fit them`, () => {
        assert.deepEqual(settingsFaults(objects, given), []);
    });
}

// [from, to, port, protocol]: all that may be, whatever the overlay.
const DNS = { ...stranger('kube-system', { 'k8s-app': 'kube-dns' }) };
const PROMETHEUS = stranger('monitoring', { app: 'prometheus' });

for (const [name, redis] of [['overlays/dev', null], ['overlays/production', address('10.3.2.1')], ['helm, values-dev.yaml', null],
    ['helm, values-production.yaml', address('10.3.2.1')]])
    test(`${name}: the network lets through what is needed, and nothing else`, () => {
        const { objects } = RENDERS[name];
        const { 'sse-gateway': gateway, 'sse-publisher': publisher, 'sse-redis': own } = podsOf(objects);
        const bus = redis ?? own;
        const may = (...args) => mayReach(objects, ...args);
        assert.ok(may(address('203.0.113.7'), gateway, 4043) && may(stranger('proxies'), gateway, 4043), 'clients');
        assert.ok(may(gateway, publisher, 4044) && may(neighbour({ 'sse-publish': 'allowed' }), publisher, 4044), 'posts');
        assert.ok(may(gateway, bus, 6379) && may(publisher, bus, 6379), 'bus');
        assert.ok(may(PROMETHEUS, gateway, 9043) && may(PROMETHEUS, publisher, 9044), 'monitoring');
        for (const pod of [gateway, publisher])
            assert.ok(may(pod, DNS, 53) && may(pod, DNS, 53, 'UDP'), 'DNS');
        const proxied = name.includes('production');
        assert.equal(may(stranger('proxies'), publisher, 4044), proxied, 'posts of the proxies');
        const refused = [[stranger('proxies'), gateway, 9043], [neighbour({}), gateway, 9043], [publisher, gateway, 9043], [neighbour({}), publisher, 9044],
            [publisher, gateway, 4043], [gateway, stranger('kube-system', { component: 'kube-apiserver' }), 443], [gateway, DNS, 443],
            [gateway, address('169.254.169.254'), 80], [publisher, address('203.0.113.7'), 443], [gateway, address('203.0.113.7'), 6379],
            [address('203.0.113.7'), publisher, 4044], ...(proxied ? [] : [[neighbour({}), publisher, 4044], [neighbour({}), own, 6379], [own, DNS, 53]])];
        assert.deepEqual(refused.filter(args => may(...args)), []);
    });

test('Helm and kustomize render the same objects', () => {
    for (const [chart, folder] of [['helm', 'base'], ['helm, values-dev.yaml', 'overlays/dev'], ['helm, values-production.yaml', 'overlays/production']]) {
        const [ours, theirs] = [RENDERS[chart], RENDERS[folder]].map(({ objects }) => new Map(objects
            .filter(({ kind }) => kind !== 'Namespace') // --create-namespace
            .map(object => [nameOf(plain(object)), plain(object)])));
        assert.deepEqual([...ours.keys()].sort(), [...theirs.keys()].sort(), `${chart} and ${folder}`);
        for (const [name, object] of ours)
            assert.deepEqual(object, theirs.get(name), `${name} in ${chart} and ${folder}`);
    }
});

// Without what only one of the two adds: kustomize the namespace and a hash in the names that it makes, helm its labels and the checksum by which pods roll.
function plain(object) {
    const text = JSON.stringify(object).replace(/"(sse-(?:gateway|publisher|policy|redis))-[0-9a-z]{10}"/g, '"$1"');
    return JSON.parse(text, (key, value) => {
        if (value === null || typeof value !== 'object' || Array.isArray(value))
            return value;
        const { namespace, 'helm.sh/chart': chart, 'app.kubernetes.io/managed-by': by, 'checksum/settings': sum, ...rest } = value;
        const kept = key === 'metadata' || namespace === undefined ? rest : { ...rest, namespace };
        for (const empty of ['annotations', 'labels'])
            if (kept[empty] && Object.keys(kept[empty]).length === 0)
                delete kept[empty];
        // What generators make has no labels in kustomize.
        if (['ConfigMap', 'Secret'].includes(kept.kind))
            delete kept.metadata.labels;
        return kept;
    });
}

test('settings that change roll the pods, in both', () => {
    const referred = objects => containers(find(objects, 'Deployment', 'sse-gateway'))[0].envFrom[0].configMapRef.name;
    assert.notEqual(referred(RENDERS.base.objects), referred(RENDERS['overlays/production'].objects));
    const sum = objects => find(objects, 'Deployment', 'sse-gateway').spec.template.metadata.annotations['checksum/settings'];
    assert.notEqual(sum(RENDERS.helm.objects), sum(RENDERS['helm, values-production.yaml'].objects));
});

test('the alerts are those of deploy/observability', () => {
    assert.deepEqual(stale(), []);
    const rules = ofKind(RENDERS['overlays/production'].objects, 'PrometheusRule')[0].spec.groups.flatMap(group => group.rules);
    assert.ok(rules.length > 10);
    assert.deepEqual(ofKind(RENDERS['helm, values-production.yaml'].objects, 'PrometheusRule')[0].spec.groups.flatMap(group => group.rules), rules);
    const elsewhere = ofKind(RENDERS['helm, other values'].objects, 'PrometheusRule')[0].spec.groups.flatMap(group => group.rules);
    assert.deepEqual(elsewhere.map(({ annotations }) => annotations.runbook_url), rules.map(({ annotations }) => `https://git.example.com/sse/${annotations.runbook_url}`));
});

test('kubectl and helm are there, the versions that the lock file says', () => {
    assert.match(kubectl('version', '--client'), /v1\.33\./);
});
