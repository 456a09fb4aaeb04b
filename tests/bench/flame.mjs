// A flame graph from a perf recording:  node tests/bench/flame.mjs perf.data out.svg "title"
//
// Width is the share of samples; the callers are below, as in Brendan Gregg's graphs. The folded stacks come from `perf script`, and the drawing is plain SVG that
// needs no script: a title element tells each box's share where the pointer is.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const WIDTH = 1200, ROW = 16, SMALLEST = 0.1, LETTER = 6.2;

// {name, samples, children} of all stacks, the root first.
export function fold(script) {
    const root = { name: 'all', samples: 0, children: new Map() };
    for (const block of script.split('\n\n')) {
        const frames = block.split('\n').filter(line => /^\s+[0-9a-f]+ /.test(line)).map(frameName).reverse();
        if (frames.length === 0)
            continue;
        let node = root;
        ++root.samples;
        for (const name of frames) {
            if (!node.children.has(name))
                node.children.set(name, { name, samples: 0, children: new Map() });
            node = node.children.get(name);
            ++node.samples;
        }
    }
    return root;
}

function frameName(line) {
    const [, symbol, object] = /^\s+[0-9a-f]+ (.*?)(?: \(([^()]*)\))?$/.exec(line);
    const name = symbol.replace(/\+0x[0-9a-f]+$/, '');
    return name === '[unknown]' ? `[${(object ?? 'unknown').split('/').pop()}]` : name;
}

// A colour for where a function lives, so that the kernel's part shows at a glance.
function colour(name) {
    if (/^(hub_|fanout_|subscriber_|transport_|wire_|plain_|tls_|feed_|source_|batch_|outbox_|frame_|serve|run|on_|h2_)/.test(name))
        return '#e8590c';
    if (/^(h2o_|\[libh2o)/.test(name))
        return '#f2b134';
    if (/^(SSL_|EVP_|\[lib(ssl|crypto))/.test(name))
        return '#5c940d';
    return /^(_*send|epoll_wait|_*libc|\[libc|_*GI_|malloc|free|cfree|clone|start_thread|main)/.test(name) ? '#f7d794' : '#74a0c9';
}

const escape = text => text.replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`);

// Some boxes to a line of the file.
const lines = (rows, each = 10) => Array.from({ length: Math.ceil(rows.length / each) }, (_, i) => rows.slice(i * each, (i + 1) * each).join(''));

export function draw(root, title) {
    const boxes = [];
    let depth = 0;
    const place = (node, x, level) => {
        const width = node.samples / root.samples * WIDTH;
        if (width < SMALLEST)
            return;
        depth = Math.max(depth, level);
        boxes.push({ node, x, width, level });
        let at = x;
        for (const child of [...node.children.values()].sort((a, b) => a.name < b.name ? -1 : 1)) {
            place(child, at, level + 1);
            at += child.samples / root.samples * WIDTH;
        }
    };
    place(root, 0, 0);
    const height = (depth + 1) * ROW + 30;
    const rows = boxes.map(({ node, x, width, level }) => {
        const y = height - (level + 1) * ROW - 2, share = (node.samples / root.samples * 100).toFixed(1);
        const letters = Math.floor(width / LETTER) - 1;
        const text = letters < 3 ? '' : `<text x="${(x + 2).toFixed(1)}" y="${y + 11}">${escape(node.name.slice(0, letters))}</text>`;
        return `<g><title>${escape(node.name)}: ${share} %</title><rect x="${x.toFixed(1)}" y="${y}" width="${Math.max(width - 0.3, 0.1).toFixed(1)}" ` +
            `height="${ROW - 1}" fill="${colour(node.name)}"/>${text}</g>`;
    });
    return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="monospace" font-size="10">\n` +
        `<rect width="${WIDTH}" height="${height}" fill="#fff"/><text x="6" y="16" font-size="13">${escape(title)} (${root.samples} samples; ` +
        `orange: ours, yellow: libh2o and libc, green: OpenSSL, blue: kernel)</text>\n${lines(rows).join('\n')}\n</svg>\n`;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
    const [data, out, title = 'fan-out'] = process.argv.slice(2);
    const script = execFileSync('perf', ['script', '-i', data, '-F', 'comm,ip,sym,dso'], { maxBuffer: 1 << 30, stdio: ['ignore', 'pipe', 'ignore'] });
    writeFileSync(out, draw(fold(script.toString()), title));
}
