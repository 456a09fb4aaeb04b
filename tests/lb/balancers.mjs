// The three load balancers, each run with the file of deploy/lb as it is: only its variables are set. (`edit` is for what the file describes as a change.)
import { execFile, execFileSync } from 'node:child_process';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Proc } from '../integration/process.mjs';
import { ROOT } from '../integration/stack.mjs';

const SHIPPED = process.env.LB_FOLDER ?? join(ROOT, 'deploy/lb'); // another one: to see the tests fail

function take(name, folder, edit) {
    const to = join(folder, name);
    writeFileSync(to, edit(readFileSync(join(SHIPPED, name), 'utf8')));
    return to;
}

// reload() reads the file anew. stopSignal: ends it when its streams have ended (null: it has no such signal). looksAgain: it follows the name server by
// itself, else it must be reloaded.
function balancer(name, names, argv, env, more) {
    const proc = new Proc(name, [...names.asks, ...argv], env);
    proc.reload = () => proc.signal(more.reloadSignal);
    return Object.assign(proc, { looksAgain: true }, more);
}

export const balancers = {
    haproxy(names, env, folder, edit) {
        const file = take('haproxy.cfg', folder, edit);
        return balancer('haproxy', names, ['haproxy', '-W', '-db', '-f', file], env, { reloadSignal: 'SIGUSR2', stopSignal: 'SIGUSR1' });
    },

    nginx(names, env, folder, edit) {
        take('nginx.conf', folder, edit);
        copyFileSync(join(SHIPPED, 'nginx.env'), join(folder, 'nginx.env'));
        // as deploy/lb/README.md has it
        execFileSync('bash', ['-c', `(set -a; . ./nginx.env; envsubst "$(compgen -A export -P '$' LB_)" <nginx.conf >ready.conf)`],
            { cwd: folder, env: { PATH: process.env.PATH, ...env } });
        return balancer('nginx', names, ['nginx', '-c', join(folder, 'ready.conf')], env, { reloadSignal: 'SIGHUP', stopSignal: 'SIGQUIT', looksAgain: false });
    },

    caddy(names, env, folder, edit) {
        const home = { ...env, HOME: folder };
        const file = ['--adapter', 'caddyfile', '--config', take('Caddyfile', folder, edit)];
        const argv = ['reload', '--force', ...file, '--address', `127.0.0.1:${env.LB_ADMIN_PORT}`];
        const reload = () => new Promise((done, fail) => execFile('caddy', argv, { env: { PATH: process.env.PATH, ...home }, timeout: 10000 },
            (error, stdout, stderr) => (error ? fail(new Error(stderr)) : done())));
        return balancer('caddy', names, ['caddy', 'run', ...file], home, { reload, stopSignal: null });
    },
};
