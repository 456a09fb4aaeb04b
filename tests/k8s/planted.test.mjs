// Each validator sees the fault it is there for: one is planted in a copy of what is rendered, and found by name.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { CHECKS, imagesAreOf } from './checks.mjs';
import { mayReach, podsOf, stranger } from './network.mjs';
import { containers, find } from './objects.mjs';
import { RENDERS } from './renders.mjs';
import { typeFaults, valueFaults } from './schema.mjs';
import { settingsFaults } from './settings.mjs';

const { objects: production, given } = RENDERS['overlays/production'];

// A copy with a fault in it. `$(kind, name)` finds the object, `gateway` is its container.
function plant(spoil, from = production) {
    const copy = structuredClone(from);
    const $ = (kind, name = 'sse-gateway') => find(copy, kind, name);
    spoil({ $, copy, gateway: containers($('Deployment'))[0], pod: $('Deployment').spec.template.spec });
    return copy;
}

const FIELDS = {
    readynessProbe: ({ gateway }) => { gateway.readynessProbe = gateway.readinessProbe; },
    maxSurg: ({ $ }) => { $('Deployment').spec.strategy.rollingUpdate.maxSurg = 1; },
    serviceNam: ({ $ }) => { $('Ingress', 'sse').spec.rules[0].http.paths[0].backend.serviceNam = 'x'; },
    hostname: ({ $ }) => { $('HTTPRoute', 'sse').spec.hostname = 'sse.example.com'; },
    podMetricEndpoints: ({ $ }) => { $('PodMonitor', 'sse').spec.podMetricEndpoints = []; },
    sevrity: ({ $ }) => { $('PrometheusRule', 'sse').spec.groups[0].rules[0].sevrity = 'page'; },
    targetCPU: ({ $ }) => { $('HorizontalPodAutoscaler').spec.targetCPU = 80; },
};

test('unknown fields are found, in Kubernetes\' own objects and in custom resources', () => {
    const { objects: other } = RENDERS['production with the ingress'];
    const planted = Object.entries(FIELDS).map(([field, spoil]) => plant(spoil, field === 'serviceNam' ? other : production));
    const changed = planted.flatMap(copy => copy.filter(object => ![...production, ...other].some(o => JSON.stringify(o) === JSON.stringify(object))));
    assert.equal(changed.length, Object.keys(FIELDS).length);
    const faults = typeFaults(changed);
    for (const field of Object.keys(FIELDS))
        assert.equal(faults.filter(fault => fault.includes(`"${field}"`)).length, 1, `${field}\n${faults.join('\n')}`);
});

const VALUES = [
    ['replicas: "three"', ({ $ }) => { $('Deployment').spec.replicas = 'three'; }, /Deployment\/sse-gateway: .*replicas must be integer/],
    ['a port above 65535', ({ gateway }) => { gateway.ports[0].containerPort = '4043'; }, /containerPort must be integer/],
    ['preStop seconds in words', ({ gateway }) => { gateway.lifecycle.preStop.sleep.seconds = '5s'; }, /sleep\/seconds must be integer/],
    ['a method that HTTP has not', ({ $ }) => { $('HTTPRoute', 'sse').spec.rules[0].matches[0].method = 'PUSH'; }, /HTTPRoute\/sse: .*method/],
    ['a time-out without a unit', ({ $ }) => { $('HTTPRoute', 'sse').spec.rules[1].timeouts.request = '0'; }, /timeouts\/request/],
    ['an alert\'s for in words', ({ $ }) => { $('PrometheusRule', 'sse').spec.groups[0].rules[0].for = 'a minute'; }, /PrometheusRule\/sse: .*for must match/],
    ['a scrape interval in words', ({ $ }) => { $('PodMonitor', 'sse').spec.podMetricsEndpoints[0].interval = 'often'; }, /PodMonitor\/sse: .*interval/],
];
for (const [name, spoil, said] of VALUES)
    test(`wrong value: ${name}`, async () => {
        const faults = await valueFaults(plant(spoil));
        assert.equal(faults.length, 1, faults.join('\n'));
        assert.match(faults[0], said);
    });

