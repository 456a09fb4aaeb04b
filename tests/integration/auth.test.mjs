// Tokens: who may subscribe and publish where, what those who may not are told (RFC 6750), and what happens when a token ends or its key goes.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import * as jose from 'jose';
import { parse } from 'yaml';
import { ROOT, SCALE, Stack, binary, certificate, quiet, tempFolder, until } from './stack.mjs';
import { H2, openStream, request } from './sse.mjs';
import { Raw } from './raw.mjs';
import { within } from './wait.mjs';

const ORIGIN = 'http://localhost:3000';
const TEXT = { 'content-type': 'text/plain' };
const BARE = 'Bearer realm="sse"';
const folder = tempFolder();
const keyFile = join(folder, 'keys.json');
const policyFile = join(folder, 'policy');

const [first, second, foreign] = await Promise.all([1, 2, 3].map(() => jose.generateKeyPair('ES256', { extractable: true })));
const rsa = await jose.generateKeyPair('RS256', { extractable: true });
const jwk = async (pair, kid) => ({ ...await jose.exportJWK(pair.publicKey), kid });
const writeKeys = async pairs => writeFileSync(keyFile, JSON.stringify({ keys: await Promise.all(Object.entries(pairs).map(([kid, pair]) => jwk(pair, kid))) }));
await writeKeys({ first, rsa });

const inSeconds = seconds => Math.floor(Date.now() / 1000) + seconds;
const CLAIMS = { sub: '42', iss: 'https://id.example', aud: 'sse', sse: { subscribe: ['news', 'user/42/*'], publish: ['news', 'orders', 'post'] } };
const token = (claims = {}, { key = first, kid = 'first', alg = 'ES256' } = {}) =>
    new jose.SignJWT({ exp: inSeconds(600), ...CLAIMS, ...claims }).setProtectedHeader({ alg, kid }).sign(key.privateKey ?? key);
const bearer = async (claims, signer) => ({ authorization: `Bearer ${await token(claims, signer)}` });
const post = (url, headers = {}) => request(url, { method: 'POST', headers: { ...TEXT, ...headers }, body: 'hello' });

const env = { JWT_KEY_FILE: keyFile, JWT_ISSUER: CLAIMS.iss, JWT_AUDIENCE: CLAIMS.aud };
const s = await Stack.start({ gateways: 2, tls: [1], env: { ...env, DEMO: 'on', CORS_ORIGINS: ORIGIN, JWT_COOKIE: 'token', KEEPALIVE_MS: 200 }, gatewayEnv: [{}, { KEEPALIVE_MS: null }] });
const [gw, patient] = s.gw;
const [pub] = s.pub;
const news = `${gw.url}/channels/news`;

// The answer is that error of RFC 6750 and one JSON sentence. Gives the sentence.
function refused(answer, status, error) {
    const sentence = JSON.parse(answer.body ?? answer.text).error;
    assert.equal(answer.status, status, sentence);
    assert.match(answer.headers['content-type'], /^application\/json/);
    assert.equal(answer.headers['www-authenticate'], error === null ? BARE : `${BARE}, error="${error}", error_description="${sentence}"`);
    return sentence;
}

test('without a key everything is open, whatever a request carries', async () => {
    const open = await Stack.start({});
    for (const headers of [{}, { authorization: 'Bearer nonsense' }]) {
        const stream = await openStream(`${open.gw[0].url}/channels/news`, { headers });
        assert.equal(stream.status, 200);
        stream.close();
        assert.equal((await post(`${open.gw[0].url}/channels/news`, headers)).status, 200);
    }
});

test('a POST without a grant is refused by the gateway itself, and the publisher never sees it', async () => {
    const alone = await Stack.start({ publishers: 0, env: { ...env, PUBLISHER_URL: 'http://127.0.0.1:1' } });
    const url = `${alone.gw[0].url}/channels/orders`;
    refused(await post(url), 401, null);
    refused(await post(url, { authorization: 'Bearer nonsense' }), 401, 'invalid_token');
    refused(await post(url, await bearer({ sse: { publish: ['news'] } })), 403, 'insufficient_scope');
    assert.equal((await post(url, await bearer())).status, 502, 'one with a grant is passed on');
});

const DEMO_ROUTES = ['/sse', '/post', '/events', '/exchange_rates/usd_eur'];

