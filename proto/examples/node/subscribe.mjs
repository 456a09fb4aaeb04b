// Reads a channel and after every break goes on where it was: node subscribe.mjs [URL]. Node 18, no library.
const url = new URL(process.argv[2] ?? 'http://localhost:4043/channels/news');
let [lastId, retryMs] = ['', 3000];

// {type, data} of each event; its id and the retry time are kept for the next connection.
async function* events(body, alive) {
    let [rest, type, data, id] = ['', '', [], lastId];
    for await (const text of body.pipeThrough(new TextDecoderStream())) {
        alive();
        const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
        rest = lines.pop();
        for (const line of lines) {
            const [, field, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
            if (line === '') {
                lastId = id;
                if (data.length > 0) yield { type: type || 'message', data: data.join('\n') };
                [type, data] = ['', []];
            } else if (field === 'event') type = value;
            else if (field === 'data') data.push(value);
            else if (field === 'id' && !value.includes('\0')) id = value;
            else if (field === 'retry' && /^\d+$/.test(value)) retryMs = Number(value);
        }
    }
}

for (;; await new Promise(done => setTimeout(done, retryMs))) {
    const abort = new AbortController();
    const silence = setTimeout(() => abort.abort(), 60_000); // a minute without even a keep-alive: it is dead
    url.searchParams.set('last_event_id', lastId); // a header holds Latin-1 only, an id any text
    const answer = await fetch(url, { headers: { accept: 'text/event-stream' }, signal: abort.signal }).catch(() => null);
    if (answer && !answer.ok && ![429, 502, 503, 504].includes(answer.status)) throw new Error(`${answer.status} ${await answer.text()}`);
    try {
        if (answer?.ok) for await (const { type, data } of events(answer.body, () => silence.refresh())) console.log(`${type}: ${data}`);
    } catch {} // the connection broke
    clearTimeout(silence);
    abort.abort();
}
