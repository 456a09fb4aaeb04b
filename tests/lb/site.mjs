// A whole site for a test: gateways and publishers with an address each but the same ports, as containers have them, their names in a name server, and
// a load balancer in front.
//
//     const site = await Site.start('haproxy');
//     site.url, site.plainUrl        where clients come in, and what sends them there
//     site.gw, site.pub, site.redis  as in stack.mjs; site.spare: a gateway that is not in the name server yet
//     site.names, site.balancer      Proc
//
// Publisher 0 is the one the gateways pass on to, publisher 1 the one the balancer knows.
import { after } from 'node:test';
import { execFileSync } from 'node:child_process';
import http2 from 'node:http2';
import tls from 'node:tls';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Stack, freePort, within } from '../integration/stack.mjs';
import { H2, openStream, request } from '../integration/sse.mjs';
import { balancers } from './balancers.mjs';
import { Names } from './names.mjs';

export const KEEPALIVE_MS = 2000; // above the second in which a close must be noticed, below LB_IDLE_TIMEOUT
const RETRY_MS = 400;

let sites = 0;
const freeNet = () => `127.${64 + (process.pid >> 8) % 64 + 64 * sites++}.${process.pid % 256}`; // this site's alone: two for each test file
const IN_NAMES = 2; // gateways; one more waits to be added
const PORTS = ['gateway', 'gatewayAdmin', 'publisher', 'publisherAdmin', 'https', 'http', 'admin'];

// Its address is its own, not 127.0.0.1.
function placed(server, host) {
    for (const [name, port] of [['url', 'public'], ['adminUrl', 'admin']])
        Object.defineProperty(server, name, { get: () => `http://${host}:${server.ports[port]}` });
    return Object.assign(server, { host });
}

export class Site {
    static async start(kind, { gateways = 3, lb = {}, env = {}, gatewayEnv = {}, edit = text => text, slowNames = 0 } = {}) {
        const site = new Site(kind);
        for (const name of PORTS)
            site.ports[name] = await freePort();
        await site.#servers(gateways, env, gatewayEnv);
        await site.#balancer(slowNames === 0 ? lb : { LB_DNS: await site.names.slow(slowNames), ...lb }, edit);
        return site;
    }

    constructor(kind) {
        Object.assign(this, { kind, net: freeNet(), ports: {}, limit: 10, streams: [] });
    }

