// Finding one's way in a set of rendered objects.
import { nameOf } from './schema.mjs';

const WORKLOADS = ['Deployment', 'StatefulSet'];

export const ofKind = (objects, ...kinds) => objects.filter(object => kinds.includes(object.kind));
export const find = (objects, kind, name) => objects.find(object => object.kind === kind && object.metadata.name === name);
export const workloads = objects => ofKind(objects, ...WORKLOADS);
export const containers = workload => workload.spec.template.spec.containers;
export const labelsOf = workload => workload.spec.template.metadata.labels;

const OPERATORS = {
    In: (value, values) => values.includes(value),
    NotIn: (value, values) => !values.includes(value),
    Exists: value => value !== undefined,
    DoesNotExist: value => value === undefined,
};

// Whether a LabelSelector picks these labels.
export function selects(selector, labels) {
    return Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value) &&
        (selector.matchExpressions ?? []).every(({ key, operator, values }) => OPERATORS[operator](labels[key], values));
}

export const selected = (objects, selector) => workloads(objects).filter(workload => selects(selector, labelsOf(workload)));

// The number of a container's port by its name or number, of the first container that has it.
export function portNumber(workload, port) {
    return containers(workload).flatMap(({ ports = [] }) => ports).find(({ name, containerPort }) => port === name || port === containerPort)?.containerPort;
}

// How few pods a workload may have: the autoscaler's minimum where there is one.
export function replicasMin(objects, workload) {
    const scaler = ofKind(objects, 'HorizontalPodAutoscaler').find(({ spec }) => spec.scaleTargetRef.kind === workload.kind &&
        spec.scaleTargetRef.name === workload.metadata.name);
    return scaler ? scaler.spec.minReplicas ?? 1 : workload.spec.replicas ?? 1;
}

// [program, workload, container] of each container that runs one of ours.
export function programs(objects) {
    return workloads(objects).flatMap(workload => containers(workload)
        .map(container => [/(?:^|\/)(sse-gateway|sse-publisher):/.exec(container.image)?.[1], workload, container])
        .filter(([program]) => program !== undefined));
}

export { nameOf };