test('with a key nothing is written without a token; DEMO=on lets everybody read the demo', async () => {
    for (const path of ['/sse', '/post', '/events', '/exchange_rates/usd_eur', '/channels/letters', '/subscribe?channel=post&channel=counter']) {
        const stream = await openStream(gw.url + path);
        assert.equal(stream.status, 200, path);
        stream.close();
    }
    assert.equal((await request(`${gw.url}/`)).status, 200);
    for (const url of [gw.url, pub.url]) {
        refused(await request(`${url}/post?a=1`, { method: 'POST' }), 401, null);
        assert.equal((await request(`${url}/post?a=1`, { method: 'POST', headers: await bearer() })).status, 303);
        for (const channel of ['post', 'letters', 'counter', 'usd_eur'])
            refused(await post(`${url}/channels/${channel}`), 401, null);
    }
});

test('with a key and no other setting there is no demo: nothing is open, no route, ticker or foreign origin of it is left', async () => {
    const alone = await Stack.start({ env: { ...env, TICKERS: 'letters:50,counter:50,usd_eur:50' } });
    const [{ url }] = alone.gw, [publisher] = alone.pub;
    for (const path of ['/', '/page/x/main.js', ...DEMO_ROUTES])
        assert.equal((await request(url + path)).status, 404, path);
    for (const where of [url, publisher.url])
        assert.equal((await request(`${where}/post?a=1`, { method: 'POST', headers: await bearer() })).status, 404);
    for (const channel of ['letters', 'post', 'counter', 'usd_eur', 'news']) {
        refused(await request(`${url}/channels/${channel}`), 401, null);
        for (const where of [url, publisher.url])
            refused(await post(`${where}/channels/${channel}`), 401, null);
    }
    const stream = await openStream(`${url}/channels/post`, { headers: await bearer({ sse: { subscribe: ['post'] } }) });
    assert.equal(stream.status, 200);
    assert.equal((await post(`${url}/channels/post`, await bearer())).status, 200);
    assert.equal((await stream.next()).data, 'hello');
    stream.close();
    for (const origin of ['http://localhost:3000', 'https://front-end.surge.sh']) {
        const answer = await request(`${url}/channels/news`, { headers: { origin, ...await bearer() }, method: 'HEAD' });
        assert.equal(answer.headers['access-control-allow-origin'], undefined, origin);
        assert.equal((await post(`${url}/channels/news`, { origin, ...await bearer() })).status, 403, origin);
    }
    await publisher.waitMetric('sse_bus_up', 1);
    assert.equal(await publisher.metric('sse_ticks_total'), 0);
    for (const server of [...alone.gw, ...alone.pub])
        assert.ok(!server.logContains(/everything is open/), server.log);
});

test('DEMO=off takes the demo away from an open installation, which says at its start that it is open', async () => {
    const open = await Stack.start({ env: { DEMO: 'off' } });
    for (const path of ['/', ...DEMO_ROUTES])
        assert.equal((await request(open.gw[0].url + path)).status, 404, path);
    assert.equal((await post(`${open.gw[0].url}/channels/post`)).status, 200);
    for (const server of [...open.gw, ...open.pub])
        assert.equal((await server.wait('the warning', () => server.logged({ level: 'warn', setting: 'JWT_KEY_FILE' }))).length, 1);
});

test('with the settings of the compose overlay "tokens" nobody gets in without a token', async () => {
    const parts = ['docker-compose.yml', 'deploy/compose/tokens.yml'].map(file => parse(readFileSync(join(ROOT, file), 'utf8'), { merge: true }).services);
    const elsewhere = ['REDIS_URL_FILE', 'PUBLISHER_URL', 'ADMIN_HOST']; // where things are, which the stack says itself
    const byDefault = value => typeof value === 'string' ? value.replace(/^\$\{\w+:-(.*)\}$/, '$1') : value;
    const settings = service => Object.fromEntries(Object.entries(Object.assign({}, ...parts.map(services => services[service].environment)))
        .filter(([name]) => !elsewhere.includes(name)).map(([name, value]) => [name, name === 'JWT_KEY_FILE' ? keyFile : byDefault(value)]));
    const overlaid = await Stack.start({ gatewayEnv: [settings('gateway')], publisherEnv: [settings('publisher')] });
    for (const path of ['/', ...DEMO_ROUTES, '/subscribe?channel=letters', ...['post', 'letters', 'counter', 'usd_eur', 'news'].map(name => `/channels/${name}`)])
        for (const url of [overlaid.gw[0].url, overlaid.pub[0].url]) {
            assert.ok([401, 404, 405].includes((await request(url + path)).status), path);
            assert.ok([401, 404, 405].includes((await post(url + path)).status), path);
        }
    assert.equal((await post(`${overlaid.pub[0].url}/channels/news`, await bearer())).status, 200);
});

