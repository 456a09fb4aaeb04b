// Who may open a connection to whom, by the rules of NetworkPolicies: a pod that a policy selects for a direction may do what one of these policies allows,
// any other pod everything; both ends must agree.
import { labelsOf, ofKind, portNumber, selects, workloads } from './objects.mjs';

const HOME = { 'kubernetes.io/metadata.name': 'home' };

// Where our pods live; a pod is { labels, namespace: labels of its namespace, workload }.
export function podsOf(objects) {
    return Object.fromEntries(workloads(objects).map(workload => [labelsOf(workload)['app.kubernetes.io/name'], { labels: labelsOf(workload), namespace: HOME, workload }]));
}

export const stranger = (namespace, labels = {}) => ({ labels, namespace: { 'kubernetes.io/metadata.name': namespace } });
export const neighbour = labels => ({ labels, namespace: HOME });
export const address = ip => ({ ip });

const number = ip => ip.split('.').reduce((n, part) => n * 256 + Number(part), 0);

function within(ip, cidr) {
    const [network, bits] = cidr.split('/');
    const size = 2 ** (32 - Number(bits));
    return Math.floor(number(ip) / size) === Math.floor(number(network) / size);
}

function isPeer({ ipBlock, podSelector, namespaceSelector }, other) {
    if (ipBlock)
        return other.ip !== undefined && within(other.ip, ipBlock.cidr);
    if (other.ip !== undefined)
        return false;
    const there = namespaceSelector ? selects(namespaceSelector, other.namespace) : other.namespace === HOME;
    return there && (!podSelector || selects(podSelector, other.labels));
}

// A port's name means that of the pod it leads to.
function isPort({ port, protocol = 'TCP' }, target, wanted, wantedProtocol) {
    const own = typeof port === 'string' ? target.workload && portNumber(target.workload, port) : port;
    return protocol === wantedProtocol && own === wanted;
}

function allows(objects, direction, pod, other, target, port, protocol) {
    const [field, peers, type] = direction === 'out' ? ['egress', 'to', 'Egress'] : ['ingress', 'from', 'Ingress'];
    const policies = ofKind(objects, 'NetworkPolicy').filter(({ spec }) => pod.labels && pod.namespace === HOME && selects(spec.podSelector, pod.labels) &&
        spec.policyTypes.includes(type));
    return policies.length === 0 || policies.some(({ spec }) => (spec[field] ?? []).some(rule =>
        (!rule.ports || rule.ports.some(p => isPort(p, target, port, protocol))) && (!rule[peers] || rule[peers].some(peer => isPeer(peer, other)))));
}

export function mayReach(objects, from, to, port, protocol = 'TCP') {
    return allows(objects, 'out', from, to, to, port, protocol) && allows(objects, 'in', to, from, to, port, protocol);
}
