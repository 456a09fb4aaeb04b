// A TCP proxy between the programs and Redis that can do to them what networks do.
//
//     const proxy = await BusProxy.start(t, { port: 6390 });      // where Redis is: {port} or {path}
//     env: { REDIS_URL: proxy.url }
//     proxy.cut()              every connection is reset
//     proxy.refuse() / allow() new connections are reset at once / no longer
//     proxy.hang() / go()      no byte passes, nothing is closed, and new connections are accepted and hang too / all of it goes on
//     proxy.blackhole()        … and what is sent meanwhile is swallowed, so that go() has to cut what was open
//     proxy.deafen()           what Redis says to the subscribers that are connected now is swallowed, everything else passes
//     proxy.holdSubscribers()  … waits until go(), everything else passes
//     proxy.holdAnswersTo = 'X'   … to a connection that has said X wait until go(), everything else passes
//     proxy.told(/X/)          whether Redis has said X to somebody
//     proxy.delay = 50         milliseconds that each chunk waits, each way
import { createConnection, createServer } from 'node:net';

const KEPT = 4096; // bytes of what Redis said

export class BusProxy {
    #pairs = new Set();
    #mode = 'pass';
    #told = '';
    delay = 0;
    holdAnswersTo = undefined;
    accepted = 0;

    static async start(t, target) {
        const proxy = new BusProxy(target);
        await new Promise((done, fail) => proxy.server.on('error', fail).listen(0, '127.0.0.1', done));
        proxy.port = proxy.server.address().port;
        t.after(() => proxy.stop());
        return proxy;
    }

    constructor(target) {
        this.target = target;
        this.server = createServer(client => this.#accept(client));
    }

    get url() {
        return `redis://127.0.0.1:${this.port}`;
    }

    get open() {
        return this.#pairs.size;
    }

    #accept(client) {
        ++this.accepted;
        if (this.#mode === 'refuse')
            return void client.resetAndDestroy();
        const pair = { client, server: createConnection(this.target) };
        this.#pairs.add(pair);
        this.#pump(pair, client, pair.server);
        this.#pump(pair, pair.server, client);
        if (this.#mode === 'hang')
            this.#pause(pair);
    }

    #pump(pair, from, to) {
        const drop = () => this.#drop(pair);
        const late = []; // chunks that wait; whichever timer ends first, the oldest goes first
        const next = () => {
            const chunk = late.shift();
            to.destroyed || to.write(chunk);
        };
        from.setNoDelay(true);
        from.on('data', chunk => {
            if (from === pair.client && /\bSUBSCRIBE\b/i.test(chunk.toString('latin1')))
                pair.subscriber = true;
            if (from === pair.client && this.holdAnswersTo !== undefined && chunk.includes(this.holdAnswersTo))
                pair.server.pause();
            if (from === pair.server)
                this.#told = this.#told.slice(-KEPT) + chunk.toString('latin1');
            if (this.#mode === 'blackhole' || (pair.deaf && from === pair.server))
                pair.swallowed = true;
            else if (late.push(chunk) === 1 && this.delay === 0)
                next();
            else
                setTimeout(next, this.delay);
        });
        from.on('error', drop);
        from.on('close', drop);
    }

    #drop(pair) {
        if (this.#pairs.delete(pair))
            for (const socket of [pair.client, pair.server])
                socket.resetAndDestroy();
    }

    #pause(pair) {
        pair.client.pause();
        pair.server.pause();
    }

    cut() {
        for (const pair of [...this.#pairs])
            this.#drop(pair);
    }

    refuse() {
        this.#mode = 'refuse';
    }

    allow() {
        this.#mode = 'pass';
    }

    hang() {
        this.#mode = 'hang';
        this.#pairs.forEach(pair => this.#pause(pair));
    }

    blackhole() {
        this.#mode = 'blackhole';
    }

    deafen() {
        this.#pairs.forEach(pair => (pair.deaf = pair.subscriber));
    }

    holdSubscribers() {
        this.#pairs.forEach(pair => pair.subscriber && pair.server.pause());
    }

    told(what) {
        return what.test(this.#told);
    }

    go() {
        this.holdAnswersTo = undefined;
        for (const pair of [...this.#pairs]) {
            if (pair.swallowed) {
                this.#drop(pair);
            } else {
                pair.client.resume();
                pair.server.resume();
            }
        }
        this.#mode = 'pass';
    }

    stop() {
        this.cut();
        this.server.close();
    }
}
