// The live panels: letters, counter, rate and posts, all in one stream, and what a lost connection looks like from here.
import { PAGE_CHANNELS, onToken, openStream } from './access.js';
import { Chart } from './chart.js';
import { $, element, setState, setText, shortTime, shorten } from './dom.js';
import { channelHash, readId } from './ids.js';
import { addPost } from './post.js';

const BROKEN_MS = 8000; // how long "Break my connection" keeps it away
const RETRY_MS = 3000; // after the browser's EventSource has given up
const LATE_MS = 400; // an event that took so much longer than the quickest one was waiting for us
const RESUMES_MAX = 5;
const SEEN_MAX = 200;

const names = new Map(PAGE_CHANNELS.map(name => [channelHash(name), name]));
const letters = [];
const rates = new Chart($('rate-chart'), { name: 'USD in EUR' });

let source = null;
let lastId = ''; // what a new connection goes on after
let timer = null; // until a closed one is opened again
let away = null; // {since, after, missed}: from a lost connection until the first live event
let reconnects = 0;
const seen = new Set(); // the newest ids
let quickest = Infinity; // of the times from an id to here: what of them is the difference of the clocks

// ---- what comes ----

// Anybody may publish on these channels: what does not look as expected is shown as the text it is.
function parse(data) {
    try {
        return JSON.parse(data) ?? {};
    } catch {
        return {};
    }
}

// Each shows an event of its channel, and returns it in a few words.
const show = {
    letters(data) {
        const letter = shorten(String(parse(data).msg ?? data), 20);
        letters.push(letter);
        letters.splice(0, letters.length - 40);
        setText($('letter'), letter);
        setText($('letters'), [...letters].reverse().join(''));
        return `letter ${letter}`;
    },
    counter(data) {
        const count = shorten(data, 20);
        setText($('counter'), count);
        return `counter ${count}`;
    },
    usd_eur(data) {
        const rate = shorten(String(parse(data).rate ?? data), 20);
        setText($('rate'), rate);
        if (Number.isFinite(Number(rate)) && rate.trim() !== '')
            rates.push(Number(rate));
        return `rate ${rate}`;
    },
    post(data, ms, type) {
        addPost(data, ms, type);
        return `post ${shorten(data, 40)}`;
    },
};

// A stream of several channels does not say which one an event came from; the ids of the bus do. What has none of its own was published to
// `post` by PUBLISH or under an id of its author: the others have no such events.
function onMessage(event) {
    const type = event.kind ?? event.type;
    const own = event.lastEventId !== lastId;
    if (own && isTwin(event.lastEventId))
        return;
    const place = own ? readId(event.lastEventId) : null;
    const channel = names.get(place?.channel) ?? 'post';
    const latency = place === null ? null : Date.now() - place.ms;
    lastId = event.lastEventId;
    if (latency !== null)
        quickest = Math.min(quickest, latency);
    const late = latency !== null && latency - quickest > LATE_MS;
    showPlace(latency, late);
    noteResumed(show[channel](event.data, place?.ms, type), late);
}

// After a reconnect, a stream of several channels may repeat events of the millisecond where it went on.
function isTwin(id) {
    const twin = seen.has(id);
    seen.add(id);
    if (seen.size > SEEN_MAX)
        seen.delete(seen.values().next().value);
    return twin;
}

function showPlace(latency, late) {
    setText($('live-id'), lastId || '–');
    if (latency !== null && !late)
        setText($('live-latency'), `${latency} ms`);
}

function onGap(event) {
    lastId = event.lastEventId;
    addResume(`The history of ${shorten(String(parse(event.data).channel ?? 'a channel'))} does not reach back to where this page was: some of it is lost.`);
}

const onAny = event => ((event.kind ?? event.type) === 'gap' ? onGap : onMessage)(event);

// ---- losing the connection and coming back ----

function lose() {
    away ??= { since: Date.now(), after: lastId, missed: [], back: null };
}

function noteResumed(what, late) {
    if (away?.back && late) {
        away.missed.push(what);
        return;
    }
    if (away?.back)
        finishResume();
}

// Called by the first live event, and a while after the connection is back when nothing happens.
function finishResume() {
    const { since, back, missed, after } = away;
    away = null;
    const length = ((back - since) / 1000).toFixed(1);
    const what = missed.length === 0 ? 'nothing happened meanwhile' :
        `${missed.length} ${missed.length === 1 ? 'event was' : 'events were'} missed, and came when it was back: ${shorten(missed.join(', '), 300)}`;
    addResume(`away for ${length} s after ${after === '' ? 'no event' : after.slice(0, 13)}…: ${what}.`);
}

function addResume(text) {
    $('resumes').hidden = false;
    const list = $('resume-list');
    list.prepend(element('li', element('time', `${shortTime()} `), text));
    while (list.childElementCount > RESUMES_MAX)
        list.lastElementChild.remove();
}

function onOpen() {
    setState($('live-state'), 'live');
    setText($('live-gateway'), source.gateway || (source instanceof EventSource ? 'EventSource does not tell' : '–'));
    if (source.gateway)
        setText($('node'), source.gateway);
    if (away === null)
        return;
    setText($('live-reconnects'), ++reconnects);
    const mine = away;
    away.back = Date.now();
    setTimeout(() => away === mine && finishResume(), 3000);
}

function onError() {
    lose();
    if (source.readyState !== source.constructor.CLOSED)
        return setState($('live-state'), 'reconnecting', source.why ? `reconnecting: ${source.why}` : 'reconnecting');
    if (source instanceof EventSource) {
        setState($('live-state'), 'reconnecting', 'reconnecting: EventSource has given up, the page tries again');
        timer = setTimeout(open, RETRY_MS);
    } else {
        setState($('live-state'), 'closed', `closed: ${source.why}`);
    }
}

function open() {
    clearTimeout(timer);
    source?.close();
    setText($('break'), 'Break my connection');
    setState($('live-state'), away === null ? 'connecting' : 'reconnecting');
    source = openStream(PAGE_CHANNELS, { lastEventId: lastId, last: 40, native: $('reader').value === 'EventSource' });
    source.addEventListener('open', onOpen);
    // The browser's EventSource tells an event of type `error` by its class alone, and hears only the types that are named.
    source.addEventListener('error', event => (event instanceof MessageEvent ? onMessage(event) : onError()));
    source.addEventListener(source instanceof EventSource ? 'message' : '*', onAny);
    if (source instanceof EventSource)
        source.addEventListener('gap', onAny);
}

function onBreak() {
    if ($('live-state').dataset.state === 'broken')
        return open();
    source.close();
    lose();
    setState($('live-state'), 'broken', `broken by you, back in ${BROKEN_MS / 1000} seconds`);
    setText($('break'), 'Reconnect now');
    clearTimeout(timer);
    timer = setTimeout(open, BROKEN_MS);
}

export function startLive() {
    $('break').addEventListener('click', onBreak);
    $('reader').addEventListener('change', open);
    onToken(open);
    open();
}
