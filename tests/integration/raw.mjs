// A bare TCP or TLS connection, for requests that no HTTP client would send.
import net from 'node:net';
import tls from 'node:tls';
import { until, within } from './wait.mjs';

export class Raw {
    static async connect(port, { secure = false, alpn, from } = {}) {
        const options = { host: '127.0.0.1', port, localAddress: from, rejectUnauthorized: false, ALPNProtocols: alpn, allowHalfOpen: true };
        const socket = secure ? tls.connect(options) : net.connect(options);
        const raw = new Raw(socket);
        await within(`connection to port ${port}`, new Promise((resolve, reject) => {
            socket.on(secure ? 'secureConnect' : 'connect', resolve);
            socket.on('error', reject);
        }));
        return raw;
    }

    constructor(socket) {
        Object.assign(this, { socket, chunks: [], ended: false });
        socket.on('data', chunk => this.chunks.push(chunk));
        socket.on('error', () => (this.ended = true));
        socket.on('end', () => (this.ended = true));
        socket.on('close', () => (this.ended = true));
    }

    get text() {
        return Buffer.concat(this.chunks).toString('latin1');
    }

    send(text) {
        this.socket.write(text);
        return this;
    }

    // Waits for the head of an answer: {status, headers (lower-case names), rest (text after the head)}.
    async head(ms) {
        await this.wait('a response head', () => this.text.includes('\r\n\r\n'), ms);
        const end = this.text.indexOf('\r\n\r\n');
        const [first, ...lines] = this.text.slice(0, end).split('\r\n');
        const headers = Object.fromEntries(lines.map(line => [line.split(':')[0].toLowerCase(), line.replace(/^[^:]*: */, '')]));
        return { version: first.split(' ')[0], status: Number(first.split(' ')[1]), headers, rest: this.text.slice(end + 4) };
    }

    wait(what, probe, ms) {
        return until(what, () => {
            const value = probe();
            if (!value && this.ended)
                throw new Error(`connection closed; waited for: ${what}\n${this.text.slice(-1000)}`);
            return value;
        }, ms, () => `\n${this.text.slice(-1000)}`);
    }

    waitText(re, ms) {
        return this.wait(`text ${re}`, () => re.exec(this.text), ms);
    }

    waitEnd(ms) {
        return until('the server closes the connection', () => this.ended, ms, () => `\n${this.text.slice(-1000)}`);
    }

    close() {
        this.socket.destroy();
    }
}
