// A name server of a test's own, and the programs that ask it: `asks` is put before their command line, and gives them an /etc/resolv.conf (in a mount
// namespace) that names it. One name has one address for each replica, as compose and headless services do it.
import dgram from 'node:dgram';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Proc } from '../integration/process.mjs';
import dns from 'node:dns/promises';

export class Names extends Proc {
    constructor(folder, address) {
        const hosts = join(folder, 'names');
        super('dnsmasq', ['dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null', '--pid-file=', '--user=root', '--group=root', '--log-facility=-',
            '--no-resolv', '--no-hosts', '--local=/#/', '--local-ttl=0', '--bind-interfaces', `--listen-address=${address}`, `--addn-hosts=${hosts}`]);
        Object.assign(this, { hosts, folder, address, table: {} });
        writeFileSync(hosts, '');
        this.resolver = new dns.Resolver({ timeout: 200, tries: 1 });
        this.resolver.setServers([address]);
        const conf = join(folder, 'resolv.conf');
        writeFileSync(conf, `nameserver ${address}\n`);
        this.asks = ['unshare', '--mount', 'sh', '-ec', 'mount --bind "$0" /etc/resolv.conf; exec "$@"', conf];
    }

    // From now on `name` has these addresses; returns when it answers so.
    async set(name, addresses) {
        this.table[name] = addresses;
        writeFileSync(this.hosts, Object.entries(this.table).flatMap(([n, all]) => all.map(a => `${a} ${n}\n`)).join(''));
        if (!this.running)
            this.spawn();
        else
            this.signal('SIGHUP');
        const want = [...addresses].sort().join();
        await this.wait(`${name} is ${want}`, async () => (await this.resolver.resolve4(name).catch(() => [])).sort().join() === want);
    }

    // Another name server, address:port, which gives the same answers this much later.
    async slow(ms) {
        const front = dgram.createSocket('udp4').unref();
        front.on('message', (question, client) => {
            const back = dgram.createSocket('udp4').unref();
            back.on('message', answer => {
                back.close();
                setTimeout(() => front.send(answer, client.port, client.address), ms);
            });
            back.send(question, 53, this.address);
        });
        await new Promise(done => front.bind(0, this.address, done));
        return `${this.address}:${front.address().port}`;
    }
}
