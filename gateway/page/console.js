// Raw events of any channels. Each "Open" is one stream, however many channels it has.
import { onToken, openStream } from './access.js';
import { $, element, setState, setText, shortTime } from './dom.js';
import { channelHash, readId } from './ids.js';

const ROWS_MAX = 200; // shown, and kept while paused
const DATA_MAX = 4000; // characters of one event that are shown
const WORD_MAX = 24; // characters of a type or channel that stay on one line
const BREAK_MS = 5000;
const OVER_MAX = 10; // streams that are closed for good, or ended, and still listed

const streams = new Set();
let paused = false;
let held = []; // rows that came while paused
let total = 0;

// ---- rows ----

// A word is not broken in the middle, unless it is so long that it would push the data out of sight.
const wordClass = text => (text.length <= WORD_MAX ? 'tight' : 'long');

function makeRow(stream, event) {
    const own = event.lastEventId !== stream.lastId;
    const place = own ? readId(event.lastEventId) : null;
    stream.lastId = event.lastEventId;
    const channel = stream.channels.length === 1 ? stream.channels[0] : stream.names.get(place?.channel) ?? '–';
    const cells = [
        ['Time', shortTime(), 'tight'],
        ['Channel', channel, wordClass(channel)],
        ['Type', event.kind, wordClass(event.kind)],
        ['Latency', place === null ? '–' : `${Date.now() - place.ms} ms`, 'tight'],
        ['Data', event.data.length > DATA_MAX ? `${event.data.slice(0, DATA_MAX)}… (${event.data.length} characters)` : event.data, 'long'],
        ['Id', own ? event.lastEventId : '–', 'id'],
    ];
    return element('tr', { class: 'fresh' }, ...cells.map(([head, text, kind = '']) => element('td', { 'data-head': head, class: kind }, text)));
}

const matches = row => row.textContent.toLowerCase().includes($('filter').value.toLowerCase());

function addRow(row) {
    row.hidden = !matches(row);
    $('rows').prepend(row);
    if ($('rows').childElementCount > ROWS_MAX)
        $('rows').lastElementChild.remove();
}

function tellRows() {
    const parts = [`${total} ${total === 1 ? 'event' : 'events'}`];
    if (total > ROWS_MAX)
        parts.push(`the newest ${ROWS_MAX} are here`);
    if (paused)
        parts.push(`paused, ${held.length} wait`);
    setText($('rows-note'), parts.join('; '));
}

function onEvent(stream, event) {
    setText(stream.count, `${++stream.events} events`);
    ++total;
    const row = makeRow(stream, event);
    if (!paused) {
        addRow(row);
    } else {
        held.push(row);
        held.splice(0, held.length - ROWS_MAX);
    }
    tellRows();
}

function onPause() {
    paused = !paused;
    $('pause').setAttribute('aria-pressed', paused);
    if (!paused)
        held.splice(0).forEach(addRow);
    tellRows();
}

function onClear() {
    $('rows').replaceChildren();
    held = [];
    total = 0;
    tellRows();
}

// ---- streams ----

function connect(stream, options) {
    clearTimeout(stream.timer);
    stream.source?.close();
    const source = stream.source = openStream(stream.channels, options);
    source.addEventListener('open', () => {
        setState(stream.state, 'live');
        setText(stream.gateway, source.gateway && `by ${source.gateway}${stream.opens++ === 0 ? '' : `, reconnected ${stream.opens - 1}×`}`);
    });
    source.addEventListener('error', () => {
        const closed = source.readyState === source.constructor.CLOSED;
        const state = source.ended ? 'ended' : closed ? 'closed' : 'reconnecting';
        setState(stream.state, state, source.ended ? 'ended' : `${state}: ${source.why}`);
    });
    source.addEventListener('*', event => onEvent(stream, event));
}

function onBreak(stream) {
    const { lastEventId } = stream.source;
    stream.source.close();
    setState(stream.state, 'broken', `broken by you, back in ${BREAK_MS / 1000} seconds`);
    clearTimeout(stream.timer);
    stream.timer = setTimeout(() => connect(stream, { lastEventId }), BREAK_MS);
}

function remove(stream) {
    clearTimeout(stream.timer);
    stream.source.close();
    stream.item.remove();
    streams.delete(stream);
}

function onClose(stream) {
    remove(stream);
    $('open-form').elements.channels.focus();
}

function open(channels, options) {
    const name = channels.join(' ');
    const stream = { channels, names: new Map(channels.map(one => [channelHash(one), one])), events: 0, opens: 0, lastId: options.lastEventId };
    stream.state = element('span', { class: 'state', 'data-state': 'connecting' }, 'connecting');
    stream.gateway = element('span', { class: 'muted' });
    stream.count = element('span', { class: 'muted' }, '0 events');
    stream.item = element('li', element('code', name), stream.state, stream.gateway, stream.count,
        element('button', { type: 'button', 'aria-label': `Break the stream of ${name}`, onclick: () => onBreak(stream) }, 'Break'),
        element('button', { type: 'button', 'aria-label': `Close the stream of ${name}`, onclick: () => onClose(stream) }, 'Close'));
    streams.add(stream);
    $('streams').append(stream.item);
    connect(stream, options);
}

function onSubmit(event, max) {
    event.preventDefault();
    const { channels, last, after } = Object.fromEntries(new FormData(event.target));
    const names = [...new Set(channels.split(/[\s]+/).filter(name => name !== ''))];
    const over = [...streams].filter(({ state }) => ['closed', 'ended'].includes(state.dataset.state));
    if (streams.size - over.length >= max)
        return setText($('open-result'), `Close a stream first: ${max} may be open in this console.`);
    if (names.length === 0)
        return setText($('open-result'), 'Name at least one channel.');
    setText($('open-result'), '');
    over.slice(0, -OVER_MAX).forEach(remove);
    open(names, { lastEventId: after.trim(), last: Number(last) });
}

export function startConsole({ streamsMax }) {
    $('open-form').addEventListener('submit', event => onSubmit(event, streamsMax));
    $('pause').addEventListener('click', onPause);
    $('clear').addEventListener('click', onClear);
    $('filter').addEventListener('input', () => [...$('rows').children].forEach(row => { row.hidden = !matches(row); }));
    onToken(() => streams.forEach(stream => connect(stream, { lastEventId: stream.source.lastEventId })));
}
