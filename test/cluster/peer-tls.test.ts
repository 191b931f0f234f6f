import { readFile } from 'node:fs/promises';
import { request } from 'node:https';
import { expect } from 'chai';
import type { ClusterNodeRow } from '../../src/cluster-schemas.ts';
import { PEER_NODE_PATH } from '../../src/fetchers/peer-protocol.ts';
import { eventually } from '../criteria/eventually.ts';
import { pathOwnedBy } from '../soak/cluster-keys.ts';
import { type Certificate, TestAuthority } from '../support/certificates.ts';
import { NodeProcess } from '../support/node-process.ts';
import { OracleOrigin } from '../support/oracle-origin.ts';
import { PeerCluster } from '../support/peer-cluster.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

describe('a cluster over TLS', function () {
  this.timeout(60_000);
  let folder: TempFolder;
  let origin: OracleOrigin;
  let cluster: PeerCluster;
  let authority: TestAuthority;
  let other: TestAuthority;

  before(async () => {
    folder = await tempFolder();
    origin = await OracleOrigin.start();
    authority = await TestAuthority.create(folder.path);
    other = await TestAuthority.create(folder.path, 'other');
    const certificates = [await authority.sign('n0'), await authority.sign('n1')];
    cluster = await PeerCluster.start({
      originUrl: origin.url,
      size: 2,
      seenAs: async (url) => url.replace('http:', 'https:'),
      config: (index, url) => ({
        listen: {
          public: '127.0.0.1:0',
          peer: { address: new URL(url).host, tls: { ...certificates[index], ca: authority.ca } },
        },
      }),
    });
  });
  after(async () => {
    await cluster[Symbol.asyncDispose]();
    await origin[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  it('fetches once, through connections that both sides showed a certificate on', async () => {
    const path = pathOwnedBy(cluster, 0, 1, 'size=100000');
    for (const index of [1, 0])
      expect((await cluster.get(index, path)).body).to.have.lengthOf(100_000);
    expect(origin.counts(path).requests).to.equal(1);
    expect(cluster.node(0).peerUrl).to.match(/^https:/);
  });

  const status = async (index: number): Promise<[number | undefined, ClusterNodeRow[]]> => {
    const { code, stdout } = await cluster.node(index).run('cluster', 'status', '--json');
    const lines = stdout.split('\n').filter(Boolean);
    return [code, lines.map((line) => JSON.parse(line) as ClusterNodeRow)];
  };

  it('shows every node to `caje cluster status`, which shows its certificate', async () => {
    for (const index of [0, 1]) {
      const [code, rows] = await status(index);
      expect(code).to.equal(0);
      expect(rows.map(({ state }) => state)).to.deep.equal(['live', 'live']);
      expect(rows.map(({ url }) => url)).to.have.members([...cluster.peerUrls]);
      expect(rows.every(({ status }) => status?.replication === 'alone')).to.equal(true);
    }
  });

  const ask = async (shown?: Certificate): Promise<number | string> => {
    const identity = shown && { cert: await readFile(shown.cert), key: await readFile(shown.key) };
    const ca = await readFile(authority.ca);
    const token = await readFile(cluster.tokenFile(1), 'utf8');
    return await new Promise((resolve) => {
      const url = cluster.node(0).peerUrl + PEER_NODE_PATH;
      const headers = { authorization: `Bearer ${token}` };
      request(url, { ca, ...identity, headers, agent: false })
        .on('response', (answer) => {
          answer.resume();
          resolve(answer.statusCode ?? 0);
        })
        .on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
        .end();
    });
  };

  it('talks to those alone whose certificate its authority signed, token or not', async () => {
    expect(await ask(await authority.sign('known'))).to.equal(200);
    expect(await ask()).to.match(/ECONNRESET|ERR_SSL|EPIPE/);
    expect(await ask(await other.sign('unknown'))).to.match(/ECONNRESET|ERR_SSL|EPIPE/);
    const counters = await cluster.node(0).counters();
    expect(counters['requests_refused_total{tls}']).to.equal(2);
    const lines = (): number =>
      cluster.node(0).log.filter(({ msg }) => msg === 'TLS failed').length;
    await eventually('the last line', () => lines() >= 2);
    expect(lines()).to.equal(2);
  });

  it('has a peer fetcher show its certificate, and believe no other authority', async () => {
    const { cert, key } = await authority.sign('edge');
    const near = {
      ...{ type: 'peer', url: cluster.peerUrls[0], cert, key },
      token: { file: cluster.tokenFile(1) },
    };
    const rule = { protocol: 'http', fetch: 'near' };
    await using edge = await NodeProcess.start({
      config: {
        fetchers: { near: { ...near, ca: authority.ca }, wrong: { ...near, ca: other.ca } },
        rules: [
          { ...rule, name: 'wrong', host: 'wrong.example.com', fetch: 'wrong' },
          { ...rule, name: 'right' },
        ],
      },
    });
    const ask = async (host: string) =>
      await cluster.client.get(`${edge.url}/edge`, { headers: { host } });
    expect((await ask('www.example.com')).status).to.equal(200);
    expect((await ask('wrong.example.com')).status).to.equal(502);
  });

  it('says which node is down to `caje cluster status`', async () => {
    await cluster.node(1).kill9();
    const [code, rows] = await status(0);
    expect(code).to.equal(1);
    expect(rows.find(({ url }) => url === cluster.peerUrls[1])).to.include({ state: 'down' });
  });
});
