// The application of a chat. The answers go from the worker through the gateway to the pages, not through here. Its origin must be in the gateway's CORS_ORIGINS.
//     npm install esbuild react react-dom ai @ai-sdk/react && npx esbuild page.jsx --bundle --format=esm --jsx=automatic --outfile=page.js && node server.mjs [PORT]
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { ask, state } from './chats.mjs';

const PAGE = '<!doctype html><meta charset="utf-8"><title>Chat</title><link rel="icon" href="data:,"><div id="root"></div><script type="module" src="/page.js"></script>';

async function handle(request, response) {
    const send = (status, type, body, headers = {}) => response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store', ...headers }).end(body);
    const { pathname } = new URL(request.url, 'http://x');
    const chat = /^\/api\/chat\/(\w{1,40})$/.exec(pathname)?.[1];
    if (chat && request.method === 'POST') {
        let body = '';
        for await (const piece of request.setEncoding('utf8'))
            body += piece;
        return send(303, 'text/plain', '', { location: ask(chat, JSON.parse(body).messages.at(-1)) }); // the browser follows it with a GET
    }
    if (chat)
        return send(200, 'application/json', JSON.stringify(await state(chat)));
    if (pathname === '/page.js')
        return send(200, 'text/javascript', readFileSync(new URL('page.js', import.meta.url)));
    send(pathname === '/' ? 200 : 404, 'text/html', PAGE);
}

const server = createServer((request, response) => handle(request, response).catch(error => response.writeHead(502).end(error.message))); // the gateway is away
server.listen(Number(process.argv[2] ?? 3000), 'localhost', () => console.log(`http://localhost:${server.address().port}/?chat=1`));
