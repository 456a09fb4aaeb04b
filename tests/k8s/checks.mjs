// What no schema knows: whether the objects fit each other. Each check takes all objects of a render and returns sentences.
import { containers, find, labelsOf, nameOf, ofKind, portNumber, programs, replicasMin, selected, selects, workloads } from './objects.mjs';

// The label by which other pods of the namespace may ask for a way to the publishers; nobody of ours wears it.
const OPEN_LABELS = ['sse-publish'];

const first = (fault, bad) => (bad ? [fault] : []);

export function identities(objects) {
    const seen = new Set();
    const namespaces = new Set(objects.filter(({ kind }) => kind !== 'Namespace').map(({ metadata }) => metadata.namespace));
    const twice = objects.filter(object => seen.has(nameOf(object)) || !seen.add(nameOf(object)));
    return [...twice.map(object => `${nameOf(object)} is there twice`), ...first(`several namespaces: ${[...namespaces]}`, namespaces.size > 1)];
}

// [owner, selector] of everything that must find pods.
function selectors(objects) {
    return [
        ...ofKind(objects, 'Service').map(object => [object, { matchLabels: object.spec.selector }]),
        ...ofKind(objects, 'PodDisruptionBudget', 'PodMonitor').map(object => [object, object.spec.selector]),
        ...ofKind(objects, 'NetworkPolicy').map(object => [object, object.spec.podSelector]),
        ...ofKind(objects, 'NetworkPolicy').flatMap(object => [...object.spec.ingress ?? [], ...object.spec.egress ?? []]
            .flatMap(rule => rule.from ?? rule.to ?? []).filter(peer => peer.podSelector && !peer.namespaceSelector)
            .filter(peer => !Object.keys(peer.podSelector.matchLabels ?? {}).some(label => OPEN_LABELS.includes(label)))
            .map(peer => [object, peer.podSelector])),
    ];
}

export function selectorsMatch(objects) {
    const own = workloads(objects).flatMap(workload => [
        ...first(`${nameOf(workload)}: its selector does not match its own pods`, !selects(workload.spec.selector, labelsOf(workload))),
        ...(workload.spec.template.spec.topologySpreadConstraints ?? [])
            .filter(({ labelSelector }) => selected(objects, labelSelector).some(other => other !== workload) || !selects(labelSelector, labelsOf(workload)))
            .map(({ topologyKey }) => `${nameOf(workload)}: the spread over ${topologyKey} does not count its own pods, and only them`),
    ]);
    return [...own, ...selectors(objects).filter(([, selector]) => selected(objects, selector).length === 0)
        .map(([owner, selector]) => `${nameOf(owner)}: ${JSON.stringify(selector)} matches no pod`)];
}

const probesOf = ({ startupProbe, livenessProbe, readinessProbe }) => Object.entries({ startupProbe, livenessProbe, readinessProbe });

function probeFaults(workload) {
    return containers(workload).flatMap(container => probesOf(container).flatMap(([name, probe]) => (probe === undefined ?
        [`${nameOf(workload)}: ${container.name} has no ${name}`] :
        first(`${nameOf(workload)}: the port '${probe.httpGet?.port}' of its ${name} does not exist`,
            probe.httpGet && portNumber(workload, probe.httpGet.port) === undefined))));
}

// A Service's port by name or number.
const servicePort = (objects, name, port) => find(objects, 'Service', name)?.spec.ports.some(p => p.name === port || p.port === port);

function backends(objects) {
    return [
        ...ofKind(objects, 'HTTPRoute').flatMap(route => route.spec.rules.flatMap(({ backendRefs }) => backendRefs.map(({ name, port }) => [route, name, port]))),
        ...ofKind(objects, 'Ingress').flatMap(ingress => ingress.spec.rules.flatMap(({ http }) => http.paths
            .map(({ backend: { service } }) => [ingress, service.name, service.port.name ?? service.port.number]))),
    ];
}

function policyPorts(objects, policy) {
    const { podSelector, ingress = [], egress = [] } = policy.spec;
    const peers = ({ to = [] }) => to.filter(peer => peer.podSelector && !peer.namespaceSelector).flatMap(peer => selected(objects, peer.podSelector));
    return [
        ...ingress.flatMap(({ ports = [] }) => ports.flatMap(({ port }) => selected(objects, podSelector).map(workload => [workload, port]))),
        ...egress.flatMap(rule => (rule.ports ?? []).flatMap(({ port }) => peers(rule).map(workload => [workload, port]))),
    ].filter(([workload, port]) => portNumber(workload, port) === undefined)
        .map(([workload, port]) => `${nameOf(policy)}: ${nameOf(workload)} has no port '${port}'`);
}

