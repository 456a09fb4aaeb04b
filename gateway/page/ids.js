// What an event's id tells (proto/README.md, "Event ids"): the bus makes ids that hold the event's position and a hash of its channel.
// For programs an id is opaque; this page shows how long an event took, and which channel of a stream it came from.

function hash(start, text) {
    let h = start;
    for (const byte of new TextEncoder().encode(text))
        h = (h * 1664525 + byte) % 2 ** 32; // stays below 2^53
    return h;
}

export const channelHash = name => hash(1013904223, name);

// {ms, channel}: when it was published, by Redis's clock, and channelHash() of its channel. null for an author's own id.
export function readId(id) {
    const parts = /^([0-9a-f]{8})-([0-9a-f]{4})-4([0-9a-f]{3})-8([0-9a-f]{3})-([0-9a-f]{4})([0-9a-f]{8})$/.exec(id);
    if (parts === null)
        return null;
    const [ms, sequence, check, channel] = [parts[1] + parts[2], parts[3] + parts[4], parts[5], parts[6]].map(digits => parseInt(digits, 16));
    const h = hash(channel, `${ms}-${sequence}`);
    return ((h >>> 16) ^ (h & 0xffff)) === check ? { ms, channel } : null;
}
