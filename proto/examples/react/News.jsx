import { useEvents } from './useEvents.js';

export function News({ url }) {
    const { events, open } = useEvents(url, { types: ['greeting'] });
    return (
        <section>
            <p>{open ? 'live' : 'reconnecting …'}</p>
            <ul>{events.map(({ id, type, data }, i) => <li key={id || i}>{`${type}: ${data}`}</li>)}</ul>
        </section>
    );
}
