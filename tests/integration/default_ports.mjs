// deploy/local takes the ports everybody knows, or the next ones that are free. Test files that start it take turns, from here until they end:
// two at a time would pick the same ports, and a port that one finds busy may be given back by the other. The turn is a name that
// the kernel gives to one process of a network namespace (unix(7), abstract sockets).
import { createServer } from 'node:net';
import { until } from './wait.mjs';

const taken = () => new Promise((resolve, reject) => {
    const turn = createServer().unref();
    turn.on('error', error => (error.code === 'EADDRINUSE' ? resolve(false) : reject(error)));
    turn.listen('\0sse-gateway-tests-default-ports', () => resolve(true));
});

export const defaultPorts = () => until('another test file gives back the default ports', taken, 240000);
