import { writeFile } from 'node:fs/promises';
import { expect } from 'chai';
import { eventually } from '../criteria/eventually.ts';
import { zipFor } from '../criteria/go-site.ts';
import { entryRows } from '../criteria/node-files.ts';
import { pathOwnedBy } from '../soak/cluster-keys.ts';
import { readBytes } from '../support/http-client.ts';
import { NodeProcess } from '../support/node-process.ts';
import { OracleOrigin, type OracleRule } from '../support/oracle-origin.ts';
import { CLUSTER_HOST, PeerCluster } from '../support/peer-cluster.ts';

const MODULE = '/example.com/mod';
const HALF = 500_000;
const SIZE = 2 * HALF;

describe('nodes that share keys', function () {
  this.timeout(60_000);
  let origin: OracleOrigin;
  let cluster: PeerCluster;
  const rules = new Map<string, OracleRule>();

  before(async () => {
    origin = await OracleOrigin.start({
      rule: async (asked, count) => await rules.get(asked.key)?.(asked, count),
    });
    const common = { protocol: 'http', fetch: 'site' };
    cluster = await PeerCluster.start({
      originUrl: origin.url,
      config: {
        rules: [
          { ...common, name: 'private', host: 'private.example.com', private: true },
          { ...common, name: 'go', path: '/go/*', strip: true, protocol: 'go' },
          { ...common, name: 'site', host: CLUSTER_HOST },
        ],
      },
    });
  });
  after(async () => {
    await cluster[Symbol.asyncDispose]();
    await origin[Symbol.asyncDispose]();
  });

  /** Has the first fetch of a path stop half-way until the function given is called. */
  const stopHalf = (path: string): (() => void) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    rules.set(path, (_, count) =>
      count > 1 ? undefined : { pause: { at: HALF, until: promise } },
    );
    return resolve;
  };
  const stream = async (index: number, path: string) =>
    await cluster.client.stream(cluster.node(index).url + path, {
      headers: { host: CLUSTER_HOST },
    });

  it('a follower on another node has a fill that is on its way from byte 0, as it grows', async () => {
    const path = pathOwnedBy(cluster, 0, 1, `size=${SIZE}`);
    const go = stopHalf(path);
    const first = await stream(0, path);
    const start = await readBytes(first.body, HALF - 1);
    const followers = [await stream(1, path), await stream(2, path)];
    for (const { body } of followers) {
      const read = await readBytes(body, HALF - 1);
      expect(read.subarray(0, HALF - 1).equals(start.subarray(0, HALF - 1))).to.equal(true);
      body.unshift(read);
    }
    go();
    for (const { body } of followers) {
      const check = origin.check(path, { size: SIZE });
      for await (const piece of body) check.write(piece as Buffer);
      check.end();
    }
    first.body.resume();
    expect(origin.counts(path).requests).to.equal(1);
    for (const node of cluster.nodes) await eventually('its row', () => entryRows(node, path)[0]);
  });

  it('what came with the digests of its blocks is kept with them, and read by them', async () => {
    const size = 9 * 1024 * 1024 + 5;
    const path = pathOwnedBy(cluster, 0, 6, `size=${size}`);
    for (const index of [0, 1]) {
      await cluster.get(index, path);
      await eventually('its row', () => entryRows(cluster.node(index), path)[0]);
    }
    const { headers, body } = await cluster.get(1, path);
    expect(headers.get('X-Cache')).to.equal('HIT');
    const check = origin.check(path, { size });
    check.write(body);
    check.end();
    expect(origin.counts(path).requests).to.equal(1);
    expect((await cluster.node(1).counters())['corrupt_blobs_total']).to.equal(0);
  });

  it('a peer that only looks has what is on its way, too', async () => {
    const path = pathOwnedBy(cluster, 0, 2, `size=${SIZE}`);
    const token = { file: cluster.tokenFile(1) };
    await using edge = await NodeProcess.start({
      config: {
        fetchers: {
          near: { type: 'peer', url: cluster.peerUrls[0], token, timeouts: { lookup: '20s' } },
          site: { type: 'origin', url: origin.url },
        },
        rules: [{ name: 'site', protocol: 'http', fetch: ['near', 'site'] }],
      },
    });
    const go = stopHalf(path);
    const first = await stream(0, path);
    await readBytes(first.body, HALF - 1);
    const headers = { host: CLUSTER_HOST };
    const follower = await cluster.client.stream(edge.url + path, { headers });
    const read = await readBytes(follower.body, HALF - 1);
    go();
    follower.body.unshift(read);
    const check = origin.check(path, { size: SIZE });
    for await (const piece of follower.body) check.write(piece as Buffer);
    check.end();
    first.body.resume();
    expect(origin.counts(path).requests).to.equal(1);
  });

  it('after a purge on one node, that node serves nothing that was fetched before it', async () => {
    const path = pathOwnedBy(cluster, 0, 3, 'size=1000');
    for (const index of [0, 1]) await cluster.get(index, path);
    for (const index of [0, 1])
      await eventually('its row', () => entryRows(cluster.node(index), path)[0]);
    expect(origin.counts(path).requests).to.equal(1);
    origin.bumpVersion(path);
    const purged = await cluster.node(1).run('purge', `http://${CLUSTER_HOST}${path}`);
    expect(purged.code, purged.stderr).to.equal(0);
    const { body } = await cluster.get(1, path);
    const check = origin.check(path, { size: 1000 });
    check.write(body);
    expect(check.end().version).to.equal(2);
    expect(origin.counts(path).requests).to.equal(2);
    // The owner was not purged: it has what it had.
    const old = origin.check(path, { size: 1000 });
    old.write((await cluster.get(0, path)).body);
    expect(old.end().version).to.equal(1);
  });

  it('a private rule goes to no other node', async () => {
    const counters = async (): Promise<number[]> =>
      await Promise.all(
        cluster.nodes.map(async (node) => {
          const all = Object.entries(await node.counters());
          return all.reduce(
            (sum, [name, value]) => sum + (name.startsWith('owner_asked') ? value : 0),
            0,
          );
        }),
      );
    const before = await counters();
    const headers = { host: 'private.example.com' };
    for (const index of cluster.nodes.keys()) await cluster.get(index, '/secret', { headers });
    expect(origin.counts('/secret').requests).to.equal(3);
    expect(await counters()).to.deep.equal(before);
  });

  it('what is not kept goes through its owner once, and not again', async () => {
    const path = pathOwnedBy(cluster, 0, 4, 'size=100&cc=no-store');
    for (let round = 0; round < 3; round++) await cluster.get(1, path);
    expect(origin.counts(path).requests).to.equal(3);
    const { 'owner_asked_total{answered}': answered } = await cluster.node(1).counters();
    for (let round = 0; round < 3; round++) await cluster.get(1, path);
    expect((await cluster.node(1).counters())['owner_asked_total{answered}']).to.equal(answered);
  });

  it('G4: three pieces of a Go module are fetched at the same time, and once, under whatever host', async () => {
    const pieces = new Map<string, Buffer | string>([
      ['info', '{"Version":"v1.0.0","Time":"2020-01-01T00:00:00Z"}'],
      ['mod', 'module example.com/mod\n'],
      ['zip', zipFor(`${MODULE}/@v/v1.0.0.zip`)],
    ]);
    const all = origin.counts().requests + pieces.size;
    for (const [kind, body] of pieces)
      rules.set(`${MODULE}/@v/v1.0.0.${kind}`, () => ({ body, delay: origin.asked(all) }));
    const asks = [...pieces].flatMap(([kind, body]) =>
      cluster.nodes.map(async ({ url }) => {
        const answer = await cluster.client.get(`${url}/go${MODULE}/@v/v1.0.0.${kind}`);
        expect([kind, answer.status]).to.deep.equal([kind, 200]);
        expect(answer.body.equals(Buffer.from(body)), kind).to.equal(true);
      }),
    );
    await Promise.all(asks);
    for (const kind of pieces.keys())
      expect(origin.counts(`${MODULE}/@v/v1.0.0.${kind}`).requests, kind).to.equal(1);
  });

  it('a token that is revoked is refused, and the others go on', async () => {
    const { log } = cluster.node(1);
    const since = log.length;
    await writeFile(cluster.tokenFile(2), '');
    for (const index of [0, 1])
      await cluster
        .node(index)
        .logged(({ msg, peer }) => msg === 'a token of a peer is valid no longer' && peer === 'n2');
    const path = pathOwnedBy(cluster, 0, 5, 'size=100');
    for (const index of [1, 2]) expect((await cluster.get(index, path)).status).to.equal(200);
    expect(log.slice(since).filter(({ msg }) => /cannot be used/.test(msg))).to.deep.equal([]);
    // It refuses itself, too: its own listener knows the token no longer.
    const others = cluster.peerUrls.slice(0, 2);
    await cluster
      .node(2)
      .logged(
        ({ node, err }) => others.includes(String(node)) && /refused our token/.test(String(err)),
      );
    expect(origin.counts(path).requests).to.equal(2);
  });
});
