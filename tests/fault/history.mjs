// Events put into channels straight through Redis, as fast as it takes them.

// FCALL sse_publish; options as [name, value, …]. Resolves with {id, position, outcome}.
export async function publish(redis, channel, data, ...options) {
    const [id, position, outcome] = await redis.command(['FCALL', 'sse_publish', '1', `sse:${channel}`, data, ...options.map(String)]);
    return { id, position, outcome };
}

// Numbered events for the C client, on channels PREFIX-0 … : numbers from+1 … to on each. Resolves with the last id of each channel.
export async function fill(redis, { channels = 1, prefix = 'fault', from = 0, to, pad = 64, options = [] }) {
    const text = 'x'.repeat(pad);
    const last = [];
    for (let n = from + 1; n <= to; ++n)
        for (let k = 0; k < channels; ++k) {
            last[k] = publish(redis, `${prefix}-${k}`, `${k} ${n} ${text}\n${n}`, ...options);
            if ((n * channels + k) % 500 === 0)
                await last[k];
        }
    return Promise.all(last);
}

// How often Redis was asked for a range of a stream since CONFIG RESETSTAT.
export async function reads(redis) {
    const text = await redis.command(['INFO', 'commandstats']);
    return [...text.matchAll(/cmdstat_x(?:rev)?range:calls=(\d+)/g)].reduce((sum, [, calls]) => sum + Number(calls), 0);
}
