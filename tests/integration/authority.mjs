// Certificates for tests: an authority of its own that vouches for servers and clients. All of it in one folder, made by openssl.
//
//     const ca = new Authority(s.folder);                     // ca.file: its certificate
//     const { cert, key } = ca.issue('redis', { names: ['DNS:localhost', 'IP:127.0.0.1'] });
//     ca.expired('old', …)                                    // a promise: one that has just run out
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';
import { until } from './wait.mjs';

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
const openssl = (...args) => execFileSync('openssl', args, { stdio: 'pipe' });

export class Authority {
    constructor(folder, name = 'authority') {
        Object.assign(this, { folder, name, file: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) });
        openssl('req', '-x509', ...KEY, '-days', '30', '-subj', `/CN=${name}`, '-keyout', this.key, '-out', this.file);
    }

    // Overwrites what has the same `name`.
    issue(name, { names = ['DNS:localhost'], days = 30 } = {}) {
        const [cert, key, csr, extensions] = ['pem', 'key', 'csr', 'ext'].map(ending => join(this.folder, `${name}.${ending}`));
        writeFileSync(extensions, `subjectAltName=${names.join(',')}\n`);
        openssl('req', ...KEY, '-subj', `/CN=${name}`, '-keyout', key, '-out', csr);
        openssl('x509', '-req', '-in', csr, '-CA', this.file, '-CAkey', this.key, '-CAcreateserial', '-days', String(days), '-extfile', extensions, '-out', cert);
        return { cert, key };
    }

    async expired(name, options = {}) {
        const made = this.issue(name, { ...options, days: 0 });
        const end = Date.parse(new X509Certificate(readFileSync(made.cert)).validTo);
        await until('the certificate has run out', () => Date.now() > end + 1000);
        return made;
    }
}