    async #servers(gateways, env, more) {
        const { net, ports } = this;
        const places = (first, count, name) => Array.from({ length: count }, (_, i) => `${net}.${first + i}`)
            .map(host => ({ HOST: host, ADMIN_HOST: host, PORT: ports[name], ADMIN_PORT: ports[`${name}Admin`] }));
        const gatewayEnv = places(1, gateways, 'gateway').map(place => ({ ...place, ...more, PUBLISHER_URL: `http://${net}.101:${ports.publisher}` }));
        const publisherEnv = places(101, 2, 'publisher');
        const s = this.stack = await Stack.start({ gateways, publishers: 2, ready: false, gatewayEnv, publisherEnv,
            env: { TRUSTED_PROXIES: '127.0.0.1', DRAIN_SECONDS: 2, KEEPALIVE_MS, FORCE_SSL: 'on', RETRY_MS, MAX_STREAMS_PER_ADDRESS: this.limit, ...env } });
        Object.assign(this, { gw: s.gw.slice(0, IN_NAMES), spare: s.gw.slice(IN_NAMES), pub: s.pub, redis: s.redis, folder: s.folder });
        s.gw.forEach((gw, i) => placed(gw, gatewayEnv[i].HOST));
        s.pub.forEach((pub, i) => placed(pub, publisherEnv[i].HOST));
        await Promise.all([...s.gw, ...s.pub].map(server => server.waitReady()));
        this.names = new Names(s.folder, `${net}.53`);
        after(() => this.names.kill('SIGKILL'));
        await this.names.set('publisher', [s.pub[1].host]);
        await this.names.set('gateway', this.gw.map(gw => gw.host));
    }

    async #balancer(lb, edit) {
        const { ports } = this;
        const folder = join(this.folder, 'tls');
        mkdirSync(folder);
        this.tls = { crt: join(folder, 'tls.crt'), key: join(folder, 'tls.key') };
        this.certify();
        const env = { LB_HOST: '127.0.0.1', LB_HTTPS_PORT: ports.https, LB_HTTP_PORT: ports.http, LB_PUBLIC_PORT: ports.https,
            LB_CERT: this.tls.crt, LB_KEY: this.tls.key,
            LB_GATEWAY_PORT: ports.gateway, LB_GATEWAY_ADMIN_PORT: ports.gatewayAdmin, LB_PUBLISHER_PORT: ports.publisher,
            LB_TEMP: this.folder, LB_ACCESS_LOG: join(this.folder, 'access.log'),
            LB_PUBLISHER_ADMIN_PORT: ports.publisherAdmin, LB_ADMIN_PORT: ports.admin, LB_IDLE_TIMEOUT: '3s', LB_GRACE: '2s', ...lb };
        this.balancer = balancers[this.kind](this.names, env, this.folder, edit);
        after(() => this.balancer.kill('SIGTERM'));
        this.balancer.spawn();
        try {
            await this.#serving();
        } catch (error) {
            await this.balancer.kill('SIGTERM'); // or its workers outlive it: after() is for tests that began
            throw error;
        }
    }

    async #serving() {
        await this.balancer.wait('all gateways are in rotation', async () => {
            (await openStream(`${this.url}/events`).catch(() => null))?.close();
            return (await Promise.all(this.gw.map(gw => gw.metric('sse_streams_opened_total')))).every(n => n > 0);
        });
        await this.balancer.wait('publishers are reached', async () => (await this.post('/channels/warm', 'up').catch(() => ({}))).status === 200);
    }

    // A client's HTTP/2 connection, from this address.
    async h2(from) {
        const session = http2.connect(this.url, { rejectUnauthorized: false, localAddress: from });
        session.on('error', () => {});
        await within('an HTTP/2 connection', new Promise((done, fail) => session.on('connect', done).on('error', fail)));
        return new H2(session);
    }

    // Ways to open a stream, by protocol: each gives the stream, and cut() ends its connection without a word.
    get ways() {
        return {
            'HTTP/1.1': async (path, options) => {
                const stream = await openStream(`${this.url}${path}`, options);
                return this.#opened(stream, () => stream.readable.socket.destroy());
            },
            'HTTP/2': async (path, { from, ...options } = {}) => {
                const { session } = await this.h2(from);
                const stream = await new H2(session).open(path, options);
                stream.closed.then(() => session.close());
                return this.#opened(stream, () => session.destroy());
            },
        };
    }

    // A POST through the balancer: {status, headers, body}.
    post(path, body, { headers = {}, from } = {}) {
        return request(`${this.url}${path}`, { method: 'POST', body, from, headers: { 'content-type': 'text/plain', ...headers } });
    }

    #opened(stream, cut) {
        this.streams.push(stream);
        return Object.assign(stream, { cut });
    }

    // Closes what a test left open, so that the next one does not fail with it.
    tidy() {
        this.streams.splice(0).forEach(stream => stream.close());
    }

    get url() {
        return `https://127.0.0.1:${this.ports.https}`;
    }

    get plainUrl() {
        return `http://127.0.0.1:${this.ports.http}`;
    }

    // A fresh certificate in the files the balancer has read.
    certify() {
        execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', '/CN=localhost',
            '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', this.tls.key, '-out', this.tls.crt], { stdio: 'pipe' });
    }

    // The serial number of the certificate that a new connection is shown.
    serial() {
        return within('a TLS handshake', new Promise((done, fail) => {
            const socket = tls.connect({ host: '127.0.0.1', port: this.ports.https, rejectUnauthorized: false });
            socket.on('error', fail);
            socket.on('secureConnect', () => {
                done(socket.getPeerCertificate().serialNumber);
                socket.destroy();
            });
        }));
    }
}