test('everything else is 401 without a token, with the bare challenge and readable for allowed origins', async () => {
    for (const path of ['/channels/news', '/subscribe?channel=news', '/subscribe?channel=post&channel=news'])
        refused(await request(gw.url + path, { headers: { origin: ORIGIN } }), 401, null);
    const answer = await request(news, { headers: { origin: ORIGIN } });
    assert.equal(answer.headers['access-control-allow-origin'], ORIGIN);
    assert.equal((await request(news, { method: 'HEAD' })).status, 401);
    for (const url of [gw.url, pub.url])
        refused(await post(`${url}/channels/news`), 401, null);
    refused(await request(news, { headers: { authorization: 'Basic dTpw' } }), 401, null);
});

test('a preflight may ask for the authorization header', async () => {
    const answer = await request(news, { method: 'OPTIONS', headers: { origin: ORIGIN, 'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization' } });
    assert.equal(answer.status, 204);
    assert.ok(answer.headers['access-control-allow-headers'].split(/, */).includes('authorization'));
});

test('a token with the grant opens the stream on every transport, and its publish through a gateway arrives', async () => {
    const headers = await bearer();
    const h2 = await H2.connect(patient.httpsUrl);
    const streams = [await openStream(news, { headers }), await openStream(`${patient.httpsUrl}/channels/news`, { headers }),
        await h2.open('/channels/news', { headers }), await openStream(`${gw.url}/subscribe?channel=news&channel=user/42/in&channel=post`, { headers })];
    for (const stream of streams)
        assert.equal(stream.status, 200);
    await s.redis.subscribed('news', 2);
    assert.equal((await post(news, headers)).status, 200);
    assert.equal((await post(`${pub.url}/channels/news`, { authorization: headers.authorization.replace('Bearer', 'bearer') })).status, 200);
    for (const stream of streams)
        assert.deepEqual((await stream.take(2)).map(event => event.data), ['hello', 'hello']);
    streams.forEach(stream => stream.close());
    h2.close();
});

test('a channel that the token does not grant is 403, and the answer names nothing', async () => {
    const headers = await bearer();
    for (const path of ['/channels/orders', '/channels/user/43/in', '/channels/newsletter', '/subscribe?channel=news&channel=secret/plan']) {
        const sentence = refused(await request(gw.url + path, { headers }), 403, 'insufficient_scope');
        assert.equal(sentence, 'the token does not grant this');
    }
    for (const url of [gw.url, pub.url])
        refused(await post(`${url}/channels/user/42/in`, headers), 403, 'insufficient_scope');
    refused(await request(news, { headers: await bearer({ sse: undefined }) }), 403, 'insufficient_scope');
    assert.equal(await gw.metric('sse_streams'), 0);
});

const pem = await jose.exportSPKI(rsa.publicKey);
const b64 = value => Buffer.from(JSON.stringify(value)).toString('base64url');
const confused = (() => {
    const text = `${b64({ alg: 'HS256', kid: 'rsa' })}.${b64({ ...CLAIMS, exp: inSeconds(600) })}`;
    return `${text}.${createHmac('sha256', pem).update(text).digest('base64url')}`;
})();
const tampered = async () => {
    const [head, , tag] = (await token()).split('.');
    return `${head}.${b64({ ...CLAIMS, exp: inSeconds(600), sse: { subscribe: ['*'], publish: ['*'] } })}.${tag}`;
};
for (const [fact, make, sentence] of [
    ['stolen from another audience', () => token({ aud: ['shop'] }), /another audience/],
    ['of another issuer', () => token({ iss: 'https://evil.example' }), /issuer/],
    ['that has expired', () => token({ exp: inSeconds(-11) }), /expired/],
    ['that is not valid yet', () => token({ nbf: inSeconds(100) }), /not valid yet/],
    ['with other claims under its signature', tampered, /signature/],
    ['signed by somebody else under our kid', () => token({}, { key: foreign }), /signature/],
    ['with an unknown kid', () => token({}, { kid: 'third' }), /no key/],
    ['with alg none', () => `${b64({ alg: 'none' })}.${b64(CLAIMS)}.AA`, /no key/],
    ['with an HMAC over the public key', () => confused, /no key/],
    ['of 9000 bytes', () => 'A'.repeat(9000), /longer than 8192/],
    ['that is rubbish', () => 'rubbish', /malformed/],
])
    test(`a token ${fact} is 401 invalid_token, for readers and writers`, async () => {
        const headers = { authorization: `Bearer ${await make()}` };
        assert.match(refused(await request(news, { headers }), 401, 'invalid_token'), sentence);
        for (const url of [gw.url, pub.url])
            assert.match(refused(await post(`${url}/channels/news`, headers), 401, 'invalid_token'), sentence);
    });

