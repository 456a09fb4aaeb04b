// Makes jwt.json, the golden tokens of test_jwt.c, with the npm package jose: another hand than the one that checks them. The keys are thrown away.
//
//     node tests/unit/jwt.mjs > tests/unit/jwt.json
import * as jose from 'jose';
import { execFileSync } from 'node:child_process';
import { createHmac, createSign, generateKeyPairSync, randomBytes } from 'node:crypto';

const NOW = 1_800_000_000;
const CLAIMS = { sub: 'user 42', iss: 'https://id.example', aud: ['other', 'sse'], exp: NOW + 600, nbf: NOW - 5,
    sse: { subscribe: ['news', 'user/42/*'], publish: ['orders'] } };

const b64 = value => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const hmac = (head, body, secret, hash = 'sha256') => {
    const text = `${b64(head)}.${b64(body)}`;
    return `${text}.${createHmac(hash, secret).update(text).digest('base64url')}`;
};

const pairs = {};
for (const [name, alg, options] of [['rsa', 'RS256'], ['rsa2', 'RS256'], ['p256', 'ES256'], ['p384', 'ES384'], ['p521', 'ES512']]) {
    const pair = await jose.generateKeyPair(alg, { extractable: true, ...options });
    pairs[name] = { ...pair, pem: await jose.exportSPKI(pair.publicKey), jwk: await jose.exportJWK(pair.publicKey),
        pkcs8: await jose.exportPKCS8(pair.privateKey) };
}
const { publicKey: ed } = await jose.generateKeyPair('Ed25519', { extractable: true });
const secret = randomBytes(64).toString('hex'), short = randomBytes(16).toString('hex'); // 128 and 32 bytes as they stand
const oct = { kty: 'oct', k: b64(secret), kid: 'shared' };

const set = (...keys) => JSON.stringify({ keys });
const keys = {
    secret: `${secret}\n`, crlf: `${secret}\r\n`, short,
    ...Object.fromEntries(['rsa', 'p256', 'p384', 'p521'].map(name => [name, pairs[name].pem])),
    certificate: execFileSync('sh', ['-c', 'cat | openssl req -x509 -key /dev/stdin -subj /CN=tokens -days 36500'], // Node's own stdin is a socket
        { input: pairs.p256.pkcs8, stdio: ['pipe', 'pipe', 'ignore'] }).toString(),
    jwk: JSON.stringify(pairs.p256.jwk),
    set: set({ ...pairs.rsa.jwk, kid: 'r1', use: 'sig', alg: 'RS256' }, { ...pairs.rsa2.jwk, kid: 'r2' }, { ...pairs.p256.jwk, kid: 'e1' }, oct,
        { ...(await jose.exportJWK(ed)), kid: 'ed' }, { ...pairs.p384.jwk, kid: 'enc', use: 'enc' }),
    half: set({ ...pairs.rsa.jwk, kid: 'r1' }, pairs.rsa2.jwk),
};

const sign = (claims, alg, key, head = {}) => new jose.SignJWT(claims).setProtectedHeader({ alg, ...head })
    .sign(typeof key === 'string' ? new TextEncoder().encode(key) : key.privateKey);
const rows = [];
const row = (fact, key, token, more = {}) => rows.push({ fact, key, token, ...more });
const without = (...names) => Object.fromEntries(Object.entries(CLAIMS).filter(([name]) => !names.includes(name)));

// every algorithm
for (const alg of ['HS256', 'HS384', 'HS512'])
    row(`${alg} with a secret`, 'secret', await sign(CLAIMS, alg, secret));
row('the CRLF of a secret file is not part of it', 'crlf', await sign(CLAIMS, 'HS256', secret));
for (const alg of ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']) {
    const key = await jose.importPKCS8(pairs.rsa.pkcs8, alg);
    row(`${alg} with a PEM key`, 'rsa', await sign(CLAIMS, alg, { privateKey: key }));
}
for (const [alg, name] of [['ES256', 'p256'], ['ES384', 'p384'], ['ES512', 'p521']])
    row(`${alg} with a PEM key`, name, await sign(CLAIMS, alg, pairs[name]));
