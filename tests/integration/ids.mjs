// Ids as authors may give them (proto/README.md, "An event"): every client must come back with each of them.
export const IDS = ['café', '日本', 'with two  spaces', '"quoted" \'ids\'', '100%', '%41%zz+&=#?', 'a,b;c\\d<e>', '😀 \u0085\u2028', 'é'.repeat(100), 'x'.repeat(200)];