test('several keys: an RS256 token of the other kid is as good', async () => {
    const stream = await openStream(news, { headers: await bearer({}, { key: rsa, kid: 'rsa', alg: 'RS256' }) });
    assert.equal(stream.status, 200);
    stream.close();
});

test('more than one Authorization header, more than one kind or an empty Bearer is 400 invalid_request', async () => {
    const text = await token();
    for (const [port, line] of [[gw.port, 'GET /channels/news'], [pub.port, 'POST /channels/news'], [gw.port, 'POST /channels/news']]) {
        const raw = await Raw.connect(port);
        raw.send(`${line} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nAuthorization: Bearer ${text}\r\nAuthorization: Bearer ${text}\r\n\r\n`);
        const head = await raw.head();
        assert.equal(head.status, 400, line);
        assert.match(head.headers['www-authenticate'], /error="invalid_request"/);
        raw.close();
    }
    for (const headers of [{ authorization: `Bearer ${text}`, cookie: `token=${text}` }, { cookie: `token=${text}; token=${text}` },
        { authorization: 'Bearer' }, { authorization: 'Bearer  ' }]) {
        refused(await request(news, { headers }), 400, 'invalid_request');
        refused(await post(news, { origin: ORIGIN, ...headers }), 400, 'invalid_request');
    }
});

test('the cookie opens a stream, beside other cookies and split as HTTP/2 splits them', async () => {
    const cookie = `token=${await token()}`;
    for (const value of [cookie, `a=b; ${cookie};c=d`]) {
        const stream = await openStream(news, { headers: { cookie: value } });
        assert.equal(stream.status, 200);
        stream.close();
    }
    const h2 = await H2.connect(patient.httpsUrl);
    const stream = await h2.open('/channels/news', { headers: { cookie: ['a=b', cookie, 'xtoken=1'] } });
    assert.equal(stream.status, 200);
    stream.close();
    h2.close();
    for (const value of [cookie.replace('token', 'Token'), cookie.replace('token', 'xtoken'), 'token=', 'token'])
        refused(await request(news, { headers: { cookie: value } }), 401, null);
});

test('the cookie publishes only for pages of the same host or of CORS_ORIGINS', async () => {
    const cookie = `token=${await token()}`;
    for (const { url, port } of [gw, pub]) {
        const own = `http://127.0.0.1:${port}`;
        for (const headers of [{ origin: ORIGIN }, { origin: ORIGIN, 'sec-fetch-site': 'cross-site' }, { origin: own },
            { origin: own, 'sec-fetch-site': 'same-origin' }, { 'sec-fetch-site': 'same-origin' }])
            assert.equal((await post(`${url}/channels/news`, { cookie, ...headers })).status, 200, JSON.stringify(headers));
        for (const headers of [{}, { origin: 'https://evil.example' }, { origin: 'null' }, { origin: `${own}0` }, { 'sec-fetch-site': 'none' },
            { 'sec-fetch-site': 'cross-site' }, { 'sec-fetch-site': 'same-site' }, { origin: own, 'sec-fetch-site': 'same-site' },
            { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }]) {
            const answer = await post(`${url}/channels/news`, { cookie, ...headers });
            assert.equal(answer.status, 403, `${JSON.stringify(headers)} ${answer.body}`);
            assert.equal(answer.headers['www-authenticate'], undefined);
        }
        assert.equal((await post(`${url}/channels/news`, await bearer())).status, 200, 'a header needs no origin');
    }
    const any = await Stack.start({ env: { ...env, JWT_COOKIE: 'token', CORS_ORIGINS: '*' } });
    for (const { url } of [any.gw[0], any.pub[0]])
        assert.equal((await post(`${url}/channels/news`, { cookie, origin: ORIGIN })).status, 403, '* never goes with a cookie');
});

