// What people watch it with: /metrics, its table in deploy/observability/README.md, the dashboard, the alerts, and the two health checks.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Proc } from './process.mjs';
import { openStream, request } from './sse.mjs';
import { ROOT, SCALE, Stack, binary, freePort, parseMetrics, tempFolder, until } from './stack.mjs';

const HERE = join(ROOT, 'deploy/observability');
const PROGRAMS = ['gateway', 'publisher'];
const VERSION = /^project\(.* VERSION (\S+) /m.exec(readFileSync(join(ROOT, 'CMakeLists.txt'), 'utf8'))[1];
const has = command => spawnSync(command, ['--version']).status === 0;
const noPromtool = has('promtool') ? false : 'promtool is not installed: deploy/packages observe';
const noPrometheus = has('prometheus') ? false : 'prometheus is not installed: deploy/packages observe';

const read = name => readFileSync(join(HERE, name), 'utf8');
const dashboard = JSON.parse(read('grafana/dashboards/sse-gateway.json'));

// Every expression of the dashboard as Prometheus gets it, with its panel's title.
const expressions = [
    ...dashboard.panels.flatMap(panel => (panel.targets ?? []).map(target => ({ title: panel.title, expr: target.expr }))),
    ...dashboard.annotations.list.map(({ name, expr }) => ({ title: name, expr })),
].map(({ title, expr }) => ({ title, expr: expr.replaceAll('$__rate_interval', '10s').replaceAll('$instance', '.*') }));
const alerts = [...read('alerts.yml').matchAll(/- alert: (\w+)\n\s+expr: (\||.+)\n((?: {12}.+\n)*)/g)].map(([, name, one, more]) => ({ name, expr: one === '|' ? more : one }));

// {name: {type, help, labels: {name: [values]}}} of Prometheus text, with the rows of a histogram under its own name.
function families(text) {
    const all = {};
    for (const [, name, help] of text.matchAll(/^# HELP (\S+) (.+)$/gm))
        all[name] = { help, labels: {} };
    for (const [, name, type] of text.matchAll(/^# TYPE (\S+) (.+)$/gm))
        all[name].type = type;
    for (const row of parseMetrics(text)) {
        const family = all[row.name] ?? all[row.name.replace(/_(bucket|sum|count)$/, '')];
        assert.ok(family, `${row.name} has no HELP`);
        for (const [label, value] of Object.entries(row.labels))
            if (label !== 'le' && !(family.labels[label] ??= []).includes(value))
                family.labels[label].push(value);
    }
    return all;
}

// The README's table of them.
function table(all) {
    const labels = of => Object.entries(of).map(([label, values]) => `\`${label}\`: ${label === 'version' ? 'as `--version` says' : values.map(value => `\`${value}\``).join(', ')}`);
    return ['| metric | kind | what it is | labels |', '|---|---|---|---|',
        ...Object.entries(all).map(([name, { type, help, labels: of }]) => `| \`${name}\` | ${type} | ${help.replace(/\.$/, '').replace(/^[A-Z](?=[a-z])/, c => c.toLowerCase())} | ${labels(of).join('; ')} |`)]
        .map(line => line.replace(/ +\|/g, ' |')).join('\n');
}

// Names of our metrics in an expression; those of a histogram's rows stand for it.
const namesIn = expr => [...new Set([...expr.matchAll(/\b((?:sse|process)_\w+)/g)].map(([, name]) => name.replace(/_(bucket|sum|count)$/, '')))];

function promtool(args, input) {
    const { status, stdout, stderr } = spawnSync('promtool', args, { input, encoding: 'utf8', cwd: HERE });
    assert.equal(status, 0, `promtool ${args.join(' ')}: ${stdout}${stderr}`);
    return stdout + stderr;
}

// {code, out, ms}
function healthcheck(server, ...args) {
    const began = Date.now();
    return new Promise(resolve => execFile(server.argv[0], ['healthcheck', ...args],
        { env: { ADMIN_PORT: server.ports.admin, LSAN_OPTIONS: 'detect_leaks=0' } },
        (error, out, err) => resolve({ code: error ? error.code : 0, out: out + err, ms: Date.now() - began })));
}

const s = await Stack.start({ env: { TICKERS: 'letters:200,usd_eur:200' } });
const texts = {};
for (const [name, server] of [['gateway', s.gw[0]], ['publisher', s.pub[0]]])
    texts[name] = await (await fetch(`${server.adminUrl}/metrics`)).text();

for (const program of PROGRAMS) {
    test(`${program}: the README's table is what /metrics has`, () => {
        const readme = read('README.md');
        const place = new RegExp(`(<!-- metrics:${program} -->\n)[^]*?(<!-- /metrics -->)`);
        assert.match(readme, place);
        const after = readme.replace(place, (_, open, close) => `${open}\n${table(families(texts[program]))}\n\n${close}`);
        if (process.env.WRITE_METRICS)
            writeFileSync(join(HERE, 'README.md'), after);
        else
            assert.equal(readme, after);
    });

    test(`${program}: promtool has nothing to say about /metrics`, { skip: noPromtool }, () => {
        assert.equal(promtool(['check', 'metrics'], texts[program]), '');
    });

    test(`${program}: sse_build_info, --version and CMakeLists.txt name one version`, () => {
        const { labels, value } = parseMetrics(texts[program]).find(row => row.name === 'sse_build_info');
        assert.deepEqual({ labels, value }, { labels: { program: `sse-${program}`, version: VERSION }, value: 1 });
        assert.equal(execFileSync(binary(`sse-${program}`), ['--version'], { encoding: 'utf8' }), `sse-${program} ${VERSION}\n`);
        assert.match(readFileSync(join(ROOT, 'deploy/CHANGELOG.md'), 'utf8'), new RegExp(`^## \\[${VERSION.replaceAll('.', '\\.')}\\]`, 'm'));
    });
}

test('the dashboard and the alerts name only what there is, and nothing there is goes unseen', () => {
    const there = new Set(PROGRAMS.flatMap(program => Object.keys(families(texts[program]))));
    const named = new Set();
    assert.ok(expressions.length >= 40 && alerts.length >= 15, `${expressions.length} expressions, ${alerts.length} alerts`);
    assert.equal(alerts.length, read('alerts.yml').match(/- alert:/g).length);
    for (const { title, name, expr } of [...expressions, ...alerts])
        for (const metric of namesIn(expr)) {
            assert.ok(there.has(metric), `${title ?? name}: there is no ${metric}`);
            named.add(metric);
        }
    assert.deepEqual([...there].filter(metric => !named.has(metric)), []);
});

test('the labels that the dashboard and the alerts ask for have such values', () => {
    const all = Object.assign({}, ...PROGRAMS.map(program => families(texts[program])));
    for (const { title, name, expr } of [...expressions, ...alerts])
        for (const [, metric, matchers] of expr.matchAll(/\b(sse_\w+?)(?:_bucket)?\{([^}]*)\}/g))
            for (const [, label, operator, value] of matchers.matchAll(/(\w+)(=~|=)"([^"]*)"/g))
                if (!['job', 'instance', 'alertname', 'alertstate'].includes(label))
                    for (const one of operator === '=~' ? value.split('|') : [value])
                        assert.ok([...all[metric].labels[label] ?? [], 'sse-gateway', 'sse-publisher'].includes(one), `${title ?? name}: ${metric} has no ${label}="${one}"`);
});

test('the dashboard is one that Grafana takes: identities, places and data sources', () => {
    const { panels } = dashboard;
    const ids = panels.map(panel => panel.id);
    assert.equal(new Set(ids).size, ids.length);
    for (const { title, gridPos: a, id } of panels) {
        assert.ok(a.x >= 0 && a.w > 0 && a.x + a.w <= 24 && a.h > 0, title);
        const over = panels.find(({ gridPos: b, id: other }) => other !== id && a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h);
        assert.equal(over, undefined, `${title} lies over ${over?.title}`);
    }
    for (const panel of panels.filter(({ type }) => type !== 'row')) {
        assert.deepEqual(panel.datasource, { type: 'prometheus', uid: '${datasource}' }, panel.title);
        assert.ok(panel.targets.length > 0 && panel.fieldConfig.defaults !== undefined, panel.title);
        assert.equal(new Set(panel.targets.map(target => target.refId)).size, panel.targets.length, panel.title);
    }
    assert.match(read('grafana/provisioning/datasources/prometheus.yml'), /type: prometheus/);
    assert.deepEqual(readdirSync(join(HERE, 'grafana/dashboards')), ['sse-gateway.json']);
});

test('promtool takes the configuration and the alerts', { skip: noPromtool }, () => {
    promtool(['check', 'config', 'prometheus.yml']);
    promtool(['check', 'rules', 'alerts.yml']);
});

test('each alert has a runbook line, and a test in which it fires', { skip: noPromtool }, () => {
    promtool(['test', 'rules', 'alerts_test.yml']);
    const tests = read('alerts_test.yml');
    for (const { name } of alerts)
        assert.match(tests, new RegExp(`alertname="${name}".*value: 1 }`), name);
    const runbook = [...read('alerts.yml').matchAll(/- alert: (\w+)\n[^]*?\n {10}runbook: (.+)\n {10}runbook_url: (\S+)\n/g)];
    assert.equal(runbook.length, alerts.length);
    for (const [, name, , url] of runbook)
        assert.ok(url === `deploy/observability/README.md#${name.toLowerCase()}`, url);
    const lines = runbook.map(([, name, text]) => `* <a id="${name.toLowerCase()}"></a>**${name}**: ${text.replace(/^"(.*)"$/, '$1')}`).join('\n');
    const place = /(<!-- runbook -->\n)[^]*?(<!-- \/runbook -->)/, readme = read('README.md');
    assert.match(readme, place);
    const after = readme.replace(place, (_, open, close) => `${open}\n${lines}\n\n${close}`);
    if (process.env.WRITE_METRICS)
        writeFileSync(join(HERE, 'README.md'), after);
    else
        assert.equal(readme, after);
});

test('numbers follow what happens: events, bytes, times', async () => {
    const [gw, pub] = [s.gw[0], s.pub[0]];
    const stream = await openStream(`${gw.url}/channels/counted`);
    await s.subscribed('counted');
    const value = async (server, name, labels) => (await server.metric(name, labels)) ?? 0;
    const posts = await value(pub, 'sse_publish_duration_seconds_count');
    for (let i = 0; i < 10; ++i)
        await s.post('counted', 'x'.repeat(100));
    for (let i = 0; i < 10; ++i)
        await stream.next();
    assert.equal(await value(pub, 'sse_publish_duration_seconds_count'), posts + 10);
    const buckets = (await pub.metrics()).filter(row => row.name === 'sse_publish_duration_seconds_bucket');
    assert.equal(buckets.at(-1).labels.le, '+Inf');
    assert.equal(buckets.at(-1).value, posts + 10);
    const mean = await value(pub, 'sse_publish_duration_seconds_sum') / (posts + 10);
    assert.ok(mean > 10e-6 && mean < 2 * SCALE, `${mean} s`);
    for (const [events, size] of [['sse_events_received_total', 'sse_received_bytes_total'], ['sse_deliveries_total', 'sse_sent_bytes_total']]) {
        await gw.waitMetric(events, count => count >= 10);
        const bytes = await value(gw, size);
        assert.ok(bytes > 10 * 100, `${size}: ${bytes}`);
    }
    await gw.waitMetric('sse_fan_out_seconds_count', count => count >= 1 && count <= 11);
    await gw.waitMetric('sse_bus_round_trip_seconds_count', count => count >= 2);
    const [age, limit] = await Promise.all(['sse_bus_canary_age_seconds', 'sse_queued_limit_bytes'].map(name => value(gw, name)));
    assert.ok(age >= 0 && age < 10 * SCALE, `${age}`);
    assert.equal(limit, 268435456);
    await stream.close();
});

test('healthcheck: ready and alive; without Redis not ready, for a named reason, but alive', async () => {
    for (const server of [s.gw[0], s.pub[0]]) {
        assert.deepEqual(await healthcheck(server).then(({ code, out }) => ({ code, out })), { code: 0, out: '{"status":"ready"}\n' });
        assert.deepEqual(await healthcheck(server, '--live').then(({ code, out }) => ({ code, out })), { code: 0, out: '{"status":"ok"}\n' });
    }
    const other = await Stack.start();
    await other.redis.kill();
    for (const server of [other.gw[0], other.pub[0]]) {
        await server.wait('healthcheck misses Redis', async () => (await healthcheck(server)).code === 1);
        assert.match((await healthcheck(server)).out, /^\{"status":"not ready","checks":\{"bus":"[^"]+"\}\}\n$/);
        assert.equal((await healthcheck(server, '--live')).code, 0);
    }
    await other.redis.start();
    for (const server of [other.gw[0], other.pub[0]])
        await server.wait('healthcheck finds Redis', async () => (await healthcheck(server)).code === 0);
});

test('healthcheck: a process that stands still fails both, within two seconds', async () => {
    s.gw[0].pause();
    for (const args of [[], ['--live']]) {
        const { code, out, ms } = await healthcheck(s.gw[0], ...args);
        assert.deepEqual({ code, out }, { code: 1, out: 'no answer in time\n' });
        assert.ok(ms < 2000 * SCALE, `${ms} ms`);
    }
    s.gw[0].resume();
    await s.gw[0].wait('it is ready again', async () => (await healthcheck(s.gw[0])).code === 0);
});

test('a real Prometheus with our configuration has something to show in every panel, and no alert is broken or fires', { skip: noPrometheus }, async t => {
    const folder = tempFolder();
    const port = await freePort();
    const targets = { gateway: s.gw[0].ports.admin, publisher: s.pub[0].ports.admin };
    const config = read('prometheus.yml').replace(/(scrape|evaluation)_interval: 15s/g, '$1_interval: 1s')
        .replace(/dns_sd_configs:\n\s+- \{ names: \[(\w+)\].*\}/g, (_, name) => `static_configs: [{ targets: ['127.0.0.1:${targets[name]}'] }]`);
    assert.doesNotMatch(config, /dns_sd_configs:/);
    mkdirSync(join(folder, 'data'));
    writeFileSync(join(folder, 'prometheus.yml'), config);
    writeFileSync(join(folder, 'alerts.yml'), read('alerts.yml'));
    const prometheus = new Proc('prometheus', ['prometheus', `--config.file=${join(folder, 'prometheus.yml')}`, `--storage.tsdb.path=${join(folder, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`], {});
    prometheus.spawn();
    t.after(async () => assert.equal(await prometheus.end(), null));
    const api = async path => (await fetch(`http://127.0.0.1:${port}/api/v1/${path}`)).json();
    const query = async expr => (await api(`query?query=${encodeURIComponent(expr)}`)).data;
    await until('both are scraped a few times', async () => {
        const answer = await query('min(count_over_time(up[20s])) >= 4 and count(up == 1) == 2').catch(() => null);
        return answer?.result?.length === 1;
    }, 30000); // it looks at its targets for the first time after 5 s
    const stream = await openStream(`${s.gw[0].url}/sse`);
    await until('a delivery is seen', async () => (await query('sum(rate(sse_deliveries_total[10s])) > 0')).result.length === 1);
    for (const { title, expr } of expressions.filter(({ title }) => title !== 'Started')) {
        const data = await query(expr);
        assert.ok(data?.result?.length > 0, `${title}: ${expr} has no result`);
    }
    const { data } = await api('rules');
    const rules = data.groups.flatMap(group => group.rules);
    assert.deepEqual(rules.map(rule => rule.name).sort(), alerts.map(alert => alert.name).sort());
    assert.deepEqual(rules.filter(rule => rule.health !== 'ok' || rule.state === 'firing').map(rule => `${rule.name}: ${rule.lastError}`), []);
    await stream.close();
});

test('the units of measure are the basic ones', async () => {
    for (const program of PROGRAMS)
        for (const [name, { type }] of Object.entries(families(texts[program]))) {
            assert.doesNotMatch(name, /milli|micro|_ms\b|_us\b|_kb\b/, name);
            assert.equal(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`);
            assert.ok(type !== 'histogram' || name.endsWith('_seconds'), name);
        }
    assert.equal((await request(`${s.gw[0].adminUrl}/metrics`)).headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
});
