// Where costs are measured, and the held-out points where the model is asked what it would have said.
//
// A point: {id, stage: options of Stage, load: of Stage.run()}; neighbours with the same stage share it. `rounds`: how often it is measured; the median counts.

const one = (id, rate, load = {}) => ({ id, load: { streams: 1, channels: 1, rate, ...load } });
const all = (id, streams, rate, load = {}) => ({ id, load: { streams, channels: 1, rate, ...load } });
const on = (stage, points, rounds = 2) => points.map(point => ({ ...point, stage, rounds }));
const fresh = (stage, points) => points.flatMap((point, i) => on({ ...stage, alone: `${point.id}${i}` }, [point], 1));

const SIZES = [260, 4356];
const sizes = protocol => SIZES.map(bytes => all(`size-${protocol}-${bytes}`, 200, 20, { bytes, seconds: 3 }));

const rooms = { streams: 2500, channels: 500, rate: 1000 };
const FAN = [
    ...on({}, [all('write-1', 18000, 1), all('write-3', 12000, 3), all('write-5', 7000, 5), all('write-10', 4000, 10), all('write-50', 800, 50)]),
    ...on({}, [one('event-50', 50), one('event-1000', 1000), one('event-4000', 4000)], 3),
    ...on({ pinned: false }, [{ id: 'threads-1', load: rooms }]),
    ...on({ pinned: false, threads: 2 }, [{ id: 'threads-2', load: rooms }]),
];

const PROTOCOLS = [
    ...on({ protocol: 'tls' }, [all('tls-20', 2000, 20), ...sizes('tls')]),
    ...on({ protocol: 'h2' }, [all('h2-20', 9000, 20), ...sizes('h2')]),
    ...on({ protocol: 'h2-tls' }, [all('h2-tls-20', 9000, 20), ...sizes('h2-tls')]),
    ...on({}, sizes('h1')),
    ...on({ env: { KEEPALIVE_MS: 500 } }, [{ id: 'keepalive', load: { streams: 5000, channels: 1, rate: 0 } }]),
];

// Events a second: for how many gateways each. The load programs beside Redis have the same to do in all: BESIDE deliveries a second.
export const SUBSCRIBERS = { 50: [1, 4, 16], 500: [1, 2, 4, 8, 16], 2000: [1, 4, 8] };
export const SINGLE = [10, 200, 8000]; // for one gateway only
const BESIDE = 10000;
const heard = (rate, gateways) => ({ id: `redis-${rate}-${gateways}`,
    load: { streams: gateways * Math.max(1, Math.round(BESIDE / rate / gateways)), channels: 1, rate: Number(rate), seconds: 3 } });
const REDIS = [1, 2, 4, 8, 16].flatMap(gateways => on({ gateways }, [
    ...([1, 16].includes(gateways) ? [{ id: `redis-idle-${gateways}`, load: { streams: gateways, channels: 1, rate: 0, seconds: 5 } }] : []),
    ...Object.entries(SUBSCRIBERS).filter(([, counts]) => counts.includes(gateways)).map(([rate]) => heard(rate, gateways)),
    ...(gateways === 1 ? SINGLE.map(rate => heard(rate, 1)) : []),
]));

export const POSTS = [50, 500, 3000];
const PUBLISH = on({}, [
    ...POSTS.map(rate => ({ id: `post-${rate}`, load: { streams: 16, channels: 16, rate, via: 'post' } })),
    ...SIZES.map(bytes => one(`publish-${bytes}`, 200, { bytes })),
]);

// How much they hold after some seconds of BUSY deliveries a second, in gateways that had no stream before. Of HTTP/2 with one stream to a connection, and 90.
const BUSY = 25000;
const opening = (id, streams, load = {}) => ({ id, load: { streams, channels: 1, rate: Math.ceil(BUSY / streams), settle: true, ...load } });
const MEMORY = [
    ...fresh({}, [opening('open-h1', 8000), opening('open-fresh', 8000, { channels: 8000, rate: 0, seconds: 1 }),
        { id: 'one-event', load: { streams: 8000, channels: 8000, rate: 4000, seconds: 1 } },
        { id: 'ring', load: { streams: 100, channels: 100, rate: 4000 } }]),
    ...fresh({ protocol: 'tls' }, [opening('open-tls', 2500)]),
    ...fresh({ protocol: 'h2' }, [opening('open-h2-90', 18000), opening('open-h2-1', 2000, { per: 1 })]),
    ...fresh({ protocol: 'h2-tls' }, [opening('open-h2-tls-90', 9000), opening('open-h2-tls-1', 1500, { per: 1 })]),
];

export const GROUPS = { fan: FAN, protocols: PROTOCOLS, redis: REDIS, publish: PUBLISH, memory: MEMORY };

// None of these is among the points above: other numbers of streams and channels, rates, sizes, protocols, gateways, ways to publish.
export const HELD_OUT = [
    { id: 'a score ticker', stage: { gateways: 2 }, load: { streams: 6000, channels: 1, rate: 5 } },
    { id: 'three busy channels', stage: { gateways: 1 }, load: { streams: 3600, channels: 3, rate: 45 } },
    { id: 'rooms', stage: { gateways: 3 }, load: { streams: 3000, channels: 100, rate: 300, via: 'post' } },
    { id: 'a channel each', stage: { gateways: 2 }, load: { streams: 4000, channels: 2000, rate: 1400, via: 'post', apart: true } },
    { id: 'TLS', stage: { gateways: 2, protocol: 'tls' }, load: { streams: 1600, channels: 2, rate: 30 } },
    { id: 'HTTP/2, 45 streams a connection', stage: { gateways: 2, protocol: 'h2' }, load: { streams: 7200, channels: 1, rate: 15, per: 45 } },
    { id: 'HTTP/2 over TLS, a browser each', stage: { gateways: 3, protocol: 'h2-tls' }, load: { streams: 1500, channels: 5, rate: 100, per: 1 } },
    { id: 'events of 2 KB', stage: { gateways: 2 }, load: { streams: 400, channels: 2, rate: 50, bytes: 2048 } },
];