test('access_token in the query counts only where JWT_QUERY is on, and is nobody\'s data', async () => {
    const on = await Stack.start({ env: { ...env, DEMO: 'on', JWT_QUERY: 'on', LOG_LEVEL: 'debug' } });
    const text = await token();
    refused(await request(`${news}?access_token=${text}`), 401, null);
    refused(await post(`${news}?access_token=${text}`), 401, null);
    const url = on.gw[0].url;
    const stream = await openStream(`${url}/channels/news?access_token=${text}`);
    const posts = [await openStream(`${url}/post`), await openStream(`${gw.url}/post`)];
    assert.equal(stream.status, 200);
    await on.redis.subscribed('news');
    assert.equal((await request(`${url}/channels/news?access_token=${text}`, { method: 'POST', headers: TEXT, body: 'by query' })).status, 200);
    assert.equal((await stream.next()).data, 'by query');
    for (const [stack, where, at, headers] of [[on, url, 0, {}], [s, gw.url, 1, await bearer()]]) {
        await stack.redis.subscribed('post');
        assert.equal((await request(`${where}/post?access_token=${text}&a=1`, { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
            body: `access_token=${text}&b=2` })).status, 303);
        assert.deepEqual(JSON.parse((await posts[at].next()).data), { a: '1', b: '2' });
    }
    refused(await request(`${url}/channels/news?access_token=${text}`, { headers: { authorization: `Bearer ${text}` } }), 400, 'invalid_request');
    refused(await request(`${url}/channels/news?access_token=${text}&access_token=${text}`), 400, 'invalid_request');
    refused(await request(`${url}/channels/news?access_token=`), 400, 'invalid_request');
    [stream, ...posts].forEach(open => open.close());
    for (const server of [...on.gw, ...on.pub, ...s.gw, ...s.pub])
        assert.ok(!server.log.includes(text.slice(0, 40)) && !server.log.includes(text.slice(-40)), `${server.name} logs no token`);
});

test('refusals are counted by reason, in both programs', async () => {
    for (const server of [gw, pub])
        for (const reason of ['no token', 'invalid token', 'invalid request', 'not granted'])
            assert.ok(await server.metric('sse_auth_refused_total', { reason }) > 0, `${server.name} ${reason}`);
    assert.ok(await pub.metric('sse_auth_refused_total', { reason: 'foreign origin' }) > 0);
});

// the second gateway looks at a stream every 15 s only when nothing else asks for it
for (const [fact, server] of [['a short keep-alive', gw], ['the usual keep-alive', patient]])
    test(`a live stream ends with its token, in the last fifth of its life; with ${fact}`, async () => {
        const before = await server.metric('sse_stream_closes_total', { reason: 'token expired' });
        const exp = inSeconds(8), began = Date.now(), left = exp * 1000 - began;
        const [brief, other] = await Promise.all([bearer({ exp }), bearer()]);
        const h2 = await H2.connect(patient.httpsUrl);
        const url = `${server.url}/channels/news`;
        const streams = [await openStream(url, { headers: brief }), server === patient ? await h2.open('/channels/news', { headers: brief }) : await openStream(url, { headers: brief })];
        const staying = [await openStream(url, { headers: other }), await openStream(`${server.url}/channels/post`, { headers: brief })];
        await s.redis.subscribed('news');
        await post(news, other);
        for (const stream of streams)
            assert.equal((await stream.next()).data, 'hello');
        for (const stream of streams) {
            await Promise.race([stream.closed, quiet(left + 6000).then(() => assert.fail('the stream outlives its token'))]);
            const lasted = Date.now() - began;
            assert.equal(stream.ended, 'end', 'in order');
            assert.match(stream.text, /\nretry: \d+\n\n$/);
            assert.ok(lasted > left * 0.8 - 300, `ended after ${lasted} of ${left} ms`);
            assert.ok(lasted < left + 2500 * SCALE, `ended after ${lasted} of ${left} ms`);
        }
        await server.waitMetric('sse_stream_closes_total', before + streams.length, { labels: { reason: 'token expired' } });
        assert.deepEqual(staying.map(stream => stream.ended), [null, null], 'others go on, and so does one of an open channel');
        staying.forEach(stream => stream.close());
        h2.close();
    });

test('MAX_STREAM_SECONDS ends a stream whose token would last longer', async () => {
    const short = await Stack.start({ env: { ...env, KEEPALIVE_MS: 100, MAX_STREAM_SECONDS: 1 } });
    const stream = await openStream(`${short.gw[0].url}/channels/news`, { headers: await bearer() });
    await stream.closed;
    await short.gw[0].waitMetric('sse_stream_closes_total', 1, { labels: { reason: 'rotated' } });
    assert.equal(await short.gw[0].metric('sse_stream_closes_total', { reason: 'token expired' }), 0);
});

test('streams that began together neither rotate nor expire together', async () => {
    const spread = await Stack.start({ gateways: 2, publishers: 0, env: { ...env, KEEPALIVE_MS: 100 }, gatewayEnv: [{ MAX_STREAM_SECONDS: 3 }, {}] });
    const brief = await bearer({ exp: inSeconds(5) }), long = await bearer();
    const ends = async (server, headers) => {
        const streams = await Promise.all(Array.from({ length: 40 }, () => openStream(`${server.url}/channels/news`, { headers })));
        const times = await Promise.all(streams.map(stream => stream.closed.then(() => performance.now())));
        return Math.max(...times) - Math.min(...times);
    };
    const [rotated, expired] = await Promise.all([ends(spread.gw[0], long), ends(spread.gw[1], brief)]);
    assert.ok(rotated > 200, `by chance a fifth of 3 s apart at most, not ${rotated} ms`);
    assert.ok(expired > 140, `by chance a tenth of their 4 to 5 s apart at most, not ${expired} ms`);
    await spread.gw[0].waitMetric('sse_stream_closes_total', 40, { labels: { reason: 'rotated' } });
    await spread.gw[1].waitMetric('sse_stream_closes_total', 40, { labels: { reason: 'token expired' } });
});

