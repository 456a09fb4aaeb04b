// deploy/observability/alerts.yml is the one source of the alerts. kustomize and helm read nothing outside their folders, so both have a copy in the form they need:
//
//     node tests/k8s/alerts.mjs [--write]
//
// Without --write it only says whether they are up to date (tests/k8s/manifests.test.mjs does, too).
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

const RULE = `# Made of deploy/observability/alerts.yml by  node tests/k8s/alerts.mjs --write
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: sse
  labels:
    app.kubernetes.io/instance: sse
    app.kubernetes.io/part-of: sse
spec:
`;

// [path, text] of each copy as it should be.
export function copies() {
    const alerts = readFileSync(join(ROOT, 'deploy/observability/alerts.yml'), 'utf8');
    const rules = alerts.slice(alerts.indexOf('groups:'));
    return [
        [join(ROOT, 'deploy/k8s/components/monitoring/prometheusrule.yaml'), RULE + rules.replace(/^(?=.)/gm, '  ')],
        [join(ROOT, 'deploy/helm/sse-gateway/alerts.yml'), rules],
    ];
}

function read(path) {
    try {
        return readFileSync(path, 'utf8');
    } catch {
        return '';
    }
}

export const stale = () => copies().filter(([path, text]) => read(path) !== text).map(([path]) => relative(ROOT, path));

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    const old = stale();
    if (process.argv.includes('--write'))
        for (const [path, text] of copies())
            writeFileSync(path, text);
    else if (old.length !== 0)
        process.exitCode = 1;
    const state = process.argv.includes('--write') ? 'new now' : 'old; refresh them with  node tests/k8s/alerts.mjs --write';
    console.log(old.length === 0 ? 'the copies of the alerts are up to date' : `${old.join(', ')}: ${state}`);
}