export function portsExist(objects) {
    const services = ofKind(objects, 'Service').flatMap(service => service.spec.ports.flatMap(({ targetPort, port }) =>
        selected(objects, { matchLabels: service.spec.selector }).filter(workload => portNumber(workload, targetPort ?? port) === undefined)
            .map(workload => `${nameOf(service)}: its targetPort '${targetPort}' does not exist in ${nameOf(workload)}`)));
    const monitors = ofKind(objects, 'PodMonitor').flatMap(monitor => monitor.spec.podMetricsEndpoints.flatMap(({ port }) =>
        selected(objects, monitor.spec.selector).filter(workload => portNumber(workload, port) === undefined)
            .map(workload => `${nameOf(monitor)}: ${nameOf(workload)} has no port '${port}'`)));
    const routes = backends(objects).filter(([, name, port]) => !servicePort(objects, name, port))
        .map(([owner, name, port]) => `${nameOf(owner)}: there is no Service ${name} with a port '${port}'`);
    return [...workloads(objects).flatMap(probeFaults), ...services, ...monitors, ...routes,
        ...ofKind(objects, 'NetworkPolicy').flatMap(policy => policyPorts(objects, policy))];
}

const share = (value, total) => (typeof value === 'string' && value.endsWith('%') ? Math.ceil(total * parseInt(value, 10) / 100) : Number(value));

// A budget must let one pod go, and keep one when there are several.
export function budgetsAllow(objects) {
    return ofKind(objects, 'PodDisruptionBudget').flatMap(budget => selected(objects, budget.spec.selector).flatMap(workload => {
        const { minAvailable, maxUnavailable } = budget.spec;
        const total = replicasMin(objects, workload);
        const may = minAvailable !== undefined ? total - share(minAvailable, total) : share(maxUnavailable, total);
        return [
            ...first(`${nameOf(budget)}: with ${total} pods none may be evicted, so no node can be drained`, may < 1),
            ...first(`${nameOf(budget)}: all ${total} pods may be evicted at once`, total > 1 && may >= total),
        ];
    }));
}

export function scalersFit(objects) {
    return ofKind(objects, 'HorizontalPodAutoscaler').flatMap(scaler => {
        const { scaleTargetRef: { kind, name }, minReplicas, maxReplicas, metrics } = scaler.spec;
        const target = find(objects, kind, name);
        if (target === undefined)
            return [`${nameOf(scaler)}: there is no ${kind}/${name}`];
        const cpu = metrics.some(metric => metric.resource?.name === 'cpu');
        return [
            ...first(`${nameOf(scaler)}: minReplicas is above maxReplicas`, minReplicas > maxReplicas),
            ...first(`${nameOf(scaler)}: ${kind}/${name} sets replicas too, so each apply undoes the scaling`, target.spec.replicas !== undefined),
            ...first(`${nameOf(scaler)}: CPU in percent of a request that ${kind}/${name} does not make`,
                cpu && containers(target).some(({ resources }) => resources?.requests?.cpu === undefined)),
        ];
    });
}

export function rolloutsKeepAll(objects) {
    return ofKind(objects, 'Deployment').flatMap(({ spec, ...object }) => first(`${nameOf(object)}: an update takes pods away before others are there`,
        spec.strategy?.rollingUpdate?.maxUnavailable !== 0 || share(spec.strategy.rollingUpdate.maxSurge, 1) < 1));
}

// Pod Security Standards, "restricted", and a little more.
export function podsAreLocked(objects) {
    return workloads(objects).flatMap(workload => {
        const pod = workload.spec.template.spec;
        const security = pod.securityContext ?? {};
        const mounted = (pod.volumes ?? []).some(({ secret }) => secret);
        return [
            ...first('must run as a user that is not root', security.runAsNonRoot !== true || !(security.runAsUser > 0)),
            ...first('has no seccomp profile', security.seccompProfile?.type !== 'RuntimeDefault'),
            ...first('gets a service account token', pod.automountServiceAccountToken !== false),
            ...first('mounts secrets and has no fsGroup to read them', mounted && !(security.fsGroup > 0)),
            ...first('gets variables of all Services', pod.enableServiceLinks !== false),
            ...first('uses the host', pod.hostNetwork || pod.hostPID || pod.hostIPC || (pod.volumes ?? []).some(({ hostPath }) => hostPath)),
            ...containers(workload).flatMap(({ name, securityContext: own = {}, resources }) => [
                ...first(`${name} may gain privileges`, own.allowPrivilegeEscalation !== false),
                ...first(`${name} may write its root file system`, own.readOnlyRootFilesystem !== true),
                ...first(`${name} keeps capabilities`, JSON.stringify(own.capabilities) !== '{"drop":["ALL"]}'),
                ...first(`${name} has no bound on memory`, !resources?.limits?.memory || !resources.requests?.memory || !resources.requests.cpu),
            ]),
        ].map(fault => `${nameOf(workload)}: ${fault}`);
    });
}

// Every image says its version, ours the project's.
export function imagesAreOf(version) {
    return objects => [
        ...workloads(objects).flatMap(workload => containers(workload).filter(({ image }) => !/:[^/]+$/.test(image) || image.endsWith(':latest'))
            .map(({ image }) => `${nameOf(workload)}: the image ${image} names no version`)),
        ...programs(objects).filter(([, , { image }]) => !image.endsWith(`:${version}`))
            .map(([, workload, { image }]) => `${nameOf(workload)}: the image ${image} is not the project's version, ${version}`),
        ...first('neither program is there', new Set(programs(objects).map(([program]) => program)).size !== 2),
    ];
}

export const CHECKS = { identities, selectorsMatch, portsExist, budgetsAllow, scalersFit, rolloutsKeepAll, podsAreLocked };
