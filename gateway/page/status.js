// The page at /status on the admin port: what the nodes announce (proto/README.md, "Nodes"), as it comes.
import { Chart } from './chart.js';
import { $, element, setState, setText, shortTime } from './dom.js';
import { Cluster } from './cluster.js';
import { startTheme } from './theme.js';

const DRAW_MS = 1000;
const NODES_SHOWN = 200;

const round = (value, digits = 0) => value.toLocaleString('en', { maximumFractionDigits: digits });
const rate = value => `${round(value, value < 10 ? 1 : 0)}/s`;

function bytes(value) {
    const unit = Math.min(3, Math.floor(Math.log2(Math.max(1, value)) / 10));
    return `${round(value / 1024 ** unit, unit === 0 ? 0 : 1)} ${['B', 'KiB', 'MiB', 'GiB'][unit]}`;
}

function duration(ms) {
    const s = Math.floor(ms / 1000);
    return s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min` : s < 86400 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
}

const roundTrip = us => (us === null ? '–' : us < 1000 ? `${round(us)} µs` : `${round(us / 1000, 1)} ms`);

// ---- together ----

const TILES = [
    ['Streams', cluster => cluster.sum('streams'), round],
    ['Events delivered', cluster => cluster.rate('events_out'), rate],
    ['Events from the bus', cluster => cluster.rate('events_in'), rate],
    ['Sent', cluster => cluster.rate('bytes_out'), value => `${bytes(value)}/s`],
    ['Waiting in queues', cluster => cluster.sum('queued_bytes'), bytes],
    ['Published', cluster => cluster.rate('published'), rate],
];

const tiles = TILES.map(([name, value, format]) => {
    const number = element('p', { class: 'big' }, '–');
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    svg.setAttribute('class', 'chart');
    $('tiles').append(element('article', element('h3', name), number, svg));
    return { number, value, format, chart: new Chart(svg, { name, zero: true, format }) };
});

// Without the bus the sums are those of before, and say so.
function drawTiles(cluster) {
    $('tiles').toggleAttribute('data-old', cluster.cutOff);
    if (cluster.cutOff)
        return;
    for (const { number, value, format, chart } of tiles) {
        const now = value(cluster);
        setText(number, format(now));
        chart.push(now);
    }
}

// ---- each node ----

const GATEWAY_FACTS = [
    ['Streams', node => round(node.count('streams'))],
    ['Delivered', node => rate(node.rate('events_out'))],
    ['From the bus', node => rate(node.rate('events_in'))],
    ['Queued', node => bytes(node.count('queued_bytes'))],
    ['Channels', node => round(node.count('channels'))],
    ['Closes', node => rate(node.closeRate())],
    ['Bus round trip', node => roundTrip(node.roundTrip)],
    ['Bus lost', node => `${round(node.count('bus_lost'))}×`],
];
const PUBLISHER_FACTS = [
    ['Published', node => rate(node.rate('published'))],
    ['Connections', node => round(node.count('connections'))],
];
const FACTS = [
    ['CPU', node => `${round(node.rate('cpu_ms') / 10, 1)} %`],
    ['Up', node => duration(node.count('uptime_ms'))],
    ['Version', node => node.last.version],
];

const cards = new Map(); // node → what shows it

function makeCard(node) {
    const gateway = node.last.role === 'gateway';
    const facts = [...(gateway ? GATEWAY_FACTS : PUBLISHER_FACTS), ...FACTS].map(([name, value]) => ({ name, value, at: element('dd', '–') }));
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    svg.setAttribute('class', 'chart');
    const card = { facts, state: element('span', { class: 'state' }), gateway, seq: null,
        chart: new Chart(svg, { zero: true, name: `${node.last.node}, ${gateway ? 'delivered' : 'published'}`, format: rate }) };
    card.article = element('article', element('div', { class: 'row' }, element('h3', node.last.node), card.state),
        element('p', { class: 'muted' }, `${node.last.role} ${node.id.slice(0, 6)}`), svg,
        element('dl', { class: 'facts' }, ...facts.map(({ name, at }) => element('div', element('dt', name), at))));
    return card;
}

function stateText(node, state) {
    const silence = duration(node.silence());
    return state === 'gone' ? `gone for ${silence}` : state === 'unknown' ? `unknown: last heard ${silence} ago` : node.last.why || state;
}

function drawCard(node, card, state) {
    card.article.dataset.state = state;
    setState(card.state, state, stateText(node, state));
    if (card.seq === node.last.seq)
        return;
    card.seq = node.last.seq;
    card.chart.push(node.rate(card.gateway ? 'events_out' : 'published'));
    for (const { value, at } of card.facts)
        setText(at, value(node));
}

function drawNodes(cluster) {
    const shown = cluster.nodes().slice(0, NODES_SHOWN);
    for (const [node, card] of cards)
        if (!shown.includes(node)) {
            card.article.remove();
            cards.delete(node);
        }
    if (cards.size === 0 && shown.length !== 0)
        $('nodes').replaceChildren();
    shown.forEach((node, at) => {
        if (!cards.has(node))
            cards.set(node, makeCard(node));
        const card = cards.get(node);
        drawCard(node, card, cluster.stateOf(node));
        if ($('nodes').children[at] !== card.article)
            $('nodes').insertBefore(card.article, $('nodes').children[at] ?? null);
    });
    const more = cluster.size - shown.length;
    setText($('nodes-title'), more > 0 ? `Nodes: ${shown.length} of ${cluster.size}` : 'Nodes');
}

// ---- closes ----

function drawCloses(cluster) {
    const closes = cluster.closes();
    const max = Math.max(...closes.map(([, count]) => count), 1);
    if (closes.length === 0)
        return;
    $('closes').replaceChildren(...closes.map(([reason, count]) =>
        element('li', element('span', reason), element('meter', { min: 0, max, value: count, 'aria-label': reason }), element('span', round(count)))));
}

// ---- the stream ----

const cluster = new Cluster();
const source = new EventSource('status/events');
source.onmessage = event => cluster.hear(event.data);
let cutOffAt = null;

// That the stream is open says nothing about the bus, from which all but this gateway's own numbers come.
function drawState() {
    if (source.readyState !== EventSource.OPEN)
        return;
    cutOffAt = cluster.cutOff ? cutOffAt ?? Date.now() : null;
    if (cutOffAt === null)
        setState($('state'), 'live');
    else
        setState($('state'), 'failing', `this gateway has no Redis: what is shown of the others is from ${shortTime(cutOffAt)}`);
}

source.onopen = () => {
    cluster.begin();
    drawState();
};
source.onerror = () => {
    const closed = source.readyState === EventSource.CLOSED;
    setState($('state'), closed ? 'closed' : 'reconnecting', closed ? 'closed: reload the page to try again' : 'reconnecting');
};

startTheme($('theme'));
setInterval(() => {
    cluster.forget();
    drawState();
    drawTiles(cluster);
    drawNodes(cluster);
    drawCloses(cluster);
}, DRAW_MS);
