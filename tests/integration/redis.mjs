// A private redis-server on a unix socket in its own folder, without persistence, and a small RESP2 client for it.
import { execFile } from 'node:child_process';
import { createConnection } from 'node:net';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Proc } from './process.mjs';
import { until } from './wait.mjs';

export class RedisError extends Error {}

const CONTRACT = join(dirname(fileURLToPath(import.meta.url)), '../../proto/README.md');
const PASSWORD = randomBytes(12).toString('hex'); // of all servers of a test, as replicas of each other have it

// {user: [rules]} as proto/README.md tells people to make them, so that every test shows them to be enough.
export function documentedUsers(text = readFileSync(CONTRACT, 'utf8')) {
    const users = {};
    for (const [, user, rules] of text.replace(/\\\n\s*/g, '').matchAll(/^redis-cli ACL SETUSER (\w+) on '>secret' (.+)$/gm))
        users[user] = rules.match(/'[^']*'|\S+/g).map(rule => rule.replace(/^'(.*)'$/, '$1').replace(/\\(.)/g, '$1'));
    for (const user of ['author', 'gateway', 'publisher'])
        if (!users[user])
            throw new Error(`${CONTRACT} has no ACL of the user ${user}`);
    return users;
}

// Reads one reply at `at` in `buf`: [value, next], or null when it is not complete. Texts come as Buffers.
function readReply(buf, at) {
    const eol = buf.indexOf('\r\n', at);
    if (eol < 0)
        return null;
    const line = buf.toString('utf8', at + 1, eol);
    const next = eol + 2;
    switch (String.fromCharCode(buf[at])) {
    case '+':
        return [Buffer.from(line), next];
    case '-':
        return [new RedisError(line), next];
    case ':':
        return [Number(line), next];
    case '$': {
        const n = Number(line);
        if (n < 0)
            return [null, next];
        return buf.length < next + n + 2 ? null : [buf.subarray(next, next + n), next + n + 2];
    }
    case '*': {
        const items = [];
        let pos = next;
        for (let i = 0; i < Number(line); ++i) {
            const item = readReply(buf, pos);
            if (item === null)
                return null;
            items.push(item[0]);
            pos = item[1];
        }
        return [items, pos];
    }
    default:
        throw new Error(`not RESP: ${line}`);
    }
}

const texts = value => (Buffer.isBuffer(value) ? value.toString() : Array.isArray(value) ? value.map(texts) : value);

export class RespClient {
    #buf = Buffer.alloc(0);
    #waiting = [];

    constructor(path) {
        this.socket = createConnection(path);
        this.socket.on('data', data => {
            this.#buf = Buffer.concat([this.#buf, data]);
            for (let reply; this.#buf.length !== 0 && (reply = readReply(this.#buf, 0)) !== null;) {
                this.#buf = this.#buf.subarray(reply[1]);
                this.#waiting.shift()?.(reply[0]);
            }
        });
        const fail = error => {
            this.closed = true;
            for (const done of this.#waiting.splice(0))
                done(error ?? new Error('redis: connection closed'));
        };
        this.socket.on('error', fail);
        this.socket.on('close', () => fail());
    }

    // argv of strings and Buffers; resolves with the parsed reply (texts as strings unless `raw`), rejects with RedisError for "-…".
    async command(argv, { raw = false } = {}) {
        const parts = [Buffer.from(`*${argv.length}\r\n`)];
        for (const arg of argv.map(a => (Buffer.isBuffer(a) ? a : Buffer.from(String(a)))))
            parts.push(Buffer.from(`$${arg.length}\r\n`), arg, Buffer.from('\r\n'));
        const value = await new Promise(resolve => {
            if (this.closed)
                return resolve(new Error('redis: connection closed'));
            this.#waiting.push(resolve);
            this.socket.write(Buffer.concat(parts));
        });
        if (value instanceof Error)
            throw value;
        return raw ? value : texts(value);
    }

    close() {
        this.socket.destroy();
    }
}

export class Redis extends Proc {
    #client = null;

    // args: settings of redis-server by name, e.g. {requirepass: 'x', maxmemory: '64mb', bin: '/other/redis-server'}. The test itself is the default user, who may
    // do all; the programs get the users of the contract (password: requirepass when there is one).
    constructor(folder, { bin = 'redis-server', ...args } = {}) {
        mkdirSync(folder, { recursive: true });
        const socket = join(folder, 'redis.sock');
        const settings = { port: 0, unixsocket: socket, dir: folder, save: '', appendonly: 'no', daemonize: 'no', ...args };
        const users = join(folder, 'users.conf');
        super('redis', [bin, users, ...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)])]);
        this.socket = socket;
        this.password = args.requirepass ?? null;
        this.userPassword = args.requirepass ?? PASSWORD;
        writeFileSync(users, Object.entries(documentedUsers()).map(([user, rules]) =>
            `user ${user} on >${this.userPassword} ${rules.join(' ')}\n`).join(''), { mode: 0o600 });
    }

    // REDIS_URL for one of the contract's users; `place` is where Redis is reached, without a user: "redis://localhost:6390".
    urlFor(user, place = `unix://${this.socket}`) {
        return place.replace('://', `://${user}:${encodeURIComponent(this.userPassword)}@`);
    }

    async start() {
        this.spawn();
        await this.wait('redis answers', async () => {
            try {
                return (await this.command(['PING'])) === 'PONG';
            } catch (error) {
                if (/NOAUTH|WRONGPASS/.test(error.message))
                    throw error;
                return false;
            }
        });
    }

    async kill(signal = 'SIGKILL', ms) {
        this.#client?.close();
        this.#client = null;
        return super.kill(signal, ms);
    }

    async command(argv, options) {
        if (this.#client === null || this.#client.closed) {
            this.#client = new RespClient(this.socket);
            this.#client.socket.unref();
            if (this.password !== null)
                await this.#client.command(['AUTH', this.password]);
        }
        return this.#client.command(argv, options);
    }

    // redis-cli's own output for these arguments, as a person would type them.
    cli(...args) {
        const auth = this.password === null ? [] : ['--no-auth-warning', '-a', this.password];
        return new Promise((resolve, reject) => {
            execFile('redis-cli', ['-s', this.socket, ...auth, ...args.map(String)], { maxBuffer: 64 << 20 },
                (error, stdout, stderr) => (error ? reject(new Error(`redis-cli: ${stderr || error.message}`)) : resolve(stdout)));
        });
    }

    publish(channel, payload) {
        return this.command(['PUBLISH', `sse:${channel}`, payload]);
    }

    // Waits until `count` connections are subscribed to the channel: what is published from now on reaches them all.
    async subscribed(channel, count = 1) {
        await until(`${count} subscribed to sse:${channel}`,
            async () => (await this.command(['PUBSUB', 'NUMSUB', `sse:${channel}`]))[1] === count);
    }
}
