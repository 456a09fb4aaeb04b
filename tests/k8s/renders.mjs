// Everything that is rendered and then checked: name → { objects, given }. `given` is what must be there before: Secrets and their keys.
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CHART, ROOT, kustomize, template } from './tools.mjs';

const K8S = join(ROOT, 'deploy/k8s');
const REDIS = { 'sse-redis': { url: 'rediss://sse:secret@redis.example.com:6379' } };
const JWT = { 'sse-jwt': { key: 'a secret of at least thirty-two bytes' } };
const TLS = { 'sse-tls': { 'tls.crt': '', 'tls.key': '' } };

// The production overlay with one component in another's place, as its comment offers.
function productionWithIngress() {
    const folder = mkdtempSync(join(tmpdir(), 'sse-k8s-'));
    try {
        cpSync(K8S, folder, { recursive: true });
        const overlay = join(folder, 'overlays/ingress');
        cpSync(join(folder, 'overlays/production'), overlay, { recursive: true });
        writeFileSync(join(overlay, 'kustomization.yaml'), `
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: sse
resources: [namespace.yaml, ../../base]
components: [../../components/jwt, ../../components/ingress]
patches: [{ path: redis.yaml }]
`);
        return kustomize(overlay);
    } finally {
        rmSync(folder, { recursive: true });
    }
}

const values = name => ['--values', join(CHART, name)];

export const RENDERS = {
    'base': { objects: kustomize(join(K8S, 'base')), given: REDIS },
    'overlays/dev': { objects: kustomize(join(K8S, 'overlays/dev')), given: {} },
    'overlays/production': { objects: kustomize(join(K8S, 'overlays/production')), given: { ...REDIS, ...JWT } },
    'production with the ingress': { objects: productionWithIngress(), given: { ...REDIS, ...JWT, ...TLS } },
    'helm': { objects: template(), given: REDIS },
    'helm, values-dev.yaml': { objects: template(...values('values-dev.yaml')), given: {} },
    'helm, values-production.yaml': { objects: template(...values('values-production.yaml')), given: { ...REDIS, ...JWT } },
    'helm, other values': {
        objects: template('--set', 'ingress.enabled=true,ingress.className=nginx,ingress.annotations.a=b,service.type=LoadBalancer,autoscaling.streamsPerPod=0',
            '--set', 'gateway.preStopSeconds=0,gateway.maxSurge=1,gateway.nodeSelector.disk=ssd,gateway.podAnnotations.a=b,image.pullSecrets={mine}',
            '--set', 'gateway.tolerations[0].key=streams,gateway.tolerations[0].operator=Exists,redis.secret=mine,jwt.secret=sse-jwt,monitoring.enabled=true',
            '--set', 'monitoring.labels.release=prometheus,monitoring.runbookBase=https://git.example.com/sse/,redis.cidr=192.168.0.0/16', '--set-string', 'gateway.settings.DRAIN_SECONDS=120,gateway.settings.THREADS=4'),
        given: { mine: REDIS['sse-redis'], ...JWT, ...TLS },
    },
    'helm, without policies, scaling and drain time': {
        objects: template('--set', 'networkPolicy.enabled=false,autoscaling.enabled=false,gateway.settings.DRAIN_SECONDS=null'), given: REDIS,
    },
};
