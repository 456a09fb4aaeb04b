// Publishes a text through Redis: npm install redis; REDIS_URL=redis://… node publish_redis.mjs TEXT [CHANNEL]
import { createClient } from 'redis';

const [text, channel = 'news'] = process.argv.slice(2);
const redis = await createClient({ url: process.env.REDIS_URL }).connect();
const [id, position, outcome] = await redis.fCall('sse_publish', { keys: [`sse:${channel}`], arguments: [text, 'event', 'greeting'] });
console.log(id, outcome);
await redis.close();