const reload = async (servers, msg) => Promise.all(servers.map(async server => {
    const before = server.logged({ msg }).length;
    server.signal('SIGHUP');
    await until(`${server.name} logs ${msg}`, () => server.logged({ msg }).length > before);
}));

test('an Idempotency-Key belongs to the subject of the token', async () => {
    const send = async (sub, body) => {
        const headers = { ...TEXT, 'idempotency-key': 'order-17', ...await bearer({ sub }) };
        return request(news, { method: 'POST', headers, body });
    };
    const [ann, bob, nobody] = [await send('ann', 'mine'), await send('bob', 'yours'), await send(undefined, 'whose')];
    assert.deepEqual([ann.status, bob.status, nobody.status], [200, 200, 200]);
    assert.equal(new Set([ann.body, bob.body, nobody.body]).size, 3, 'three events');
    assert.equal((await send('bob', 'yours')).body, bob.body, 'a repeat gets the first answer');
    assert.deepEqual([(await send('bob', 'mine')).status, (await send(undefined, 'mine')).status], [422, 422]);
});

test('SIGHUP brings the keys of the file: old tokens and their streams go, new ones come, other streams stay; a broken file changes nothing', async () => {
    const servers = [gw, pub];
    const [old, fresh] = [await bearer(), await bearer({}, { key: second, kid: 'second' })];
    const status = async headers => [(await request(news, { method: 'HEAD', headers })).status, (await post(news, headers)).status];
    const h2 = await H2.connect(patient.httpsUrl);
    const streams = [await openStream(news, { headers: old }), await openStream(`${gw.url}/subscribe?channel=news&channel=post`, { headers: old })];
    const tunnel = await h2.open('/channels/news', { headers: old }), open = await openStream(`${gw.url}/channels/post`, { headers: old });
    assert.deepEqual([await status(old), await status(fresh)], [[200, 200], [401, 401]]);
    for (const broken of ['{"keys":[', '{"keys":[]}', '', await jose.exportPKCS8(second.privateKey)]) {
        writeFileSync(keyFile, broken);
        await reload(servers, 'keys not reloaded');
        assert.deepEqual([await status(old), await status(fresh)], [[200, 200], [401, 401]]);
    }
    assert.doesNotMatch(servers.map(server => server.log).join(), /PRIVATE KEY-/);
    await writeKeys({ first, second });
    await reload(servers, 'keys reloaded');
    await until('both keys count', async () => `${[await status(old), await status(fresh)]}` === '200,200,200,200');
    const stays = await openStream(news, { headers: fresh });
    await writeKeys({ second });
    await reload(servers, 'keys reloaded');
    await until('the old token is refused', async () => `${await status(old)}` === '401,401');
    assert.deepEqual(await status(fresh), [200, 200]);
    for (const stream of streams) {
        await within('the end of a stream of the old key', stream.closed);
        assert.equal(stream.ended, 'end', 'in order');
        assert.match(stream.text, /\nretry: \d+\n\n$/);
    }
    await gw.waitMetric('sse_stream_closes_total', 2, { labels: { reason: 'access withdrawn' } });
    await post(news, fresh);
    await stays.waitEvent('a stream of the other key goes on', event => event.data === 'hello');
    assert.equal(tunnel.ended, null, 'the other gateway has not read its keys');
    await reload([patient], 'keys reloaded');
    await within('the end of a stream of the old key over HTTP/2', tunnel.closed);
    assert.deepEqual([open.ended, stays.ended], [null, null], 'a stream that needed no token goes on');
    [open, stays, h2].forEach(one => one.close());
    await writeKeys({ first, rsa });
    await reload([...servers, patient], 'keys reloaded');
});

// Enough connections that each of the two threads takes some.
const many = (url, headers) => Promise.all(Array.from({ length: 40 }, () => request(url, { method: 'HEAD', headers })));
const allAre = (answers, status) => answers.every(answer => answer.status === status);

