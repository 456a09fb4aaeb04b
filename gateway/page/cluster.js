// The nodes as their announcements show them. Whoever may publish on the bus can have written one: everything is checked, and bounded.

const NODES_MAX = 1000;
const GONE_AFTER = 3; // announcements that did not come …
const GONE_MIN_MS = 1500;
const FORGET_MS = 120000; // … and so long a node that is gone stays on the page
const ROLES = ['gateway', 'publisher'];

const isCount = value => Number.isFinite(value) && value >= 0;

// The announcement, with every number a number and every text a short one; null when it is none.
function read(text) {
    let heard;
    try {
        heard = JSON.parse(text);
    } catch {
        return null;
    }
    const { id, node, role, version, why, seq, every_ms: every } = heard ?? {};
    const texts = [id, node, role, version, why ?? ''];
    if (!texts.every(one => typeof one === 'string' && one.length <= 200) || id === '' || !ROLES.includes(role) || !isCount(seq) || !(every >= 100 && every <= 60000))
        return null;
    const said = { id, node, role, version, why: why ?? '', closes: {} };
    for (const [name, value] of Object.entries(heard).slice(0, 64))
        if (typeof value === 'number')
            said[name] = isCount(value) ? value : 0;
    for (const [reason, count] of Object.entries(heard.closes ?? {}).slice(0, 32))
        if (isCount(count) && reason.length <= 40)
            said.closes[reason] = count;
    return said;
}

class Node {
    before = null;
    roundTrip = null;

    constructor(said) {
        this.id = said.id;
        this.hear(said);
    }

    hear(said) {
        if (said.seq <= this.last?.seq)
            return; // over the bus and directly
        this.before = this.last ?? null;
        this.last = said;
        this.heardAt = performance.now();
        this.#measure();
    }

    count(name) {
        return this.last[name] ?? 0;
    }

    // Of a count, a second, by the node's own clock.
    rate(name) {
        return this.#perSecond(said => said[name] ?? 0);
    }

    closeRate() {
        return this.#perSecond(said => Object.values(said.closes).reduce((sum, count) => sum + count, 0));
    }

    #perSecond(count) {
        const ms = this.before === null ? 0 : this.last.uptime_ms - this.before.uptime_ms;
        return ms > 0 ? Math.max(0, count(this.last) - count(this.before)) * 1000 / ms : 0;
    }

    // Microseconds of the round trips since the announcement before, or of earlier ones when there was none.
    #measure() {
        const count = this.last.bus_round_trips - (this.before?.bus_round_trips ?? 0);
        if (count > 0)
            this.roundTrip = (this.last.bus_round_trips_us - (this.before?.bus_round_trips_us ?? 0)) / count;
    }

    silence() {
        return performance.now() - this.heardAt;
    }

    get gone() {
        return this.silence() > Math.max(GONE_AFTER * this.last.every_ms, GONE_MIN_MS);
    }

    state() {
        return this.gone ? 'gone' : this.last.why ? 'failing' : 'ready';
    }
}

export class Cluster {
    #nodes = new Map();
    #own = null; // id of the gateway that serves the page
    #begins = true;

    // The stream opens: what it begins with is its own gateway's announcement.
    begin() {
        this.#begins = true;
    }

    hear(text) {
        const said = read(text);
        if (said === null)
            return;
        if (this.#begins)
            this.#own = said.id;
        this.#begins = false;
        if (this.#nodes.has(said.id))
            this.#nodes.get(said.id).hear(said);
        else if (this.#nodes.size < NODES_MAX)
            this.#nodes.set(said.id, new Node(said));
    }

    // While its own gateway has no Redis nothing is heard of the others, and that says nothing about them.
    get cutOff() {
        const own = this.#nodes.get(this.#own);
        return own !== undefined && !own.gone && own.count('bus_up') === 0;
    }

    // 'ready', 'failing', 'gone', or 'unknown'.
    stateOf(node) {
        const state = node.state();
        return state === 'gone' && this.cutOff ? 'unknown' : state;
    }

    forget() {
        if (this.cutOff)
            return;
        for (const node of this.#nodes.values())
            if (node.silence() > FORGET_MS)
                this.#nodes.delete(node.id);
    }

    get size() {
        return this.#nodes.size;
    }

    // What fails first, then by role and name.
    nodes() {
        const order = node => `${['gone', 'failing', 'unknown', 'ready'].indexOf(this.stateOf(node))} ${node.last.role} ${node.last.node} ${node.id}`;
        return [...this.#nodes.values()].map(node => [order(node), node]).sort(([a], [b]) => (a < b ? -1 : 1)).map(([, node]) => node);
    }

    #here() {
        return [...this.#nodes.values()].filter(node => !node.gone);
    }

    sum(name) {
        return this.#here().reduce((sum, node) => sum + node.count(name), 0);
    }

    rate(name) {
        return this.#here().reduce((sum, node) => sum + node.rate(name), 0);
    }

    // [[reason, count], …], the most frequent first.
    closes() {
        const counts = new Map();
        for (const node of this.#nodes.values())
            for (const [reason, count] of Object.entries(node.last.closes))
                counts.set(reason, (counts.get(reason) ?? 0) + count);
        return [...counts].sort((a, b) => b[1] - a[1]);
    }
}
