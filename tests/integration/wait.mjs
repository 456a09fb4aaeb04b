// Waiting on conditions, never on time. Sanitizer builds run several times slower, so every limit is scaled.
import { setTimeout as sleep } from 'node:timers/promises';

export const SCALE = Number(process.env.TEST_TIME_SCALE || 1);

// Polls `probe` until it is truthy and returns that; throws, naming `what`, after `ms` (scaled). `detail` may add to the message.
export async function until(what, probe, ms = 8000, detail = () => '') {
    const end = performance.now() + ms * SCALE;
    for (;;) {
        const value = await probe();
        if (value)
            return value;
        if (performance.now() > end)
            throw new Error(`not within ${ms * SCALE} ms: ${what}${detail()}`);
        await sleep(10);
    }
}

// The promise's value, or an error naming `what` after `ms` (scaled).
export async function within(what, promise, ms = 8000) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`not within ${ms * SCALE} ms: ${what}`)), ms * SCALE);
    });
    try {
        return await Promise.race([promise, late]);
    } finally {
        clearTimeout(timer);
    }
}

// For proving that something does not happen: there is no condition to wait for, so the time is spelt out.
export const quiet = ms => sleep(ms * SCALE);
