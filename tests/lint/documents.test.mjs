// Documents, and comments that point to them, are true: each file and heading that they name is there.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { ROOT, faultsIn, files, isC, read } from './source.mjs';

const documents = files.filter(name => name.endsWith('.md'));
const CHANGELOG = 'deploy/CHANGELOG.md'; // what it says of older versions stays as it was
const TOP = /^(\.ci|deploy|gateway|proto|publisher|runtime|tests)\//;
const names = new Set(files.map(name => basename(name)));
const folders = new Set(files.flatMap(name => name.split('/').slice(0, -1).map((_, i, parts) => parts.slice(0, i + 1).join('/'))));

// Of the libraries that we use, which their users may name, too.
for (const name of ['cache_digests.c', 'connection.c', 'evloop.c.h', 'headers.c', 'hpack.c', 'http2_internal.h', 'khash.h', 'picohttpparser.c', 'proxy.c', 'scheduler.c', 'socket.c', 'socketpool.c', 'uthash.h'])
    names.add(name);

// What is named by its last part alone.
const SOURCE = /^[\w.-]+\.([ch]|mjs|lua)$/;

const slug = heading => heading.toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-');
const headings = name => [...read(name).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => slug(heading));
const isThere = path => files.includes(path) || folders.has(path.replace(/\/$/, ''));
const withoutFences = text => text.replace(/^```[^]*?^```$/gm, '');

test('each link of a document leads to a file and heading of the repository', () => {
    assert.deepEqual(faultsIn(documents, (name, text) => [...withoutFences(text).matchAll(/\]\(([^)\s]*)\)/g)].flatMap(([, target]) => {
        if (/^https?:/.test(target))
            return [];
        const [path, heading] = target.split('#');
        const to = path === '' ? name : normalize(join(dirname(name), path));
        if (!isThere(to))
            return `${target} is not there`;
        return heading === undefined || headings(to).includes(heading) ? [] : `${target}: no such heading`;
    })), []);
});

test('each runbook_url of an alert leads to its line in a document', () => {
    const anchors = name => [...read(name).matchAll(/<a id="([^"]*)">/g)].map(([, id]) => id);
    const alerts = files.filter(name => /\.ya?ml$/.test(name) && /^ *- alert: /m.test(read(name)));
    assert.ok(alerts.length >= 3, alerts.join());
    assert.deepEqual(faultsIn(alerts, (name, text) => text.split(/^(?= *- alert: )/m).slice(1).flatMap(alert => {
        const [, path, anchor] = /^ *runbook_url: ([^#\s]+)#(\S+)$/m.exec(alert) ?? [];
        const known = isThere(path ?? '') && anchors(path).includes(anchor) && anchor === /- alert: (\w+)/.exec(alert)[1].toLowerCase();
        return known ? [] : `${alert.split('\n')[0].trim()}: no such line: ${path}#${anchor}`;
    })), []);
});

test('each path of the repository in backticks is there', () => {
    assert.deepEqual(faultsIn(documents.filter(name => name !== CHANGELOG), (name, text) => [...withoutFences(text).matchAll(/`([^`\s]+)`/g)].flatMap(([, path]) => {
        if (/[*<>{}$…]/.test(path))
            return [];
        if (TOP.test(path))
            return isThere(path) ? [] : `${path} is not there`;
        if (SOURCE.test(path))
            return names.has(path) ? [] : `no file is called ${path}`;
        return [];
    })), []);
});

test('comments of C files name files that are there', () => {
    const comments = text => [...text.matchAll(/\/\*[^]*?\*\/|\/\/.*$/gm)].map(([comment]) => comment).join('\n');
    assert.deepEqual(faultsIn(files.filter(isC), (name, text) => [...comments(text).matchAll(/(?<![\w./<-])((?:[a-z0-9_]+\/)*[a-z0-9_]+\.[ch])\b(?!\()/g)].flatMap(([, path]) =>
        (names.has(basename(path)) && (!path.includes('/') || existsSync(join(ROOT, path)) || files.some(file => file.endsWith(`/${path}`))) ? [] : `${path} is not there`))), []);
});
