// The direction of dependence (gateway/README.md, "How the folders of the project are laid out"): arrows only, never back.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ROOT, faultsIn, files, isC } from './source.mjs';

// folder → the folders whose headers it may include beside its own. The floors are runtime, proto, and the programs; the wings of the gateway (feed, http, stream) do not
// know each other, but that http opens streams.
const RUNTIME = ['runtime', 'runtime/auth', 'runtime/h2o', 'runtime/net'];
const MAY = {
    'runtime': [...RUNTIME, 'runtime/redis'],
    'runtime/auth': RUNTIME,
    'runtime/h2o': RUNTIME,
    'runtime/net': RUNTIME,
    'runtime/redis': RUNTIME,
    'proto': ['runtime'],
    'proto/bus': ['proto', 'runtime', 'runtime/redis'],
    'proto/cli': ['proto', 'runtime'],
    'publisher': ['proto', 'proto/bus', 'runtime/redis', ...RUNTIME],
    'gateway': ['proto', 'proto/bus', 'runtime/redis', ...RUNTIME, 'gateway/feed', 'gateway/http', 'gateway/stream'],
    'gateway/feed': ['gateway', 'proto', 'proto/bus', 'runtime/redis', ...RUNTIME],
    'gateway/stream': ['gateway', 'proto', ...RUNTIME],
    'gateway/http': ['gateway', 'gateway/stream', 'proto', ...RUNTIME],
};
// library → the layers that may include it; every other system header is libc, Linux or a macro-only header
const LIBRARIES = [
    [/^h2o/, ['runtime', 'runtime/h2o']],
    [/^hiredis/, ['runtime/redis']],
    [/^openssl/, RUNTIME],
    [/^seccomp/, ['runtime']],
    [/^(cjose|jansson)/, ['runtime/auth']],
    [/^yajl/, ['publisher', 'proto/cli']],
    [/^curl/, ['proto/cli']],
    [/^(ut[a-z]+|pthread|sys\/(socket|epoll|un))\.h$/, Object.keys(MAY).filter(layer => layer !== 'proto' && layer !== 'proto/cli')],
];
const GENERATED = ['page_files.h', 'sse_lua.h']; // by runtime/embed.cmake, beside their CMakeLists.txt

const sources = files.filter(name => isC(name) && dirname(name) in MAY);
const includes = (text, open) => [...text.matchAll(/^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]/gm)].filter(m => m[1] === open).map(m => m[2]);

test('there are sources in every layer', () => {
    for (const layer of Object.keys(MAY))
        assert.ok(sources.some(name => dirname(name) === layer), layer);
});

test('each file includes only what its layer may', () => {
    assert.deepEqual(faultsIn(sources, (name, text) => {
        const layer = dirname(name);
        return includes(text, '"').map(header => {
            if (GENERATED.includes(header))
                return [];
            if (!existsSync(join(ROOT, header)))
                return `"${header}" is no root-relative path`;
            const to = dirname(header);
            return to === layer || MAY[layer].includes(to) ? [] : `includes "${header}", which ${layer} may not`;
        }).flat();
    }), []);
});

test('each library stays in its layer', () => {
    assert.deepEqual(faultsIn(sources, (name, text) => includes(text, '<').flatMap(header => {
        const rule = LIBRARIES.find(([pattern]) => pattern.test(header));
        return !rule || rule[1].includes(dirname(name)) ? [] : `includes <${header}>, which ${dirname(name)} may not`;
    })), []);
});

test('x.c includes x.h first', () => {
    assert.deepEqual(faultsIn(sources.filter(name => name.endsWith('.c')), (name, text) => {
        const own = name.replace(/\.c$/, '.h');
        const first = /^#include ["<]([^">]+)[">]/m.exec(text)?.[1];
        return files.includes(own) && first !== own ? `its first include is ${first}, not ${own}` : [];
    }), []);
});

test('every header guards itself', () => {
    assert.deepEqual(faultsIn(sources.filter(name => name.endsWith('.h')), (name, text) =>
        (/^#pragma once$/m.test(text) ? [] : `has no #pragma once (${basename(name)})`)), []);
});
