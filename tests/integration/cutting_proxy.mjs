// An HTTP proxy that cuts: an answer loses its connection after a random number of bytes, and the client's next request goes to the next server.
//
//     const proxy = await CuttingProxy.start([gw0.url, gw1.url], { cuts: 5, most: 1500 });
//     proxy.url, proxy.requests     [{ method, url, lastEventId, status, cut, tail }] as they came; `cut`: after so many bytes of the body, or null; `tail`: the last of them
//     proxy.streams                 those that are not preflights of a browser
import http from 'node:http';
import { after } from 'node:test';

// Numbers from 0 to 1 that a seed decides (mulberry32).
function randomFrom(seed) {
    let state = seed >>> 0;
    return () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let t = state;
        t = Math.imul(t ^ (t >>> 15), t | 1);
        t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
}

export class CuttingProxy {
    // cuts: how many answers lose their connection, each after 1 to `most` bytes; `behind`: one more is cut right behind the bytes that match, which must come in one write.
    // armed: whether it cuts, may be set later. The seed is CUT_SEED or chance.
    static async start(servers, { cuts = 5, most = 1500, behind = null, armed = true } = {}) {
        const proxy = new CuttingProxy();
        const seed = Number(process.env.CUT_SEED ?? Math.floor(Math.random() * 2 ** 32));
        Object.assign(proxy, { servers, cutsLeft: cuts, most, behind, armed, seed, requests: [], random: randomFrom(seed) });
        proxy.server = http.createServer((request, response) => proxy.#pass(request, response));
        await new Promise(done => proxy.server.listen(0, '127.0.0.1', done));
        after(() => proxy.close());
        return proxy;
    }

    get url() {
        return `http://127.0.0.1:${this.server.address().port}`;
    }

    get streams() {
        return this.requests.filter(({ method }) => method !== 'OPTIONS');
    }

    get cuts() {
        return this.requests.filter(({ cut }) => cut !== null).length;
    }

    close() {
        this.server.closeAllConnections();
        this.server.close();
    }

    #pass(request, response) {
        const seen = { method: request.method, url: request.url, lastEventId: request.headers['last-event-id'] ?? '', status: null, cut: null };
        this.requests.push(seen);
        const to = new URL(this.servers[Math.max(0, this.streams.length - 1) % this.servers.length]);
        const onward = http.request({ host: to.hostname, port: to.port, path: request.url, method: request.method, headers: request.headers, agent: false }, answer => {
            seen.status = answer.statusCode;
            response.writeHead(answer.statusCode, answer.headers);
            response.flushHeaders();
            let passed = 0, budget = null;
            const cut = (piece, at) => {
                seen.cut = at;
                seen.tail = piece.toString('latin1').slice(-40);
                onward.destroy();
                response.write(piece, () => response.socket?.destroy());
            };
            answer.on('data', piece => {
                if (seen.cut !== null)
                    return;
                const match = this.behind?.exec(piece.toString('latin1'));
                if (match) {
                    this.behind = null;
                    const upTo = match.index + match[0].length;
                    return cut(piece.subarray(0, upTo), passed + upTo);
                }
                if (budget === null && this.armed && this.cutsLeft > 0 && answer.statusCode === 200)
                    budget = passed + 1 + Math.floor(this.random() * this.most);
                if (budget !== null && passed + piece.length >= budget) {
                    --this.cutsLeft;
                    return cut(piece.subarray(0, budget - passed), budget);
                }
                passed += piece.length;
                response.write(piece);
            });
            answer.on('end', () => seen.cut === null && response.end());
            answer.on('error', () => response.socket?.destroy());
        });
        onward.on('error', () => response.socket?.destroy());
        response.on('close', () => onward.destroy());
        request.pipe(onward);
    }
}