test('a token that every thread has found valid is refused by all of them once its key is gone, and no longer grants what the new policy closes', async () => {
    const keys = join(folder, 'rotated.json'), policy = join(folder, 'rotated.policy');
    const write = async (kid, pair) => writeFileSync(keys, JSON.stringify({ keys: [await jwk(pair, kid)] }));
    await write('first', first);
    writeFileSync(policy, 'read open\nread ajar\n');
    const stack = await Stack.start({ publishers: 0, env: { JWT_KEY_FILE: keys, POLICY_FILE: policy, THREADS: 2 } });
    const [server] = stack.gw, url = `${server.url}/channels/news`, headers = await bearer();
    for (let i = 0; i < 3; ++i)
        assert.ok(allAre(await many(url, headers), 200));
    assert.ok(allAre(await many(`${server.url}/subscribe?channel=news&channel=open`, headers), 200));
    const streams = ['/channels/open', '/subscribe?channel=open&channel=ajar'].map(path => openStream(server.url + path));
    const staying = [await openStream(`${server.url}/channels/ajar`), await openStream(url, { headers })];
    const ended = await Promise.all(streams);
    writeFileSync(policy, 'closed open\nread ajar\n');
    await reload([server], 'keys reloaded');
    for (const stream of ended)
        await within('the end of a stream without a token, its channel closed', stream.closed);
    await server.waitMetric('sse_stream_closes_total', 2, { labels: { reason: 'access withdrawn' } });
    assert.deepEqual(staying.map(stream => stream.ended), [null, null]);
    staying.forEach(stream => stream.close());
    await until('each thread has the new policy', async () => allAre(await many(`${server.url}/subscribe?channel=news&channel=open`, headers), 403));
    assert.ok(allAre(await many(url, headers), 200));
    await write('first', second);
    await reload([server], 'keys reloaded');
    await until('each thread refuses it', async () => allAre(await many(url, headers), 401));
    for (const answer of await many(url, headers))
        assert.match(answer.headers['www-authenticate'], /the signature of the token is wrong/);
    await write('first', first);
    await reload([server], 'keys reloaded');
    await until('with its key it is good again', async () => allAre(await many(url, headers), 200));
});

test('a token that has been found valid is refused once it has expired', async () => {
    const exp = inSeconds(-10 + Math.ceil(3 * SCALE)), brief = await bearer({ exp }); // 10 s of leeway
    const status = async () => [(await post(news, brief)).status, (await post(`${pub.url}/channels/news`, brief)).status];
    assert.deepEqual([await status(), await status()], [[200, 200], [200, 200]]);
    await until('both refuse it', async () => `${await status()}` === '401,401', 15000);
    assert.ok(Date.now() >= (exp + 10) * 1000, 'not too early');
    assert.match(refused(await request(news, { headers: brief }), 401, 'invalid_token'), /expired/);
});

