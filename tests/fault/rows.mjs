// The figures of each fault: one line of JSON in the file FAULT_ROWS, and a line in the test's output.
import { appendFileSync } from 'node:fs';

export const COLUMNS = ['clients', 'events', 'lost', 'duplicated', 'out of order', 'gaps', 'reconnects', 'seconds'];

export function row(t, fault, figures) {
    const values = { fault, ...figures };
    t.diagnostic(`${fault}: ${Object.entries(figures).filter(([name]) => name !== 'table').map(([name, value]) => `${name} ${value}`).join(', ')}`);
    if (process.env.FAULT_ROWS)
        appendFileSync(process.env.FAULT_ROWS, `${JSON.stringify(values)}\n`);
}

// Seconds since performance.now() was `start`, as precise as makes sense.
export function since(start) {
    const seconds = (performance.now() - start) / 1000;
    return Number(seconds.toFixed(seconds < 1 ? 2 : 1));
}

// From a client's report.
export const figures = (report, more = {}) => ({
    clients: report.streams, events: report.events, lost: report.lost, duplicated: report.duplicated, 'out of order': report.out_of_order,
    gaps: report.gaps, reconnects: report.reconnects, ...more });
