import { expect } from 'chai';
import { eventually } from '../criteria/eventually.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { JOURNAL, JournalCluster, rowsOf, untilEqual } from '../support/journal-cluster.ts';
import type { JournalNode } from '../support/journal-nodes.ts';
import { put } from '../support/manifest-fixtures.ts';

const ALL = { kind: 'all', value: '', soft: false, actor: 'test' } as const;

describe('promotion of a node that follows', function () {
  this.timeout(60_000);
  let cluster: JournalCluster;
  let one: JournalNode;
  let two: JournalNode;
  beforeEach(async () => {
    cluster = new JournalCluster();
    one = await cluster.start('n1');
    two = await cluster.start('n2', one.url);
    await one.manifest.commit([put('a'), put('b')]);
    await untilEqual(one, two);
  });
  afterEach(async () => await cluster[Symbol.asyncDispose]());

  it('begins a new epoch in which nothing is lost that it had, and what waits is written', async () => {
    const before = rowsOf(two, 'SELECT epoch, next_jid FROM namespaces')[0] as { epoch: string };
    await one[Symbol.asyncDispose]();
    const waiting = put('waiting', two.manifest.position('web'));
    const written = two.manifest.commit([waiting]);
    const { role, known } = await two.manifest.peers.promote('', false);
    expect(role).to.equal('primary');
    expect(known).to.deep.equal({ term: 1, node: 'n2', url: two.url });
    expect((await written)[0]?.outcome).to.equal('committed');
    const after = rowsOf(two, 'SELECT epoch, next_jid FROM namespaces')[0] as { epoch: string };
    expect(after.epoch).to.not.equal(before.epoch);
    for (const key of ['a', 'b', 'waiting'])
      expect(await two.manifest.lookup('web', key), key).to.have.length(1);
    const failure: unknown = await two.manifest.peers.promote('', false).catch((error) => error);
    expect(failure).to.have.property('kind', 'conflict');
  });

  it('is heard of by the former primary when it comes back: it writes nothing of its own', async () => {
    const { port } = new URL(one.url);
    await one[Symbol.asyncDispose]();
    await two.manifest.peers.promote('', false);
    await two.manifest.purge({ ...ALL, kind: 'key', value: 'a', namespace: 'web' });
    const again = await cluster.start('n1', undefined, { port: Number(port) });
    await eventually('the other role', () => again.manifest.peers.own.role === 'replica');
    const [late] = await again.manifest.commit([put('late', again.manifest.position('web'))]);
    expect(late?.outcome).to.equal('committed');
    await untilEqual(two, again);
    expect(await again.manifest.lookup('web', 'a')).to.deep.equal([]);
    expect(await two.manifest.lookup('web', 'late')).to.have.length(1);
    expect(again.manifest.peers.own.known).to.deep.equal({ term: 1, node: 'n2', url: two.url });
  });

  it('drops what only the former primary had: misses everywhere, and purges stay (F-58)', async () => {
    const proxy = cluster.use(await FaultProxy.start(one.url));
    const three = await cluster.start('n3', proxy.url);
    await untilEqual(one, two, three);
    await one.manifest.purge({ ...ALL, kind: 'key', value: 'a', namespace: 'web' });
    // From here on only the third hears of what the first writes.
    await two[Symbol.asyncDispose]();
    await one.manifest.commit([put('lost', one.manifest.position('web'))]);
    await untilEqual(one, three);
    const { port } = new URL(one.url);
    await one[Symbol.asyncDispose]();
    const promoted = await cluster.start('n2', one.url);
    await promoted.manifest.peers.promote('', false);
    const back = await cluster.start('n1', undefined, { port: Number(port) });
    await untilEqual(promoted, back, three);
    for (const node of [promoted, back, three]) {
      expect(await node.manifest.lookup('web', 'lost')).to.deep.equal([]);
      expect(await node.manifest.lookup('web', 'a')).to.deep.equal([]);
      expect(await node.manifest.lookup('web', 'b')).to.have.length(1);
    }
  });

  it('gives numbers that no fill of the former epoch is newer than', async () => {
    await one.manifest.commit(['c', 'd', 'e'].map((key) => put(key)));
    const ahead = one.manifest.position('web');
    await untilEqual(one, two);
    await two.manifest.peers.promote('', false);
    await two.manifest.purge(ALL);
    await untilEqual(one, two);
    expect(await two.manifest.commit([put('old', ahead)])).to.deep.equal([{ outcome: 'purged' }]);
    expect(await one.manifest.commit([put('old', ahead)])).to.deep.equal([{ outcome: 'purged' }]);
    expect(rowsOf(two, JOURNAL, 1)).to.have.length.greaterThan(5);
  });
});
