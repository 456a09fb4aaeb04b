// Rendered objects against the schemas of Kubernetes and of the custom resources, in two ways that complement each other: TypeScript's literal types know which
// fields there are (a misspelt one is an error), the JSON schemas which values (numbers, patterns, enumerations).
import { join } from 'node:path';
import ts from 'typescript';
import { HERE } from './tools.mjs';

// apiVersion → [module of the types, prefix of their names, package of the models]
const KUBERNETES = {
    'v1': ['kubernetes-types/core/v1', '', 'kubernetes-models/v1'],
    'apps/v1': ['kubernetes-types/apps/v1', '', 'kubernetes-models/apps/v1'],
    'autoscaling/v2': ['kubernetes-types/autoscaling/v2', '', 'kubernetes-models/autoscaling/v2'],
    'policy/v1': ['kubernetes-types/policy/v1', '', 'kubernetes-models/policy/v1'],
    'networking.k8s.io/v1': ['kubernetes-types/networking/v1', '', 'kubernetes-models/networking.k8s.io/v1'],
};
const custom = (group, name) => [`${name}/${group}`, 'I', `${name}/${group}`];
const SOURCES = {
    ...KUBERNETES,
    'gateway.networking.k8s.io/v1': custom('gateway.networking.k8s.io/v1', '@kubernetes-models/gateway-api'),
    'monitoring.coreos.com/v1': custom('monitoring.coreos.com/v1', '@kubernetes-models/prometheus-operator'),
};

export const nameOf = object => `${object.kind}/${object.metadata?.name}`;

function source(object) {
    if (!(object.apiVersion in SOURCES))
        throw new Error(`${nameOf(object)}: tests/k8s/schema.mjs has no schemas for ${object.apiVersion}`);
    return SOURCES[object.apiVersion];
}

function literal(object) {
    const [types, prefix] = source(object);
    return `import type { ${prefix}${object.kind} } from '${types}';\nexport const object: ${prefix}${object.kind} = ${JSON.stringify(object, null, 1)};\n`;
}

const OPTIONS = { noEmit: true, strict: true, skipLibCheck: true, module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler, types: [] };

// Sentences about unknown fields and wrong types; one compilation for all objects, for it is the compiler's start that takes the time.
export function typeFaults(objects) {
    const texts = new Map(objects.map((object, i) => [join(HERE, `object-${i}.mts`), literal(object)]));
    const host = ts.createCompilerHost(OPTIONS);
    const { fileExists, readFile, getSourceFile } = host;
    host.fileExists = name => texts.has(name) || fileExists(name);
    host.readFile = name => texts.get(name) ?? readFile(name);
    host.getSourceFile = (name, ...rest) => (texts.has(name) ? ts.createSourceFile(name, texts.get(name), ...rest) : getSourceFile(name, ...rest));
    const program = ts.createProgram([...texts.keys()], OPTIONS, host);
    return [...texts.keys()].flatMap((name, i) => ts.getPreEmitDiagnostics(program, program.getSourceFile(name)).map(({ start, file, messageText }) => {
        const line = file?.text.split('\n')[file.getLineAndCharacterOfPosition(start).line].trim();
        return `${nameOf(objects[i])}: ${line}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
    }));
}

// Sentences about wrong values. The models ignore fields that they don't know.
export async function valueFaults(objects) {
    const faults = [];
    for (const object of objects) {
        const models = await import(`${source(object)[2]}/${object.kind}`);
        try {
            new models[object.kind](object).validate();
        } catch (error) {
            faults.push(`${nameOf(object)}: ${error.message}`);
        }
    }
    return faults;
}
