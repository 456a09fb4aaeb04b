// Tokens for a gateway that asks for them. No token is on any command line.
//
//     const tokens = new Tokens(folder, 'ES256');
//     tokens.keys                       the gateway's key file
//     tokens.headers(10000)             a header file for `bench read` of so many tokens that nobody has seen yet, a line each
import { createHmac, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const text = value => Buffer.from(JSON.stringify(value)).toString('base64url');

// The content of a key file, and what signs with it.
const KEYS = {
    HS256: () => {
        const secret = randomBytes(32).toString('base64');
        return { file: secret, sign: data => createHmac('sha256', secret).update(data).digest('base64url') };
    },
    ES256: () => {
        const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
        return { file: publicKey.export({ type: 'spki', format: 'pem' }),
            sign: data => sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url') };
    },
};

export class Tokens {
    #folder;
    #alg;
    #key;
    #made = 0;

    constructor(folder, alg) {
        this.keys = join(folder, 'key');
        [this.#folder, this.#alg, this.#key] = [folder, alg, KEYS[alg]()];
        writeFileSync(this.keys, this.#key.file, { mode: 0o600 });
    }

    #next() {
        const number = ++this.#made, iat = Math.floor(Date.now() / 1000);
        const data = `${text({ alg: this.#alg, typ: 'JWT' })}.${text({ sub: `user-${number}`, iss: 'https://id.example', aud: 'sse', iat, exp: iat + 86400,
            sse: { subscribe: ['bench-*', `user/${number}/*`] } })}`;
        return `${data}.${this.#key.sign(Buffer.from(data))}`;
    }

    headers(count) {
        const file = join(this.#folder, 'headers');
        writeFileSync(file, Array.from({ length: count }, () => `authorization: Bearer ${this.#next()}\n`).join(''), { mode: 0o600 });
        return file;
    }
}