row('a certificate', 'certificate', await sign(CLAIMS, 'ES256', pairs.p256));
row('a single JWK', 'jwk', await sign(CLAIMS, 'ES256', pairs.p256));

// kid
const NO_KEY = 'no key matches the algorithm and key id of the token';
const BAD = 'the signature of the token is wrong';
row('kid picks the first of two RSA keys', 'set', await sign(CLAIMS, 'RS256', pairs.rsa, { kid: 'r1' }));
row('kid picks the second', 'set', await sign(CLAIMS, 'RS256', pairs.rsa2, { kid: 'r2' }));
row('kid picks the EC key', 'set', await sign(CLAIMS, 'ES256', pairs.p256, { kid: 'e1' }));
row('kid picks the secret', 'set', await sign(CLAIMS, 'HS256', secret, { kid: 'shared' }));
row('the kid of another key is a wrong signature', 'set', await sign(CLAIMS, 'RS256', pairs.rsa, { kid: 'r2' }), { want: BAD });
row('an unknown kid', 'set', await sign(CLAIMS, 'RS256', pairs.rsa, { kid: 'r9' }), { want: NO_KEY });
row('the kid of a key of another type', 'set', await sign(CLAIMS, 'RS256', pairs.rsa, { kid: 'e1' }), { want: NO_KEY });
row('without kid the only key of its algorithm', 'set', await sign(CLAIMS, 'ES256', pairs.p256));
row('without kid and two that fit', 'half', await sign(CLAIMS, 'RS256', pairs.rsa), { want: NO_KEY });
row('an unknown kid goes to the only key without one', 'half', await sign(CLAIMS, 'RS256', pairs.rsa2, { kid: 'new' }));
row('any kid will do for a key that has none', 'p256', await sign(CLAIMS, 'ES256', pairs.p256, { kid: 'whatever' }));
row('a key for encryption checks nothing', 'set', await sign(CLAIMS, 'ES384', pairs.p384, { kid: 'enc' }), { want: NO_KEY });
const rs384 = await jose.importPKCS8(pairs.rsa.pkcs8, 'RS384');
row('the alg of a JWK binds', 'set', await sign(CLAIMS, 'RS384', { privateKey: rs384 }, { kid: 'r1' }), { want: NO_KEY });

// algorithms that are mixed up
row('alg none', 'secret', `${b64({ alg: 'none' })}.${b64(CLAIMS)}.${b64('x')}`, { want: NO_KEY });
row('alg none without a signature', 'secret', `${b64({ alg: 'none' })}.${b64(CLAIMS)}.`, { want: 'the token is malformed' });
row('alg NONE', 'rsa', `${b64({ alg: 'NONE' })}.${b64(CLAIMS)}.${b64('x')}`, { want: 'the token is malformed' });
row('HS256 signed with the PEM text of an RSA key', 'rsa', hmac({ alg: 'HS256' }, CLAIMS, pairs.rsa.pem), { want: NO_KEY });
row('HS256 signed with the PEM text of an EC key', 'p256', hmac({ alg: 'HS256' }, CLAIMS, pairs.p256.pem), { want: NO_KEY });
row('HS256 under the kid of an RSA key', 'set', hmac({ alg: 'HS256', kid: 'r1' }, CLAIMS, pairs.rsa.pem), { want: NO_KEY });
row('RS256 where there is only a secret', 'secret', await sign(CLAIMS, 'RS256', pairs.rsa), { want: NO_KEY });
row('ES256 under the kid of the secret', 'set', await sign(CLAIMS, 'ES256', pairs.p256, { kid: 'shared' }), { want: NO_KEY });
row('ES384 where there is only P-256', 'p256', await sign(CLAIMS, 'ES384', pairs.p384), { want: NO_KEY });
const signed = createSign('sha384').update(`${b64({ alg: 'ES384' })}.${b64(CLAIMS)}`).sign({ key: pairs.p256.pkcs8, dsaEncoding: 'ieee-p1363' });
row('ES384 signed with P-256', 'p256', `${b64({ alg: 'ES384' })}.${b64(CLAIMS)}.${signed.toString('base64url')}`, { want: NO_KEY });
row('HS512 with a secret too short for it', 'short', hmac({ alg: 'HS512' }, CLAIMS, short, 'sha512'), { want: NO_KEY });
row('HS256 with the same', 'short', hmac({ alg: 'HS256' }, CLAIMS, short));
row('hs256 in small letters', 'secret', hmac({ alg: 'hs256' }, CLAIMS, secret), { want: 'the token is malformed' });
row('a JWE', 'rsa', await new jose.CompactEncrypt(Buffer.from(JSON.stringify(CLAIMS))).setProtectedHeader({ alg: 'RSA-OAEP', enc: 'A128CBC-HS256' })
    .encrypt(await jose.importSPKI(pairs.rsa.pem, 'RSA-OAEP')), { want: 'the token is malformed' });
