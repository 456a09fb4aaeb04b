// The cells of the resume matrix: kinds of streams, of last event ids and of histories. What is due to a client is computed from what was published, what the client has seen, and what the
// histories hold when it comes back; never written down by hand.
import assert from 'node:assert/strict';
import { openStream } from './sse.mjs';
import { SCALE } from './wait.mjs';

export const LOST = 'a lost event'; // of a Redis that restarts from an older state
export const IDS = ['event', 'place', 'place of an empty channel', "author's", "author's, twice", 'mirrored', 'from the future', 'unknown'];

const hash = (from, text) => [...Buffer.from(text)].reduce((h, byte) => BigInt.asUintN(32, h * 1664525n + BigInt(byte)), from);

// The rule of proto/event_id.h.
export function eventId(name, ms, seq = 0) {
    const of = hash(1013904223n, name), sum = hash(of, `${ms}-${seq}`), hex = (n, digits) => n.toString(16).padStart(digits, '0');
    const [m, s] = [hex(BigInt(ms), 12), hex(BigInt(seq), 6)];
    return `${m.slice(0, 8)}-${m.slice(8)}-4${s.slice(0, 3)}-8${s.slice(3)}-${hex((sum >> 16n) ^ (sum & 0xffffn), 4)}${hex(of, 8)}`;
}

// One row of the matrix: channels of its own and a client that has seen some of their events.
export class Cell {
    // bus: command(name, argv) of the Redis that has the channel, and gw
    constructor(bus, { names, id, history, then, ttl }) {
        Object.assign(this, { bus, names, kind: id, history, then, ttl, published: [], seen: new Set() });
        this.path = names.length === 1 ? `/channels/${names[0]}` : `/subscribe?${names.map(name => `channel=${name}`).join('&')}`;
    }

    get what() {
        return `${this.names.length} channel(s), id ${this.kind}, history ${this.history}${this.then ? ', then an event' : ''} (${this.names[0]})`;
    }

    async publish(name, data, id) {
        const argv = ['FCALL', 'sse_publish', 1, `sse:${name}`, data, ...(id === undefined ? [] : ['id', id]), ...(this.ttl === undefined ? [] : ['ttl', this.ttl])];
        const [given, position] = await this.bus.command(name, argv);
        this.published.push({ name, data, id: given, position });
        return given;
    }

    async fresh(gw) {
        const stream = await openStream(gw.url + this.path);
        const id = /^id: (\S+)\n/.exec(await stream.nextFrame())[1];
        stream.close();
        return id;
    }

    saw() {
        this.seen = new Set(this.published.map(event => event.data));
    }

    // What happens while the client is there; each round is a moment of its own, so that times tell one from the other.
    rounds(gw) {
        const [a, b] = [this.names[0], this.names.at(-1)];
        const own = { "author's": `own ${a}`, "author's, twice": `own ${a}`, mirrored: eventId(a, Date.now() - 3600000, 7) }[this.kind];
        const several = a !== b;
        return [
            async () => this.kind === 'place of an empty channel' && (this.id = await this.fresh(gw)),
            async () => several && this.publish(b, 'b1'),
            () => this.publish(a, 'a1'),
            async () => several && this.publish(b, 'b2'),
            async () => {
                const id = await this.publish(a, 'a2', own);
                if (this.kind === 'place' || this.kind === LOST)
                    return;
                this.id ??= this.kind === 'unknown' ? `never ${a}` : this.kind === 'from the future' ? eventId(a, Date.now() + 3600000) : id;
                if (this.kind !== 'place of an empty channel')
                    this.saw();
            },
            async () => {
                if (this.kind !== 'place')
                    return;
                this.id = await this.fresh(gw);
                this.saw();
            },
            async () => several && this.publish(b, 'b3'),
            () => this.publish(a, 'a3'),
            async () => {
                if (this.kind === "author's, twice")
                    await this.bus.command(a, ['DEL', `{sse:${a}}:id:${own}`]);
                const id = await this.publish(a, 'a4', this.kind === "author's, twice" ? own : undefined);
                if (this.kind !== LOST)
                    return;
                this.id = id;
                this.saw();
            },
        ];
    }

    // What the history of the channel holds: data and id, oldest first.
    async held(name) {
        const entries = await this.bus.command(name, ['XRANGE', `{sse:${name}}:log`, '-', '+']);
        return entries.map(([, [, payload]]) => ({ data: /^data: (.*)$/m.exec(payload)[1], id: /^id: (.*)$/m.exec(payload)[1] }));
    }

