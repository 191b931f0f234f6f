import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { HttpClient } from '../support/http-client.ts';
import { NodeProcess } from '../support/node-process.ts';
import { OracleOrigin } from '../support/oracle-origin.ts';
import { steadyPort } from '../support/steady-port.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { blocksOf, document } from './documents.ts';

const HOST = 'www.example.com';
/** Longest silence of an owner on a machine that is busy with other things. */
const PATIENCE = '10s';
const PEERS = ['127.0.0.1:8180', '127.0.0.1:8280', '127.0.0.1:8380'];

interface Page {
  readonly cluster: Readonly<Record<string, unknown>>;
  readonly listen: Readonly<Record<string, unknown>>;
}

describe('docs/cluster.md', function () {
  this.timeout(60_000);

  it('has three nodes fetch a page once for all, and purge it from all', async () => {
    await using folder = await tempFolder();
    await using origin = await OracleOrigin.start();
    const token = join(folder.path, 'peer.token');
    await writeFile(token, 'a-token-of-enough-characters\n');
    const block = blocksOf(document('docs/cluster.md')).find(({ words }) =>
      words.includes('cluster=first'),
    );
    let text = (block?.text ?? '').replaceAll('peer.token', token);
    const peers: string[] = [];
    for (const written of PEERS) {
      const peer = `127.0.0.1:${await steadyPort()}`;
      text = text.replaceAll(written, peer);
      peers.push(peer);
    }
    const page = parse(text) as Page;
    const config = {
      ...page,
      cluster: { ...page.cluster, ownerTimeout: PATIENCE },
      data: 'data',
      fetchers: { site: { type: 'origin', url: origin.url } },
    };
    await using stack = new AsyncDisposableStack();
    const nodes: NodeProcess[] = [];
    for (const peer of peers) {
      const listen = { public: '127.0.0.1:0', peer };
      nodes.push(stack.use(await NodeProcess.start({ config: { ...config, listen } })));
    }
    for (const node of nodes)
      for (const peer of peers)
        await node.logged(
          (line) => line['node'] === `http://${peer}` && /is there|is our own/.test(line.msg),
        );
    await using client = new HttpClient();
    const ask = async (node: NodeProcess | undefined): Promise<string> => {
      const answer = await client.get(`${node?.url}/fast?size=20000`, { headers: { host: HOST } });
      expect(answer.status).to.equal(200);
      const check = origin.check('/fast?size=20000', { size: 20_000 });
      check.write(answer.body);
      check.end();
      return String(answer.headers.get('X-Cache'));
    };
    expect(await ask(nodes[1])).to.equal('MISS');
    for (const node of nodes) await ask(node);
    expect(origin.counts('/fast?size=20000').requests).to.equal(1);
    for (const node of nodes) expect(await ask(node)).to.equal('HIT');

    const purged = await nodes[2]?.run('purge', `http://${HOST}/fast?size=20000`);
    expect(purged).to.include({ code: 0, stderr: '' });
    expect(await ask(nodes[0])).to.equal('MISS');
    expect(origin.counts('/fast?size=20000').requests).to.equal(2);
  });
});
