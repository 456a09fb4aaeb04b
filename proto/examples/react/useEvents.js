import { useEffect, useState } from 'react';

// The newest `keep` events of a stream as [{ type, data, id }], and whether it is open now:
//     const { events, open } = useEvents('https://events.example/channels/news', { types: ['order'] });
// `types`: those wanted beside `message` and `gap`. Several channels of a page belong into one stream: /subscribe?channel=a&channel=b
export function useEvents(url, { types = [], keep = 100 } = {}) {
    const [events, setEvents] = useState([]);
    const [open, setOpen] = useState(false);
    const names = ['message', 'gap', ...types].join('\n'); // a text, so that a new array of the same types changes nothing

    useEffect(() => {
        const address = new URL(url, location);
        let source, timer;
        const take = ({ type, data, lastEventId }) => {
            address.searchParams.set('last_event_id', lastEventId);
            setEvents(old => [...old, { type, data, id: lastEventId }].slice(-keep));
        };
        const connect = () => {
            source = new EventSource(address);
            names.split('\n').forEach(name => source.addEventListener(name, take));
            source.onopen = () => setOpen(true);
            source.onerror = () => {
                setOpen(false);
                if (source.readyState === EventSource.CLOSED) // an answer such as 503 or 429: the browser gives up
                    timer = setTimeout(connect, 5000);
            }; // else it reconnects, with its last id, by itself
        };
        connect();
        return () => {
            clearTimeout(timer);
            source.close();
            setEvents([]);
        };
    }, [url, names, keep]);
    return { events, open };
}
