// Rewrites a table of tests/results from the rows that a run left:  node table.mjs NAME ROWS FILE
// Where a run fills several tables, a row that is not of the first one names its own: {table: NAME, …}.
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { COLUMNS } from './rows.mjs';

const [name, file, results] = process.argv.slice(2);
const all = readFileSync(file, 'utf8').trim().split('\n').map(line => JSON.parse(line));
const own = all.filter(row => row.table === name);
const rows = (own.length !== 0 ? own : all.filter(row => row.table === undefined)).map(({ table, ...row }) => row);
const [first] = Object.keys(rows[0]);
const others = [...new Set(rows.flatMap(row => Object.keys(row)))].filter(column => column !== first && !COLUMNS.includes(column));
const columns = [...COLUMNS.filter(column => rows.some(row => column in row)), ...others];
const isText = column => rows.some(row => typeof row[column] === 'string');
const cell = value => (typeof value === 'number' ? value.toLocaleString('en') : value ?? '');
const line = cells => `| ${cells.join(' | ')} |`;
const table = [
    `Made on ${new Date().toISOString().slice(0, 10)} on ${cpus().length} cores, ${cpus()[0].model.trim()}, clients and all programs together.`,
    '',
    line([first, ...columns]),
    `|---|${columns.map(column => (isText(column) ? '---|' : '--:|')).join('')}`,
    ...rows.map(row => line([row[first], ...columns.map(column => cell(row[column]))])),
].join('\n');

const text = readFileSync(results, 'utf8');
const begin = `<!-- ${name} -->\n`, end = `\n<!-- /${name} -->`;
const from = text.indexOf(begin), to = text.indexOf(end);
if (from < 0 || to < from)
    throw new Error(`${results} holds no ${begin.trim()} … ${end.trim()}`);
writeFileSync(results, `${text.slice(0, from + begin.length)}\n${table}\n${text.slice(to)}`);
