// A job that tells how far it is: node job.mjs CHANNEL [STEPS]. Its last event, 100, ends the channel. Node 18, no library.
import { setTimeout as sleep } from 'node:timers/promises';
import { publish } from './publish.mjs';

const [channel, steps = '20'] = process.argv.slice(2);
for (let step = 1; step <= Number(steps); ++step) {
    await sleep(100); // the work
    const percent = Math.floor(100 * step / Number(steps));
    await publish(channel, `step-${step}`, `${percent}`, { end: percent === 100 });
}