row('a key in the head is not looked at', 'rsa', await new jose.SignJWT(CLAIMS).setProtectedHeader({ alg: 'RS256', jwk: pairs.rsa2.jwk })
    .sign(pairs.rsa2.privateKey), { want: BAD });
row('crit', 'secret', hmac({ alg: 'HS256', crit: ['b64'], b64: true }, CLAIMS, secret), { want: 'the token requires an extension that is not supported' });

// times
row('exp passed within the leeway', 'secret', await sign({ ...CLAIMS, exp: NOW - 9 }, 'HS256', secret), { expires: NOW - 9 });
row('exp passed', 'secret', await sign({ ...CLAIMS, exp: NOW - 10 }, 'HS256', secret), { want: 'the token has expired' });
row('a fractional exp counts from its second', 'secret', await sign({ ...CLAIMS, exp: NOW + 1.9 }, 'HS256', secret), { expires: NOW + 1 });
row('exp 0', 'secret', await sign({ ...CLAIMS, exp: 0 }, 'HS256', secret), { want: 'the token has expired' });
row('exp far below zero', 'secret', hmac({ alg: 'HS256' }, '{"exp":-1e300}', secret), { want: 'the token has expired' });
row('exp beyond all numbers', 'secret', hmac({ alg: 'HS256' }, '{"exp":1e999}', secret), { want: 'the claims of the token are not a JSON object' });
row('exp as text', 'secret', hmac({ alg: 'HS256' }, { exp: `${NOW + 60}` }, secret), { want: 'the exp or nbf of the token is not a number' });
row('exp null', 'secret', hmac({ alg: 'HS256' }, { exp: null }, secret), { want: 'the exp or nbf of the token is not a number' });
row('no exp at all', 'secret', await sign(without('exp'), 'HS256', secret), { expires: 0 });
row('nbf ahead within the leeway', 'secret', await sign({ ...CLAIMS, nbf: NOW + 10 }, 'HS256', secret));
row('nbf ahead', 'secret', await sign({ ...CLAIMS, nbf: NOW + 11 }, 'HS256', secret), { want: 'the token is not valid yet' });

// parties
const ISSUER = 'the token is not from the trusted issuer', AUDIENCE = 'the token is for another audience';
row('the issuer asked for', 'secret', await sign(CLAIMS, 'HS256', secret), { issuer: 'https://id.example' });
row('another issuer', 'secret', await sign(CLAIMS, 'HS256', secret), { issuer: 'https://id.example/', want: ISSUER });
row('no issuer where one is asked for', 'secret', await sign(without('iss'), 'HS256', secret), { issuer: 'https://id.example', want: ISSUER });
row('the audience in a list', 'secret', await sign(CLAIMS, 'HS256', secret), { audience: 'sse' });
row('the audience alone', 'secret', await sign({ ...CLAIMS, aud: 'sse' }, 'HS256', secret), { audience: 'sse' });
row('another audience', 'secret', await sign({ ...CLAIMS, aud: 'shop' }, 'HS256', secret), { audience: 'sse', want: AUDIENCE });
row('an audience that begins alike', 'secret', await sign({ ...CLAIMS, aud: ['sse2', 'ss'] }, 'HS256', secret), { audience: 'sse', want: AUDIENCE });
row('no audience where one is asked for', 'secret', await sign(without('aud'), 'HS256', secret), { audience: 'sse', want: AUDIENCE });
row('sub as a number', 'secret', hmac({ alg: 'HS256' }, { sub: 42 }, secret), { want: 'the sub of the token is not a string' });

