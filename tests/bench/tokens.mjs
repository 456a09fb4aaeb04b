// Tokens for a gateway that asks for them: its key file, and a header file for `bench read`, a line a token. No token is on any command line.
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

export function tokens(folder, { alg, count }) {
    const [keys, headers] = [join(folder, 'key'), join(folder, 'headers')];
    const key = KEYS[alg](), iat = Math.floor(Date.now() / 1000);
    const token = number => {
        const data = `${text({ alg, typ: 'JWT' })}.${text({ sub: `user-${number}`, iss: 'https://id.example', aud: 'sse', iat, exp: iat + 86400,
            sse: { subscribe: ['bench-*', `user/${number}/*`] } })}`;
        return `${data}.${key.sign(Buffer.from(data))}`;
    };
    writeFileSync(keys, key.file, { mode: 0o600 });
    writeFileSync(headers, Array.from({ length: count }, (_, i) => `authorization: Bearer ${token(i)}\n`).join(''), { mode: 0o600 });
    return { keys, headers };
}
