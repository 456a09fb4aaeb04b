// deploy/local as a newcomer uses it: started, its printed lines run as they stand, ended, and nothing left.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { BUILD_DIR, ROOT, binary, tempFolder, until } from './stack.mjs';
import { Proc } from './process.mjs';
import { defaultPorts } from './default_ports.mjs';

const TIMEOUT = { timeout: 90000 };
const cache = tempFolder();
binary('sse-gateway');
await defaultPorts();

function local(env = {}) {
    const proc = new Proc('deploy/local', [join(ROOT, 'deploy/local')], { BUILD_DIR, XDG_CACHE_HOME: cache, ...env });
    proc.spawn();
    return proc;
}

// The pids of a process's children, read before it ends.
function children(pid) {
    return readdirSync('/proc').filter(name => /^\d+$/.test(name)).filter(name => {
        try {
            return readFileSync(`/proc/${name}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')[1] === String(pid);
        } catch {
            return false;
        }
    });
}

// Runs a printed line as a person would and returns what it said, until it ends or has said `enough`.
function shell(line, enough) {
    const child = spawn('bash', ['-c', `exec ${line}`], { stdio: ['ignore', 'pipe', 'ignore'] });
    let out = '', over = false;
    child.stdout.setEncoding('utf8').on('data', text => (out += text));
    child.on('close', () => (over = true));
    return until(`${line} says ${enough ?? 'all'}`, () => over || enough?.test(out), 20000, () => `\n${out}`).then(() => out).finally(() => child.kill('SIGKILL'));
}

async function ended(proc, signal, folder) {
    const pids = children(proc.pid);
    assert.equal(pids.length, 4, `redis, publisher and two gateways: ${pids}`);
    const { code } = await proc.kill(signal, 20000);
    assert.equal(code, 0, proc.tail());
    for (const pid of pids)
        assert.ok(!existsSync(`/proc/${pid}`), `process ${pid} is still there`);
    assert.ok(!existsSync(folder), `${folder} is still there`);
}

const lineWith = (proc, ...words) => {
    const line = proc.lines.find(text => words.every(word => text.includes(word)));
    assert.ok(line, `no line with ${words}:\n${proc.log}`);
    return line.trim();
};

test('every line it prints works as printed, and SIGTERM leaves nothing', TIMEOUT, async () => {
    const proc = local();
    await proc.waitLog(/^Ready/, 40000);
    const folder = /-s (\S+)\/redis\.sock/.exec(proc.log)[1];
    const event = '\nid: [0-9a-f-]{36}\nretry: 6000\n\n', data = 'event: message\ndata: \\{"test":"hi"\\}\n';
    const letters = new RegExp(`^:\nevent: message\ndata: \\{"msg":"a"\\}${event}(event: message\ndata: \\{"msg":"[a-z]"\\}${event})+$`);
    const posted = new RegExp(`^:\n${data}id: [0-9a-f-]{36}\nretry: 6000\n\n${data}\n${data}id: [0-9a-f-]{36}\nretry: 6000\n\n$`);
    const [first, second, posts] = await Promise.all([
        shell(lineWith(proc, 'curl -N ', '/sse'), letters), shell(lineWith(proc, 'curl -Nk --http2', '/sse'), letters), (async () => {
            const watching = shell(lineWith(proc, 'curl -N ', '/post'), posted);
            const socket = join(folder, 'redis.sock');
            await until('the watcher is subscribed', async () => /\n1\n/.test(await shell(`redis-cli -s ${socket} PUBSUB NUMSUB sse:post`)));
            assert.equal(await shell(lineWith(proc, 'curl -H', '/post')), 'broadcasted');
            assert.match(await shell(lineWith(proc, 'redis-cli', 'PUBLISH')), /^1\n$/);
            assert.match(await shell(lineWith(proc, 'redis-cli', 'FCALL')), /\S/);
            return watching;
        })()]);
    for (const text of [first, second])
        assert.match(text, letters);
    assert.match(posts, posted);
    assert.equal(first.split('\n\n')[1], second.split('\n\n')[1], 'the same letter on both');
    assert.match(await shell(`curl -s ${/http:\/\/localhost:\d+\/(?=\s|$)/.exec(lineWith(proc, 'Page'))[0]}`), /<!doctype html>/i);
    await ended(proc, 'SIGTERM', folder);
});

test('a busy port is reported and another one taken; Ctrl-C ends it too; the certificate is kept', TIMEOUT, async () => {
    const servers = await Promise.all([4043, 4143].map(port => new Promise(resolve => {
        const server = createServer(socket => socket.destroy());
        server.on('error', () => resolve(null)); // busy already: just as good
        server.listen(port, '127.0.0.1', () => resolve(server));
    })));
    const proc = local();
    await proc.waitLog(/^Ready/, 40000);
    assert.ok(proc.logContains(/port 4043 is busy: gateway 1 listens on \d+/), proc.log);
    assert.ok(proc.logContains(/port 4143 is busy/), proc.log);
    assert.ok(!proc.logContains(/making a self-signed certificate/), 'made once');
    assert.match(await shell(lineWith(proc, 'curl -N ', '/sse'), /"msg":"a"/), /"msg":"a"/);
    await ended(proc, 'SIGINT', /-s (\S+)\/redis\.sock/.exec(proc.log)[1]);
    servers.forEach(server => server?.close());
});

test('when one of its processes dies it says which, ends the rest and fails', TIMEOUT, async () => {
    const proc = local();
    await proc.waitLog(/^Ready/, 40000);
    const pids = children(proc.pid);
    const gateway = pids.find(pid => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('sse-gateway'));
    proc.expected = true;
    process.kill(Number(gateway), 'SIGKILL');
    await until('it ends', () => !proc.running, 20000);
    assert.notEqual((await proc.exited).code, 0);
    assert.ok(proc.logContains(/gateway [12] ended by itself/), proc.log);
    for (const pid of pids)
        assert.ok(!existsSync(`/proc/${pid}`), `process ${pid} is still there`);
});

test('a bad setting ends it with that setting\'s sentence', TIMEOUT, async () => {
    const proc = local({ KEEPALIVE_MS: 'soon' });
    proc.expected = true;
    await until('it ends', () => !proc.running, 40000);
    assert.notEqual((await proc.exited).code, 0);
    assert.ok(proc.logContains(/KEEPALIVE_MS/), proc.log);
});