// grants
const GRANTS = 'the sse claim of the token must hold lists of at most 100 channel patterns';
const many = count => Array.from({ length: count }, (_x, i) => `c${i}`);
row('no sse claim grants nothing', 'secret', hmac({ alg: 'HS256' }, { exp: NOW + 600 }, secret), { subscribe: 0, publish: 0 });
row('a hundred patterns', 'secret', hmac({ alg: 'HS256' }, { exp: NOW + 600, sse: { publish: many(100) } }, secret), { subscribe: 0, publish: 100 });
row('a hundred and one', 'secret', hmac({ alg: 'HS256' }, { sse: { publish: many(101) } }, secret), { want: GRANTS });
row('a pattern of 201 bytes', 'secret', hmac({ alg: 'HS256' }, { sse: { subscribe: ['x'.repeat(201)] } }, secret), { want: GRANTS });
row('an empty pattern', 'secret', hmac({ alg: 'HS256' }, { sse: { subscribe: [''] } }, secret), { want: GRANTS });
row('a pattern that is a number', 'secret', hmac({ alg: 'HS256' }, { sse: { subscribe: [1] } }, secret), { want: GRANTS });
row('a pattern in place of a list', 'secret', hmac({ alg: 'HS256' }, { sse: { subscribe: '*' } }, secret), { want: GRANTS });
row('an sse claim that is a list', 'secret', hmac({ alg: 'HS256' }, { sse: ['*'] }, secret), { want: 'the sse claim of the token is not an object' });

// broken
const good = await sign(CLAIMS, 'HS256', secret), [head, body, tag] = good.split('.');
const MALFORMED = 'the token is malformed', CLAIMS_BAD = 'the claims of the token are not a JSON object';
row('other claims under the signature', 'secret', `${head}.${b64({ ...CLAIMS, sub: 'admin' })}.${tag}`, { want: BAD });
row('another head over the signature', 'secret', `${b64({ alg: 'HS256', typ: 'JWT' })}.${body}.${tag}`, { want: BAD });
row('a signature cut short', 'secret', good.slice(0, -4), { want: BAD });
row('a signature with its first character changed', 'secret', `${head}.${body}.${tag[0] === 'A' ? 'B' : 'A'}${tag.slice(1)}`, { want: BAD });
row('an RSA signature cut short', 'rsa', (await sign(CLAIMS, 'RS256', pairs.rsa)).slice(0, -40), { want: BAD });
row('an RSA signature of another key', 'rsa', await sign(CLAIMS, 'RS256', pairs.rsa2), { want: BAD });
row('an EC signature of zeros', 'p256', `${b64({ alg: 'ES256' })}.${b64(CLAIMS)}.${Buffer.alloc(64).toString('base64url')}`, { want: BAD });
row('an EC signature in DER', 'p256', `${b64({ alg: 'ES256' })}.${b64(CLAIMS)}.${createSign('sha256')
    .update(`${b64({ alg: 'ES256' })}.${b64(CLAIMS)}`).sign(pairs.p256.pkcs8).toString('base64url')}`, { want: BAD });
row('a secret of somebody else', 'secret', hmac({ alg: 'HS256' }, CLAIMS, `${secret}x`), { want: BAD });
for (const [fact, token] of [['two parts', `${head}.${body}`], ['four parts', `${good}.x`], ['nothing', ''], ['dots', '..'], ['an empty head', `.${body}.${tag}`],
    ['an empty body', `${head}..${tag}`], ['no base64url', `${head}.${body}.${'+'.repeat(43)}`], ['padding', `${good}=`], ['a space in it', `${head}.${body}. ${tag}`],
    ['a length that base64 cannot have', `${head}x.${body}.${tag}`], ['a head that is no JSON', `${b64('{"alg":')}.${body}.${tag}`],
    ['a head that is a list', `${b64('["HS256"]')}.${body}.${tag}`], ['a head without alg', `${b64('{}')}.${body}.${tag}`],
    ['an alg that is a number', `${b64('{"alg":256}')}.${body}.${tag}`], ['a kid that is a number', `${b64({ alg: 'HS256', kid: 7 })}.${body}.${tag}`],
    ['a head three thousand lists deep', `${b64('['.repeat(3000))}.${body}.${tag}`]])
    row(fact, 'secret', token, { want: MALFORMED });
