// What the kernel accounts to processes: CPU time and memory.
import { readFileSync, readdirSync } from 'node:fs';

const TICK_NS = 1e9 / 100; // USER_HZ

function read(path) {
    try {
        return readFileSync(path, 'utf8');
    } catch {
        return null; // it ended meanwhile
    }
}

const tasks = pid => {
    try {
        return readdirSync(`/proc/${pid}/task`);
    } catch {
        return [];
    }
};

// [pid, and every process that descends from it]
export function family(pid) {
    const children = new Map();
    for (const name of readdirSync('/proc').filter(entry => /^\d+$/.test(entry))) {
        const parent = Number(read(`/proc/${name}/stat`)?.replace(/^.*\) /s, '').split(' ')[1]);
        children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    }
    const all = [pid];
    for (let i = 0; i < all.length; ++i)
        all.push(...children.get(all[i]) ?? []);
    return all;
}

// Nanoseconds of one process. schedstat is exact; stat, in ticks of 10 ms, is there in every kernel.
function cpuOf(pid) {
    let sum = 0;
    for (const task of tasks(pid)) {
        const exact = read(`/proc/${pid}/task/${task}/schedstat`);
        if (exact === null) {
            const stat = read(`/proc/${pid}/task/${task}/stat`);
            if (stat === null)
                continue;
            const fields = stat.replace(/^.*\) /s, '').split(' ');
            sum += (Number(fields[11]) + Number(fields[12])) * TICK_NS;
        } else {
            sum += Number(exact.split(' ')[0]);
        }
    }
    return sum;
}

// CPU time of the processes so far, ns: user and kernel, all threads that still run.
export const cpuNs = pids => pids.reduce((sum, pid) => sum + cpuOf(pid), 0);

// Proportional set size of the processes, KB.
export const pssKb = pids => pids.reduce((sum, pid) => sum + Number(/^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? '')?.[1] ?? 0), 0);

// Jiffies of all processors so far: [what the host gave to other machines, all].
const jiffies = () => {
    const fields = read('/proc/stat').split('\n')[0].trim().split(/\s+/).slice(1, 9).map(Number);
    return [fields[7], fields.reduce((sum, n) => sum + n)];
};

// `body`'s sample, and in `stolen` the share of the processors' time that this machine, a virtual one, did not get meanwhile.
export async function withStolen(body) {
    const [stolen, all] = jiffies();
    const sample = await body();
    const [stolenNow, allNow] = jiffies();
    return { ...sample, stolen: (stolenNow - stolen) / Math.max(1, allNow - all) };
}
