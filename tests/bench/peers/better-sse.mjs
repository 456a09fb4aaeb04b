// A Node server as the documentation of better-sse and ioredis suggests one: a better-sse channel for each path /sub/NAME, fed by one Redis connection.
//
//     node better-sse.mjs REDIS_PORT      prints {"port":…}
import { createServer } from 'node:http';
import { createChannel, createSession } from 'better-sse';
import { Redis } from 'ioredis';

const redis = new Redis({ host: '127.0.0.1', port: Number(process.argv[2]) });
const channels = new Map();

redis.on('message', (name, data) => channels.get(name)?.broadcast(data, 'message'));

function channelOf(name) {
    let channel = channels.get(name);
    if (channel === undefined) {
        channel = createChannel();
        channels.set(name, channel);
        channel.on('session-deregistered', () => {
            if (channel.sessionCount === 0 && channels.delete(name))
                redis.unsubscribe(name);
        });
        redis.subscribe(name);
    }
    return channel;
}

// The data goes out as it came, not as a JSON string of it.
const options = { serializer: data => data };

const server = createServer(async (request, response) => {
    const session = await createSession(request, response, options);
    channelOf(request.url.slice('/sub/'.length)).register(session);
});
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => console.log(JSON.stringify({ port: server.address().port })));
process.on('SIGTERM', () => process.exit(0));
