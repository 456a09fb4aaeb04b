// Every client that we ship comes back with an id of any form that an author may give: what was published while it was away arrives, and nothing twice.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { Stack } from '../integration/stack.mjs';
import { IDS } from '../integration/ids.mjs';
import { Example, lacking, subscribers } from './programs.mjs';

const s = await Stack.start({ env: { RETRY_MS: 100, KEEPALIVE_MS: 500 } });
const [gw] = s.gw;

// A way to the gateway that can be cut: cut() ends all connections and refuses new ones, mend() lets them through again.
async function cable() {
    let refusing = false;
    const sockets = new Set();
    const server = createServer(client => {
        if (refusing)
            return client.destroy();
        const gateway = connect(gw.port, '127.0.0.1');
        for (const [one, other] of [[client, gateway], [gateway, client]]) {
            sockets.add(one);
            one.on('error', () => {}).on('close', () => (sockets.delete(one), other.destroy()));
            one.pipe(other);
        }
    });
    await new Promise(done => server.listen(0, '127.0.0.1', done));
    return {
        url: `http://127.0.0.1:${server.address().port}`,
        cut: () => { refusing = true; sockets.forEach(socket => socket.destroy()); },
        mend: () => (refusing = false),
        close: () => { server.close(); sockets.forEach(socket => socket.destroy()); },
    };
}

for (const [i, program] of subscribers.entries()) {
    test(`${program.file} comes back with ids of any form`, { skip: lacking(program) }, async () => {
        const channel = `ids${i}`;
        const way = await cable();
        const example = new Example(program, [`${way.url}/channels/${channel}`]);
        try {
            let wanted = '';
            const publish = async (data, id) => {
                const answer = await fetch(`${s.pub[0].url}/channels/${channel}?${new URLSearchParams(id === undefined ? {} : { id })}`,
                    { method: 'POST', headers: { 'content-type': 'text/plain' }, body: data });
                assert.equal(answer.status, 200, await answer.text());
                wanted += `message: ${data}\n`;
            };
            await gw.waitMetric('sse_streams', 1, { ms: 30000 });
            for (const [n, id] of IDS.entries()) {
                await publish(`${n} with an id`, id);
                await example.printed(wanted, 30000);
                way.cut();
                await gw.waitMetric('sse_streams', 0);
                await publish(`${n} while it is away`);
                way.mend();
                await example.printed(wanted, 30000);
                assert.equal(example.out, wanted, `id ${JSON.stringify(id)}`);
            }
        } finally {
            await example.kill();
            way.close();
            await gw.waitMetric('sse_streams', 0);
        }
    });
}