test('a token that is about to expire, or lives on by the leeway alone, opens no stream that would end at once', async () => {
    for (const left of [1, -1, -5])
        for (const method of ['GET', 'HEAD']) {
            const answer = await request(news, { method, headers: await bearer({ exp: inSeconds(left) }) });
            assert.equal(answer.status, 401, `${left} s left`);
            assert.match(answer.headers['www-authenticate'], /error="invalid_token", error_description="the token expires within two seconds/);
        }
    const stream = await openStream(news, { headers: await bearer({ exp: inSeconds(4) }) });
    assert.equal(stream.status, 200);
    stream.close();
});

test('the cookie opens streams only for pages of the same host or of CORS_ORIGINS', async () => {
    const cookie = `token=${await token()}`, own = `http://127.0.0.1:${gw.port}`;
    const status = async headers => (await request(news, { method: 'HEAD', headers: { cookie, ...headers } })).status;
    for (const headers of [{}, { origin: ORIGIN }, { origin: ORIGIN, 'sec-fetch-site': 'cross-site' }, { origin: ORIGIN, 'sec-fetch-site': 'same-site' }, { origin: own },
        { 'sec-fetch-site': 'same-origin' }, { 'sec-fetch-site': 'none' }])
        assert.equal(await status(headers), 200, JSON.stringify(headers));
    for (const headers of [{ origin: 'https://evil.example' }, { origin: 'null' }, { 'sec-fetch-site': 'cross-site' }, { 'sec-fetch-site': 'same-site' },
        { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }, { origin: own, 'sec-fetch-site': 'cross-site' }])
        assert.equal(await status(headers), 403, JSON.stringify(headers));
    const foreign = { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' };
    assert.equal((await request(news, { method: 'HEAD', headers: { ...foreign, ...await bearer() } })).status, 200, 'a header says that the page knows the token');
    assert.equal((await request(`${gw.url}/channels/letters`, { method: 'HEAD', headers: { cookie, ...foreign } })).status, 200, 'what is open needs no cookie');
    const any = await Stack.start({ publishers: 0, env: { ...env, JWT_COOKIE: 'token', CORS_ORIGINS: '*' } });
    assert.equal((await request(`${any.gw[0].url}/channels/news`, { method: 'HEAD', headers: { cookie, origin: ORIGIN } })).status, 403, '* never goes with a cookie');
});

test('POLICY_FILE says what is open; its first matching line decides, and SIGHUP brings a new one', async () => {
    writeFileSync(policyFile, 'closed news/staff\nread news/*   # all others\npublic chat/*\nwrite inbox/*\n');
    const policed = await Stack.start({ env: { ...env, POLICY_FILE: policyFile } });
    const may = async (channel, headers = {}) => [(await request(`${policed.gw[0].url}/channels/${channel}`, { method: 'HEAD', headers })).status,
        (await post(`${policed.gw[0].url}/channels/${channel}`, headers)).status];
    assert.deepEqual(await may('news/staff'), [401, 401]);
    assert.deepEqual(await may('news/sport/ball'), [200, 401]);
    assert.deepEqual(await may('chat/1'), [200, 200]);
    assert.deepEqual(await may('inbox/7'), [401, 200]);
    assert.deepEqual(await may('letters'), [401, 401], 'the file stands in place of the defaults');
    assert.deepEqual(await may('news/staff', await bearer({ sse: { subscribe: ['news/*'], publish: ['*staff'] } })), [200, 200]);
    assert.deepEqual(await may('inbox/7', { authorization: 'Bearer rubbish' }), [401, 200], 'where anyone may, no token is looked at');
    writeFileSync(policyFile, 'public letters\nnonsense\n');
    await reload([...policed.gw, ...policed.pub], 'keys not reloaded');
    assert.match(policed.gw[0].log, /POLICY_FILE: \S+: line 2: /);
    assert.deepEqual(await may('letters'), [401, 401]);
    writeFileSync(policyFile, 'public letters\n');
    await reload([...policed.gw, ...policed.pub], 'keys reloaded');
    await until('the new policy counts', async () => `${await may('letters')}${await may('chat/1')}` === '200,200401,401');
});

test('keys come as a secret file, a PEM key or a certificate', async () => {
    const secret = 'a secret of at least thirty-two bytes', { cert, key } = certificate(folder);
    const files = {
        secret: [`${secret}\n`, new TextEncoder().encode(secret), 'HS256'],
        pem: [pem, rsa.privateKey, 'RS256'],
        certificate: [readFileSync(cert), await jose.importPKCS8(readFileSync(key, 'utf8'), 'ES256'), 'ES256'],
    };
    for (const [name, [content, signer, alg]] of Object.entries(files)) {
        const file = join(folder, `key.${name}`);
        writeFileSync(file, content);
        const stack = await Stack.start({ publishers: 0, env: { JWT_KEY_FILE: file } });
        const url = `${stack.gw[0].url}/channels/news`;
        assert.equal((await request(url, { method: 'HEAD', headers: await bearer({ iss: undefined, aud: undefined }, { key: signer, alg }) })).status, 200, name);
        assert.equal((await request(url, { method: 'HEAD', headers: await bearer() })).status, 401, name);
        await stack.stop();
    }
});

test('a setting that cannot work ends the start in one sentence that names it', async () => {
    const short = join(folder, 'short'), bad = join(folder, 'bad');
    writeFileSync(short, 'too short');
    writeFileSync(bad, 'open everything');
    for (const program of ['sse-gateway', 'sse-publisher'])
        for (const [name, value, more] of [['JWT_KEY_FILE', '/no/such/file'], ['JWT_KEY_FILE', short], ['JWT_COOKIE', 'a b', { JWT_KEY_FILE: keyFile }],
            ['POLICY_FILE', bad, { JWT_KEY_FILE: keyFile }], ['POLICY_FILE', policyFile], ['JWT_ISSUER', 'x'], ['JWT_AUDIENCE', 'x'], ['JWT_COOKIE', 'x'], ['JWT_QUERY', 'on']]) {
            const { code, err } = await new Promise(resolve => execFile(binary(program), [], { env: { PORT: 0, ADMIN_PORT: 0, REDIS_URL: `unix://${folder}/none`,
                [name]: value, ...more }, timeout: 5000 * SCALE }, (error, _out, said) => resolve({ code: error?.code, err: said })));
            assert.equal(code, 1, `${program} ${name}=${value}: ${err}`);
            const lines = err.trimEnd().split('\n').filter(line => line.includes('level=error'));
            assert.equal(lines.length, 1, err);
            assert.ok(lines[0].includes(`program=${program} msg="cannot start" why="${name}: `), err);
            assert.ok(!err.includes('too short\n') || err.includes('32 bytes'));
        }
});
