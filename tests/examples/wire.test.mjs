// The subscribers of proto/examples/ as parsers and as clients, before a server that sends what no gateway does: every form of the format, cut anywhere, and answers that are no stream.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { until } from '../integration/stack.mjs';
import { SCALE } from '../integration/wait.mjs';
import { Example, impatient, lacking, subscribers } from './programs.mjs';

const HEAD = { 'content-type': 'text/event-stream' };

// A server that answers the nth request as `answers[n]` says, the last one for all that follow. `requests`: what came, and when.
async function serve(answers) {
    const requests = [];
    const server = createServer((request, response) => {
        requests.push({ id: request.headers['last-event-id'] ?? new URL(request.url, 'http://x').searchParams.get('last_event_id') ?? '', accept: request.headers.accept, at: performance.now() });
        response.on('error', () => {});
        answers[Math.min(requests.length, answers.length) - 1](response);
    });
    await new Promise(done => server.listen(0, '127.0.0.1', done));
    return { requests, url: `http://127.0.0.1:${server.address().port}/channels/news`, close: () => (server.close(), server.closeAllConnections()) };
}

async function withServer(answers, program, body) {
    const server = await serve(answers);
    const example = new Example(program, [server.url]);
    try {
        await body(server, example);
    } finally {
        await example.kill();
        server.close();
    }
}

const arrives = (server, n, example, ms = 30000) => until(`request ${n} of ${example.name}`, () => server.requests.length >= n, ms, () => `\n${example.tail()}`);

// [bytes, what is printed of it]
const FORMS = [
    ['data: one\n\n', 'message: one\n'],
    [': a comment\n:\n\ndata:no space\n\n', 'message: no space\n'],
    ['data:  two spaces\n\n', 'message:  two spaces\n'],
    [':\n:\ndata: right behind comments\n:\nid: 3\n\n:\n', 'message: right behind comments\n'], // a gateway's keep-alive has no blank line
    ['data: first\ndata: second\ndata\ndata:\n\n', 'message: first\nsecond\n\n\n'],
    ['event: greeting\ndata: typed\n\ndata: untyped again\n\n', 'greeting: typed\nmessage: untyped again\n'],
    ['event: greeting\nid: 7\n\n', ''],
    ['unknown: field\nDATA: not this one\nretry: soon\ndata: a: b\n\n', 'message: a: b\n'],
    ['data: {"ä":"€😀"}\u2028\u0085\n\n', 'message: {"ä":"€😀"}\u2028\u0085\n'],
    ['data: by CR LF\r\ndata: too\r\n\r\n', 'message: by CR LF\ntoo\n'],
];
const LONE_CR = ['data: by CR\rdata: alone\r\r:\n', 'message: by CR\nalone\n'];

const [ONE, TWO] = ['one', 'two'].map((data, i) => `event: message\ndata: ${data}\nid: ${i + 1}\nretry: 100\n\n`);

for (const program of subscribers) {
    const skip = lacking(program);

    test(`${program.file} takes every form of the format, however it is cut, and leaves out what has no end`, { skip }, async () => {
        const forms = program.loneCr ? [...FORMS, LONE_CR] : FORMS;
        const bytes = Buffer.from(forms.map(([text]) => text).join('') + 'retry: 300\nid: 8\ndata: last\n\n');
        const wanted = forms.map(([, text]) => text).join('') + 'message: last\n';
        const whole = response => response.writeHead(200, HEAD).end(Buffer.concat([bytes, Buffer.from('id: 9\ndata: without an end\n')]));
        const cut = async response => {
            response.writeHead(200, HEAD);
            for (let at = 0; at < bytes.length; at += 1 + (at % 5)) {
                response.write(bytes.subarray(at, at + 1 + (at % 5)));
                await new Promise(setImmediate);
            }
        };
        await withServer([whole, cut], program, async (server, example) => {
            await example.printed(wanted + wanted, 30000);
            assert.equal(example.out, wanted + wanted);
            assert.deepEqual(server.requests.map(({ id }) => id), ['', '8']);
            assert.equal(server.requests[0].accept, 'text/event-stream');
        });
    });

    test(`${program.file} comes back after the stream's retry, with the last id that was complete`, { skip }, async () => {
        const answers = [['retry: 300\nid: a\n\nid: b\n'], ['id: c\ndata: x\n\n'], ['id\ndata: no id any more\n\n']].map(([text]) => response => response.writeHead(200, HEAD).end(text));
        await withServer([...answers, response => response.writeHead(200, HEAD).flushHeaders()], program, async (server, example) => {
            await arrives(server, 4, example);
            assert.deepEqual(server.requests.map(({ id }) => id), ['', program.positions === false ? '' : 'a', 'c', '']);
            const pauses = server.requests.slice(1, 4).map(({ at }, i) => at - server.requests[i].at);
            assert.ok(pauses.every(ms => ms >= 290 && ms < 2500 * SCALE), String(pauses)); // each of them would wait 3 s by itself
            assert.equal(example.out, 'message: x\nmessage: no id any more\n');
        });
    });

    test(`${program.file} comes back after 503, 429 and a connection that breaks within the body`, { skip }, async () => {
        const refuse = status => response => response.writeHead(status, { 'content-type': 'application/json' }).end('{"error":"not now"}');
        const broken = response => response.writeHead(200, HEAD).write(ONE, () => setTimeout(() => response.destroy(), 50));
        const good = response => response.writeHead(200, HEAD).write(TWO);
        const answers = program.waits ? [broken, refuse(503), good] : [broken, refuse(503), refuse(429), good];
        await withServer(answers, program, async (server, example) => {
            await example.printed('message: one\nmessage: two\n', 30000);
            assert.equal(example.out, 'message: one\nmessage: two\n');
            assert.deepEqual(server.requests.map(({ id }) => id), ['', ...answers.slice(1).map(() => '1')]);
        });
    });

    test(`${program.file} gives a silent connection up`, { skip: skip || (program.silence ? false : `${program.file} leaves this to TCP`) }, async () => {
        const silent = response => response.writeHead(200, HEAD).write(ONE);
        const good = response => response.writeHead(200, HEAD).write(TWO);
        await withServer([silent, good], impatient(program), async (server, example) => {
            await example.printed('message: one\nmessage: two\n', 30000);
            assert.deepEqual(server.requests.map(({ id }) => id), ['', '1']);
            assert.ok(server.requests[1].at - server.requests[0].at >= 1900);
        });
    });
}
