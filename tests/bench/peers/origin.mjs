// Pushpin's origin: tells it to hold each stream on the channel that the path names.
//
//     node origin.mjs      prints {"port":…}
import { createServer } from 'node:http';

const server = createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'grip-hold': 'stream', 'grip-channel': request.url.slice('/sub/'.length) });
    response.end();
});
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => console.log(JSON.stringify({ port: server.address().port })));
process.on('SIGTERM', () => process.exit(0));