for (const [fact, text] of [['claims that are no JSON', '{"exp":'], ['claims that are a list', '[]'], ['claims that name exp twice', '{"exp":1,"exp":9999999999}'],
    ['claims three thousand lists deep', '['.repeat(3000)], ['claims with a NUL in a name', '{"a\\u0000b":1}'], ['claims that are no UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])]]) {
    const payload = typeof text === 'string' ? b64(text) : text.toString('base64url');
    row(fact, 'secret', `${b64({ alg: 'HS256' })}.${payload}.${createHmac('sha256', secret).update(`${b64({ alg: 'HS256' })}.${payload}`).digest('base64url')}`,
        { want: CLAIMS_BAD });
}

// files of keys that must be refused
const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ type: 'spki', format: 'pem' });
const refused = [
    { fact: 'an empty file', text: '', want: 'holds neither PEM nor JSON, and a secret must have at least 32 bytes' },
    { fact: 'a secret of 31 bytes', text: `${'s'.repeat(31)}\n`, want: 'holds neither PEM nor JSON, and a secret must have at least 32 bytes' },
    { fact: 'a private PEM key', text: pairs.p256.pkcs8, want: 'holds a private key; give the public one, or a certificate' },
    { fact: 'a private key behind a public one', text: pairs.p256.pem + pairs.p256.pkcs8, want: 'holds a private key; give the public one, or a certificate' },
    { fact: 'a private JWK', text: JSON.stringify(await jose.exportJWK(pairs.p256.privateKey)), want: 'holds a private key; give only the public members' },
    { fact: 'a broken PEM file', text: '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n', want: 'holds no PEM public key or certificate that can be read' },
    { fact: 'an Ed25519 PEM key', text: await jose.exportSPKI(ed), want: 'the key is neither RSA nor EC' },
    { fact: 'broken JSON', text: '{"keys":[', want: 'is not valid JSON' },
    { fact: 'a set of no list', text: '{"keys":{}}', want: 'its "keys" is not a list' },
    { fact: 'an empty set', text: '{"keys":[]}', want: 'holds no key that can verify a token' },
    { fact: 'a set of keys for other things only', text: set({ ...pairs.rsa.jwk, use: 'enc' }), want: 'holds no key that can verify a token' },
    { fact: 'a set that holds a number', text: '{"keys":[1]}', want: 'it contains a key that is not a JSON object' },
    { fact: 'an EC key that is not on its curve', text: JSON.stringify({ ...pairs.p256.jwk, x: pairs.p256.jwk.y }), want: 'a key in it can\'t be used' },
    { fact: 'an RSA key of 1024 bits', text: weak, want: 'a key is too short: RSA needs 2048 bits, HMAC 32 bytes (HS384 48, HS512 64)' },
    { fact: 'an oct key of 31 bytes', text: JSON.stringify({ kty: 'oct', k: b64('k'.repeat(31)) }),
        want: 'a key is too short: RSA needs 2048 bits, HMAC 32 bytes (HS384 48, HS512 64)' },
    { fact: 'a hundred and one keys', text: set(...Array.from({ length: 101 }, (_x, i) => ({ ...oct, kid: `k${i}` }))), want: 'there are more than 100 keys' },
];
const lines = list => `[\n${list.map(item => ` ${JSON.stringify(item)}`).join(',\n')}\n]`;
process.stdout.write(`{"now": ${NOW},\n"keys": ${JSON.stringify(keys, null, 1)},\n"tokens": ${lines(rows)},\n"refused": ${lines(refused)}}\n`);
