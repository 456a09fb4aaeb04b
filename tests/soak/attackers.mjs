// Attackers for the soak: each call of wave() does one thing, drawn at random, that spends somebody's budget. None of them may cost the load an event. The seed is
// printed, so that a run can be repeated in kind: SOAK_SEED.
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { H2, openStream, request } from '../integration/sse.mjs';
import { attack } from '../hardening/stage.mjs';
import { until } from '../integration/wait.mjs';

const FLOODS = ['rapid-reset', 'rapid-reset-streams', 'window-zero', 'too-many', 'pings', 'settings', 'priorities', 'window-updates', 'empty-data', 'tiny-data',
    'unknown', 'empty-continuations', 'big-head', 'header-bomb', 'small-fields', 'table-sizes', 'bodies'];

// mulberry32: a generator of 32 bits of state, enough to draw by.
export function generator(seed) {
    return () => {
        seed = seed + 0x6d2b79f5 | 0;
        let t = Math.imul(seed ^ seed >>> 15, 1 | seed);
        t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
        return ((t ^ t >>> 14) >>> 0) / 4294967296;
    };
}

const RINGS = 2e6; // twice what the steady load has, and less than three of the largest events add

// {wave, pause, resume}: what is called again and again; pause() resolves when no attack is under way any more, none will begin, and their channels and events are given back.
export function attackers(stack, random) {
    const pick = list => list[Math.floor(random() * list.length)];
    const one = servers => pick(servers);
    const refused = promise => promise.catch(() => null); // an attacker takes a refusal in any form
    const acts = {
        flood: () => attack(one([...stack.gw, ...stack.pub]), pick(FLOODS), { seconds: 1, again: true }),

        // Ids that nobody ever gave, on histories of the load.
        async unknownIds() {
            const gw = one(stack.gw), id = `nobody-${Math.floor(random() * 1e9)}`;
            const streams = await Promise.all(Array.from({ length: 20 }, (_, i) => refused(openStream(`${gw.url}/channels/fault-${i % 10}?last_event_id=${id}`))));
            await sleep(500);
            streams.forEach(stream => stream?.close());
        },

        // 20 × 100 channels that nobody has named before.
        async channels() {
            const gw = one(stack.gw), run = Math.floor(random() * 1e9);
            const streams = await Promise.all(Array.from({ length: 20 }, (_, i) => refused(openStream(`${gw.url}/subscribe?${
                Array.from({ length: 100 }, (_, k) => `channel=storm-${run}-${i}-${k}`).join('&')}`))));
            streams.forEach(stream => stream?.close());
        },

        // Bodies that are announced and never sent.
        async bodies() {
            const server = one([...stack.gw, ...stack.pub]);
            const sockets = Array.from({ length: 30 }, () => {
                const socket = connect(server.port, '127.0.0.1');
                socket.on('error', () => {});
                socket.write(`POST /channels/attacked HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(60000)}`);
                return socket;
            });
            await sleep(2000);
            sockets.forEach(socket => socket.destroy());
        },

        // The largest events, to readers who take none of it and to histories that somebody asks for.
        async large() {
            const gw = one(stack.gw), body = 'y'.repeat(900000);
            const stuck = Array.from({ length: 10 }, () => {
                const socket = connect(gw.port, '127.0.0.1');
                socket.on('error', () => {}).on('connect', () => socket.pause());
                socket.write('GET /channels/attacked?last=1000 HTTP/1.1\r\nHost: x\r\n\r\n');
                return socket;
            });
            for (let i = 0; i < 3; ++i)
                await refused(request(`${one(stack.pub).url}/channels/attacked`, { method: 'POST', headers: { 'content-type': 'text/plain' }, body }));
            await sleep(3000);
            stuck.forEach(socket => socket.destroy());
        },

        // Answers that nobody takes, over HTTP/2.
        async untaken() {
            const h2 = await refused(H2.connect(one(stack.gw).url));
            await Promise.all(Array.from({ length: 50 }, () => refused(h2?.request('/channels/a%zz') ?? Promise.resolve())));
            h2?.close();
        },
    };
    let paused = false, underWay = 0;
    return {
        async wave() {
            if (!paused) {
                ++underWay;
                await pick(Object.values(acts))().finally(() => --underWay);
            }
            await sleep(100 + random() * 500);
        },
        async pause() {
            paused = true;
            await until('no attack is under way', () => underWay === 0, 30000);
            await Promise.all(stack.gw.map(async gw => {
                await gw.waitMetric('sse_channels', count => count < 200);
                await gw.waitMetric('sse_ring_bytes', bytes => bytes < RINGS);
            }));
        },
        resume() {
            paused = false;
        },
    };
}
