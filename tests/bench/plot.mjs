// The results as an SVG: bars grouped by load, each group to its own scale, a line from the minimum to the maximum on each bar. Its colours follow the reader's light or dark mode.
import { NAMES, TITLES } from './plan.mjs';
import { number } from './report.mjs';
import { spread } from './targets.mjs';

const WIDTH = 900, LEFT = 250, RIGHT = 90, BAR = 15, GAP = 4, GROUP = 26, PANEL = 34, MARGIN = 16;

const PANELS = [
    { title: 'CPU for each delivery, µs', metric: 'cpu_us', loads: ['fan-1000', 'fan-10000', 'many', 'two-workers'] },
    { title: 'Latency p99, ms (logarithmic)', metric: 'p99_ms', loads: ['fan-10000', 'few'], logarithmic: true },
    { title: 'PSS of an idle stream, KB', metric: 'pss_kb', loads: ['idle'] },
    { title: 'Most deliveries a second with p99 ≤ 1 s, 10,000 streams', metric: 'most', loads: ['capacity'] },
];

const STYLE = `
    text { font: 12px system-ui, sans-serif; fill: #1f2328 }
    .title { font-size: 15px; font-weight: 600 }
    .load { fill: #59636e; font-style: italic }
    .ours { fill: #0a7f5a } .floor { fill: #9aa4af } .peer { fill: #5b7fc7 }
    .spread { stroke: #1f2328; stroke-width: 1.2 }
    .paper { fill: #ffffff }
    @media (prefers-color-scheme: dark) {
        text { fill: #e6edf3 }
        .load { fill: #9198a1 }
        .ours { fill: #2fbf8f } .floor { fill: #6e7681 } .peer { fill: #6f93dd }
        .spread { stroke: #e6edf3 }
        .paper { fill: #0d1117 }
    }`;

const escape = text => text.replace(/[*`]/g, '').replace(/[&<>]/g, c => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[c]);
const kind = system => (system.startsWith('floor') ? 'floor' : system.startsWith('gateway') ? 'ours' : 'peer');
const text = (x, y, content, attributes = '') => `<text x="${x}" y="${y}"${attributes}>${escape(content)}</text>`;

// [{title, bars: [{system, seen}]}] of the loads that were measured.
function groups(panel, samples) {
    return panel.loads.map(load => ({
        title: TITLES[load],
        bars: Object.keys(NAMES).map(system => ({ system, seen: spread((samples[load]?.[system] ?? []).map(sample => sample?.[panel.metric])) }))
            .filter(({ seen }) => seen !== null),
    })).filter(group => group.bars.length !== 0);
}

function scale(panel, seen) {
    const room = WIDTH - LEFT - RIGHT;
    const top = Math.max(...seen.map(({ max }) => max), 1e-9);
    if (!panel.logarithmic)
        return value => Math.max(0, value) / top * room;
    const bottom = Math.min(...seen.map(({ min }) => min).filter(value => value > 0)) / 2;
    return value => (value <= bottom ? 0 : Math.log(value / bottom) / Math.log(top / bottom) * room);
}

function bar({ system, seen }, y, width) {
    const x = value => (LEFT + width(value)).toFixed(1);
    const middle = y + BAR / 2;
    return [
        text(LEFT - 8, y + 12, NAMES[system], ' text-anchor="end"'),
        `<rect class="${kind(system)}" x="${LEFT}" y="${y}" width="${Math.max(1, width(seen.median)).toFixed(1)}" height="${BAR}" rx="2"/>`,
        `<line class="spread" x1="${x(seen.min)}" x2="${x(seen.max)}" y1="${middle}" y2="${middle}"/>`,
        text((Number(x(seen.max)) + 6).toFixed(1), y + 12, number(seen.median)),
    ];
}

export function plot({ samples, date, machine }) {
    const lines = [];
    let y = MARGIN;
    for (const panel of PANELS) {
        const shown = groups(panel, samples);
        if (shown.length === 0)
            continue;
        lines.push(text(MARGIN, y += 18, panel.title, ' class="title"'));
        y += 6;
        for (const group of shown) {
            const width = scale(panel, group.bars.map(({ seen }) => seen));
            if (group.title)
                lines.push(text(LEFT, y += 16, group.title, ' class="load"'));
            y += 6;
            for (const each of group.bars) {
                lines.push(...bar(each, y, width));
                y += BAR + GAP;
            }
            y += GROUP - 18;
        }
        y += PANEL - 18;
    }
    lines.push(text(MARGIN, y += 14, `${date}, ${machine}. Bars: medians, each group to its own scale; lines: minimum to maximum.`, ' class="load"'));
    y += MARGIN;
    return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" width="${WIDTH}" height="${y}" role="img">\n<style>${STYLE}\n</style>\n` +
        `<rect class="paper" width="${WIDTH}" height="${y}"/>\n${lines.join('\n')}\n</svg>\n`;
}