    // {known, lost: Set of names, kept: Map of name to data}. Of an author's id the records know only where it is in a history yet.
    async due() {
        const byName = new Map(await Promise.all(this.names.map(async name => [name, await this.held(name)])));
        const authored = ["author's", "author's, twice", 'mirrored'].includes(this.kind);
        const at = authored ? byName.get(this.names[0]).findIndex(event => event.id === this.id) : -1;
        const known = authored ? at >= 0 : !['from the future', 'unknown'].includes(this.kind);
        // an author's id, also one that was used twice, stands for the earliest event that is there: of all channels what was published up to then counts as seen
        const until = known && authored ? this.published.findIndex(event => event.data === byName.get(this.names[0])[at].data) + 1 : 0;
        const seen = known && authored ? new Set(this.published.slice(0, until).map(event => event.data)) : this.seen;
        const after = name => this.published.filter(event => event.name === name && !seen.has(event.data)).map(event => event.data);
        const kept = new Map(this.names.map(name => [name, after(name).filter(data => byName.get(name).some(event => event.data === data))]));
        const lost = new Set(this.names.filter(name => after(name).length !== kept.get(name).length));
        return { known, lost, kept, after };
    }

    // The client comes back. `rule(due)` says, by channel, whether a gap must ('must'), may ('may') or must not ('no') be told.
    async check(gateway, rule) {
        const due = await this.due();
        const stream = await openStream(gateway.url + this.path, { headers: { 'last-event-id': this.id } });
        return { stream, due, gateway, rule };
    }

    async verify({ stream, due, gateway, rule }) {
        const live = this.names.map(name => `live ${name}`);
        for (const data of live)
            await stream.waitEvent(`${data} of ${this.what} at ${gateway.name}`, event => event.data === data, 15000 * SCALE);
        const context = () => `${this.what}, at ${gateway.name}, id ${this.id}\n${stream.text}`;
        const told = stream.events.filter(event => event.type === 'gap').map(event => JSON.parse(event.data));
        const got = stream.events.filter(event => event.type !== 'gap').map(event => event.data);
        assert.equal(new Set(got).size, got.length, `twice: ${context()}`);
        for (const name of this.names) {
            const gaps = told.filter(gap => gap.channel === name).length, what = rule({ ...due, name, gateway, cell: this });
            const all = this.published.filter(event => event.name === name).map(event => event.data), mine = got.filter(data => all.includes(data));
            assert.deepEqual(mine, all.filter(data => mine.includes(data)), `order: ${context()}`);
            assert.ok(gaps <= 1 && !(what === 'must' && gaps === 0) && !(what === 'no' && gaps === 1), `${gaps} gaps of ${name}, ${what}: ${context()}`);
            if (due.known) {
                assert.deepEqual(due.kept.get(name).filter(data => !mine.includes(data)), [], `kept and not sent: ${context()}`);
                const missing = due.after(name).filter(data => !mine.includes(data));
                assert.ok(missing.length === 0 || gaps === 1 || what === 'unrecorded', `lost without a word: ${missing} of ${context()}`);
            }
        }
        for (const gap of told)
            assert.equal(gap.last_event_id, this.id);
        stream.close();
    }

    // Who leaves right behind the last gap is told no more, and gets what followed it.
    async comeBack({ stream }, gateway, toldAgain) {
        const last = stream.events.findLastIndex(event => event.type === 'gap');
        if (last < 0 || stream.events[last].lastEventId === '')
            return;
        const followed = stream.events.slice(last + 1).map(event => event.data);
        const back = await openStream(gateway.url + this.path, { headers: { 'last-event-id': stream.events[last].lastEventId } });
        for (const data of followed)
            await back.waitEvent(`${data} once more, of ${this.what}, after the gap ${stream.events[last].lastEventId}\n${stream.text}`, event => event.data === data);
        assert.ok(toldAgain || !back.events.some(event => event.type === 'gap'), `a gap twice: ${this.what}\n${stream.text}\n--- then\n${back.text}`);
        back.close();
    }
}

// Runs all rounds of all cells, one after the other, each in milliseconds of its own.
export async function runRounds(cells, now, gw, each = () => {}) {
    const rounds = cells.map(cell => cell.rounds(gw));
    for (let i = 0; i < rounds[0].length; ++i) {
        await each(i);
        await Promise.all(rounds.map(cell => cell[i]()));
        const ms = await now();
        while (await now() <= ms + 1);
    }
}

// All clients of all cells come back, at each of the gateways; then one more event in each channel shows where the past has ended. Whoever was told of a gap comes back once more, from
// there, to again(the gateway that told it). toldAgain: it may be told once more.
export async function resumeAll(cells, gateways, rule, again, { toldAgain = false } = {}) {
    const clients = [], faults = [];
    const judge = promise => promise.catch(error => faults.push(error.message));
    for (const cell of cells)
        clients.push(...await Promise.all(gateways.map(async gateway => ({ cell, client: await cell.check(gateway, rule) }))));
    await Promise.all(cells.flatMap(cell => cell.names.map(name => cell.publish(name, `live ${name}`))));
    for (const { cell, client } of clients)
        await judge(cell.verify(client));
    await Promise.all(clients.map(({ cell, client }) => judge(cell.comeBack(client, again(client.gateway), toldAgain))));
    assert.deepEqual(faults.slice(0, 3), [], `${faults.length} of ${clients.length} cells`);
    return clients.length;
}