const { identities, selectorsMatch, portsExist, budgetsAllow, scalersFit, rolloutsKeepAll, podsAreLocked } = CHECKS;
const FITTING = [
    ['an object twice', identities, ({ copy, $ }) => copy.push($('Service')), /Service\/sse-gateway is there twice/],
    ['a namespace forgotten', identities, ({ $ }) => delete $('Service').metadata.namespace, /several namespaces/],
    ['a Service\'s selector that matches nothing', selectorsMatch, ({ $ }) => { $('Service').spec.selector['app.kubernetes.io/name'] = 'gateway'; },
        /Service\/sse-gateway: .* matches no pod/],
    ['a policy\'s selector that matches nothing', selectorsMatch, ({ $ }) => { $('NetworkPolicy').spec.podSelector.matchLabels.tier = 'x'; }, /NetworkPolicy.*matches no pod/],
    ['a policy\'s peer that is nobody', selectorsMatch, ({ $ }) => { $('NetworkPolicy').spec.egress[0].to[0].podSelector.matchLabels.tier = 'x'; },
        /NetworkPolicy.*matches no pod/],
    ['a PodMonitor that finds nothing', selectorsMatch, ({ $ }) => { $('PodMonitor', 'sse').spec.selector.matchExpressions[0].values = ['x']; }, /PodMonitor.*matches no pod/],
    ['pods without their Deployment\'s labels', selectorsMatch, ({ $ }) => delete $('Deployment').spec.template.metadata.labels['app.kubernetes.io/instance'],
        /does not match its own pods/],
    ['a spread over the other program\'s pods', selectorsMatch,
        ({ pod }) => delete pod.topologySpreadConstraints[0].labelSelector.matchLabels['app.kubernetes.io/name'], /spread over kubernetes\.io\/hostname/],
    ['a targetPort that is not there', portsExist, ({ $ }) => { $('Service').spec.ports[0].targetPort = 'web'; }, /targetPort 'web' does not exist/],
    ['a probe\'s port that is not there', portsExist, ({ gateway }) => { gateway.livenessProbe.httpGet.port = 'adm'; }, /port 'adm' of its livenessProbe/],
    ['a probe forgotten', portsExist, ({ gateway }) => delete gateway.startupProbe, /has no startupProbe/],
    ['a policy\'s port that is not there', portsExist, ({ $ }) => { $('NetworkPolicy').spec.ingress[1].ports[0].port = 'metrics'; }, /has no port 'metrics'/],
    ['a route to no Service', portsExist, ({ $ }) => { $('HTTPRoute', 'sse').spec.rules[0].backendRefs[0].name = 'publisher'; }, /no Service publisher/],
    ['a route to no port', portsExist, ({ $ }) => { $('HTTPRoute', 'sse').spec.rules[0].backendRefs[0].port = 80; }, /with a port '80'/],
    ['a PodMonitor of no port', portsExist, ({ $ }) => { $('PodMonitor', 'sse').spec.podMetricsEndpoints[0].port = 'metrics'; }, /has no port 'metrics'/],
    ['a budget that allows no eviction', budgetsAllow, ({ $ }) => { $('PodDisruptionBudget').spec = { ...$('PodDisruptionBudget').spec, maxUnavailable: undefined,
        minAvailable: 3 }; }, /none may be evicted/],
    ['a budget that keeps nothing', budgetsAllow, ({ $ }) => { $('PodDisruptionBudget').spec.maxUnavailable = '100%'; }, /all 3 pods/],
    ['an autoscaler of nothing', scalersFit, ({ $ }) => { $('HorizontalPodAutoscaler').spec.scaleTargetRef.name = 'gateway'; }, /no Deployment\/gateway/],
    ['replicas beside an autoscaler', scalersFit, ({ $ }) => { $('Deployment').spec.replicas = 3; }, /sets replicas too/],
    ['CPU in percent of nothing', scalersFit, ({ gateway }) => delete gateway.resources.requests.cpu, /does not make/],
    ['an update that takes pods away first', rolloutsKeepAll, ({ $ }) => { $('Deployment').spec.strategy.rollingUpdate.maxUnavailable = 1; }, /before others are there/],
    ['root', podsAreLocked, ({ pod }) => { pod.securityContext.runAsUser = 0; }, /not root/],
    ['a root file system to write to', podsAreLocked, ({ gateway }) => delete gateway.securityContext.readOnlyRootFilesystem, /write its root/],
    ['capabilities kept', podsAreLocked, ({ gateway }) => { gateway.securityContext.capabilities.add = ['NET_ADMIN']; }, /keeps capabilities/],
    ['secrets that the user can\'t read', podsAreLocked, ({ pod }) => delete pod.securityContext.fsGroup, /no fsGroup/],
    ['latest', imagesAreOf('1.2.3'), ({ gateway }) => { gateway.image = 'sse-gateway:latest'; }, /names no version/],
    ['another version', imagesAreOf('1.2.3'), ({ gateway }) => { gateway.image = 'sse-gateway:1.2.2'; }, /not the project's version, 1\.2\.3/],
];
for (const [name, check, spoil, said] of FITTING)
    test(`does not fit: ${name}`, () => {
        assert.match(check(plant(spoil)).join('\n'), said);
    });

const settings = ({ $ }) => $('ConfigMap', production.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name.startsWith('sse-gateway-')).metadata.name).data;
const SETTINGS = [
    ['a name misspelt', at => { settings(at).KEEP_ALIVE_MS = '1000'; }, /sse-gateway has no setting KEEP_ALIVE_MS/],
    ['the other program\'s name', at => { settings(at).TICKERS = 'off'; }, /sse-gateway has no setting TICKERS/],
    ['a value out of bounds', at => { settings(at).MEMORY_LIMIT = '1'; }, /MEMORY_LIMIT: 1 is below/],
    ['a value with an exponent', at => { settings(at).MEMORY_LIMIT = '1.34217728e+08'; }, /MEMORY_LIMIT: .* is not a whole number/],
    ['a file that is not mounted', ({ gateway }) => { gateway.env[0].value = '/etc/sse/redis/uri'; }, /REDIS_URL_FILE: .*can't be read/],
    ['a Secret that nobody gives', ({ pod }) => { pod.volumes[0].secret.secretName = 'redis'; }, /nothing is there to mount at \/etc\/sse\/redis/],
    ['a ConfigMap that is not there', ({ gateway }) => { gateway.envFrom[0].configMapRef.name = 'x'; }, /there is no ConfigMap x/],
    ['a grace below the drain', at => { settings(at).DRAIN_SECONDS = '60'; }, /a grace of 45 s is not above the preStop's 5 and the drain's 65/],
    ['a port that the program does not have', ({ gateway }) => { gateway.ports[0].containerPort = 8080; }, /its port 'http' is 8080, but PORT is 4043/],
    ['an admin port that only the pod reaches', at => { settings(at).ADMIN_HOST = '127.0.0.1'; }, /where the kubelet can't ask/],
    ['a publisher that is not there', at => { settings(at).PUBLISHER_URL = 'http://publisher:4044'; }, /PUBLISHER_URL: no Service/],
];
for (const [name, spoil, said] of SETTINGS)
    test(`setting: ${name}`, () => {
        assert.match(settingsFaults(plant(spoil), given).join('\n'), said);
    });

test('a policy that opens the admin port to all is found', () => {
    const copy = plant(({ $ }) => delete $('NetworkPolicy').spec.ingress[1].from);
    assert.equal(mayReach(production, stranger('proxies'), podsOf(production)['sse-gateway'], 9043), false);
    assert.equal(mayReach(copy, stranger('proxies'), podsOf(copy)['sse-gateway'], 9043), true);
});
