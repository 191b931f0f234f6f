import { join } from 'node:path';
import { expect } from 'chai';
import { PUT_COLUMNS } from '../../src/manifest/entry-row.ts';
import type { ChangeResponse } from '../../src/manifest/writer-protocol.ts';
import { eventually } from '../criteria/eventually.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { JournalCluster } from '../support/journal-cluster.ts';
import type { JournalNode } from '../support/journal-nodes.ts';
import { purgeRequest, putRequest } from '../support/litefs-writer.ts';
import { PeerFirst } from '../support/peer-first.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const SHORT_MS = 500;
const LONG_MS = 20_000;

/** Handed to the primary's node first, written under the lock second: each change once. DESIGN 6, "which HALT binding". */
describe('PeerFirstWriter', function () {
  this.timeout(30_000);
  let folder: TempFolder;
  let cluster: JournalCluster;
  let primary: JournalNode;
  let relay: FaultProxy;
  beforeEach(async () => {
    folder = await tempFolder();
    cluster = new JournalCluster();
    primary = await cluster.start('n1', undefined, { folder: folder.path });
    relay = cluster.use(await FaultProxy.start(primary.url));
  });
  afterEach(async () => {
    await cluster[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  /** `shipMs`: so short where it is to run out, and otherwise so long that it never does. */
  const start = async (shipMs: number, name: string, ...others: string[]): Promise<PeerFirst> =>
    cluster.use(await PeerFirst.start({ folder: folder.path, settings: { others }, shipMs }, name));
  const state = (node: PeerFirst): unknown =>
    node.writer.handle({ op: 'cluster', ask: { kind: 'state' } });
  /** Resolves once changes go to a node. */
  const linked = async (node: PeerFirst, name: string): Promise<void> =>
    void (await eventually(`the way to ${name}`, async () => {
      const { known } = (await state(node)) as { known: { node: string } };
      return known.node === name;
    }));
  const jidOf = (response: ChangeResponse): unknown => 'jid' in response && response.jid;
  const lines = (node: PeerFirst): string[] =>
    node.journal().map(({ jid, op, key }) => `${jid} ${op} ${key}`);

  it('hands changes to the node beside the primary of LiteFS, which writes them', async () => {
    const node = await start(LONG_MS, 'n1', relay.url);
    await linked(node, 'n1');
    expect(jidOf(await node.put('a'))).to.equal(1);
    const { jids, entries } = await node.purge('a');
    expect({ jids, entries }).to.deep.equal({ jids: { web: 2 }, entries: 1 });
    expect(node.went()).to.deep.equal({ shipped: 1, halted: 0, commits: 0 });
    expect(lines(node)).to.deep.equal(['1 put a', '2 purge a', '3 delete a']);
  });

  it('writes under the lock while that node is away, and goes back to it afterwards', async () => {
    const node = await start(LONG_MS, 'n1', relay.url);
    await linked(node, 'n1');
    relay.fault = { refuse: true };
    relay.resetAll();
    expect(jidOf(await node.put('away'))).to.equal(1);
    expect((await node.purge('away')).entries).to.equal(1);
    expect(node.went()).to.deep.equal({ shipped: 0, halted: 1, commits: 2 });
    relay.fault = {};
    await linked(node, 'n1');
    expect(jidOf(await node.put('back'))).to.equal(4);
    expect(node.went()).to.deep.equal({ shipped: 1, halted: 1, commits: 2 });
    expect(lines(node)).to.deep.equal([
      '1 put away',
      '2 purge away',
      '3 delete away',
      '4 put back',
    ]);
  });

  it('finds what was written though the answer was lost, purges too, and writes nothing twice', async () => {
    const node = await start(SHORT_MS, 'n1', relay.url);
    await linked(node, 'n1');
    relay.fault = { stallAfter: 0 };
    const [put, other] = await Promise.all([node.put('a'), node.put('b')]);
    expect([jidOf(put), jidOf(other)]).to.deep.equal([1, 2]);
    relay.fault = {};
    await linked(node, 'n1');
    relay.fault = { stallAfter: 0 };
    expect((await node.purge('a')).jids).to.deep.equal({ web: 3 });
    expect(lines(node)).to.deep.equal(['1 put a', '2 put b', '3 purge a', '4 delete a']);
    expect(node.went()).to.include({ shipped: 0, halted: 3 });
  });

  it('has a change once that the primary gets after it was written under the lock', async () => {
    const node = await start(SHORT_MS, 'n1', relay.url);
    await linked(node, 'n1');
    relay.fault = { partition: true };
    const late = putRequest('late');
    const purge = purgeRequest('late');
    expect(await node.writer.handle(late)).to.include({ outcome: 'committed', jid: 1 });
    expect(await node.writer.handle(purge)).to.deep.include({ jids: { web: 2 } });
    const known = { term: 0, node: 'n1', url: '' };
    const shipped = { known, node: 'n9', columns: PUT_COLUMNS, changes: [late] };
    expect((await primary.client.batch(shipped)).outcomes).to.deep.include.members([
      { outcome: 'committed', jid: 1, firstSeenAt: late.at },
    ]);
    const { changeId, namespaces } = purge;
    const again = { known, node: 'n9', changeId, purge: purge.purge, namespaces };
    expect((await primary.client.purge(again)).jids).to.deep.equal({ web: 2 });
    expect(lines(node)).to.deep.equal(['1 put late', '2 purge late', '3 delete late']);
  });

  it('follows LiteFS to another primary, and to itself', async () => {
    const nodeDatabasePath = join(folder.path, 'second.db');
    const second = await cluster.start('n2', undefined, { folder: folder.path, nodeDatabasePath });
    const byName = second.url.replace('127.0.0.1', 'localhost');
    const node = await start(LONG_MS, '127.0.0.1', byName, relay.url);
    await linked(node, 'n1');
    await node.put('by-n1');
    node.liteFs.choose(false, 'localhost');
    await linked(node, 'n2');
    expect(await state(node)).to.include({ role: 'replica' });
    await node.put('by-n2');
    const commitsOf = ({ metrics }: JournalNode): unknown => metrics.snapshot()['commits_total'];
    expect([primary, second].map(commitsOf)).to.deep.equal([1, 1]);
    node.liteFs.choose(true, 'n9');
    await linked(node, 'n9');
    expect(await state(node)).to.include({ role: 'primary' });
    await node.put('by-itself');
    expect(node.went()).to.deep.equal({ shipped: 2, halted: 0, commits: 1 });
    expect(lines(node)).to.deep.equal(['1 put by-n1', '2 put by-n2', '3 put by-itself']);
  });
});
