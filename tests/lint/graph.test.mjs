// The graph of modules: a module is x.c with x.h, an arrow is an #include. Arrows go down, and no arrows go round.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { files, isC, read } from './source.mjs';

const FLOORS = ['runtime', 'proto', ['gateway', 'publisher']];
const WINGS = ['gateway/feed', 'gateway/http', 'gateway/stream'];
// What stands above the wings of the gateway and puts them together; the other modules of its folder are what the wings share.
const ABOVE = ['gateway/main', 'gateway/gateway', 'gateway/worker'];
// The only way from wing to wing: http opens streams.
const OPENS = ['gateway/http', 'gateway/stream/hub'];

// To be cut. Each list may only become shorter; one without a circle, or an arrow that is gone, is to be taken out here.
const KNOWN_CIRCLES = {};
const KNOWN_ARROWS = [];

const sources = files.filter(name => isC(name) && /^(runtime|proto|gateway|publisher)\//.test(name));
const moduleOf = name => name.replace(/\.[ch]$/, '');
const modules = new Map(sources.map(name => [moduleOf(name), new Set()]));
for (const name of sources)
    for (const [, header] of read(name).matchAll(/^[ \t]*#[ \t]*include[ \t]*"([^"]+)"/gm))
        if (modules.has(moduleOf(header)) && moduleOf(header) !== moduleOf(name))
            modules.get(moduleOf(name)).add(moduleOf(header));

// Groups of modules that all reach each other (Tarjan).
function circles() {
    const index = new Map(), low = new Map(), stack = [], found = [];
    const visit = module => {
        index.set(module, index.size);
        low.set(module, index.get(module));
        stack.push(module);
        for (const next of modules.get(module)) {
            if (!index.has(next))
                visit(next);
            if (stack.includes(next))
                low.set(module, Math.min(low.get(module), low.get(next)));
        }
        if (low.get(module) === index.get(module)) {
            const circle = stack.splice(stack.indexOf(module));
            if (circle.length > 1)
                found.push(circle.sort());
        }
    };
    for (const module of modules.keys())
        if (!index.has(module))
            visit(module);
    return found;
}

const floorOf = module => FLOORS.findIndex(floor => [floor].flat().includes(module.split('/')[0]));
const wingOf = module => WINGS.find(wing => module.startsWith(`${wing}/`));

function goesDown(from, to) {
    if (floorOf(from) !== floorOf(to))
        return floorOf(from) > floorOf(to);
    if (from.split('/')[0] !== to.split('/')[0])
        return false;
    if (ABOVE.includes(from) || ABOVE.includes(to))
        return ABOVE.includes(from);
    return wingOf(to) === undefined || wingOf(from) === wingOf(to) || (wingOf(from) === OPENS[0] && to === OPENS[1]);
}

test('every known module is there', () => {
    assert.ok(modules.size > 150, `${modules.size} modules`);
    assert.deepEqual([...ABOVE, OPENS[1]].filter(module => !modules.has(module)), []);
});

test('every arrow goes down', () => {
    const up = [...modules].flatMap(([from, to]) => [...to].filter(module => !goesDown(from, module)).map(module => `${from} → ${module}`)).sort();
    assert.deepEqual(up, KNOWN_ARROWS);
});

test('no arrows go round', () => {
    const found = circles();
    const unknown = found.filter(circle => !Object.values(KNOWN_CIRCLES).some(known => circle.every(module => known.includes(module))));
    assert.deepEqual(unknown, []);
    const gone = Object.keys(KNOWN_CIRCLES).filter(name => !found.some(circle => circle.every(module => KNOWN_CIRCLES[name].includes(module))));
    assert.deepEqual(gone, [], 'to be taken out of KNOWN_CIRCLES');
});
