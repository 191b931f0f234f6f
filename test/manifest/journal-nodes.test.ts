import Database from 'better-sqlite3';
import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import { HeaderList } from '../../src/headers.ts';
import { eventually } from '../criteria/eventually.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import {
  ENTRIES,
  JOURNAL,
  JournalCluster,
  rowsOf,
  untilEqual,
} from '../support/journal-cluster.ts';
import type { JournalNode } from '../support/journal-nodes.ts';
import { put, remove } from '../support/manifest-fixtures.ts';

const TAGS = 'SELECT key, tag FROM entry_tags ORDER BY key, tag';
const ALL = { kind: 'all', value: '', soft: false, actor: 'test' } as const;

describe('nodes that follow the journal of a primary', function () {
  this.timeout(60_000);
  let cluster: JournalCluster;
  let primary: JournalNode;
  beforeEach(async () => {
    cluster = new JournalCluster();
    primary = await cluster.start('n1');
  });
  afterEach(async () => await cluster[Symbol.asyncDispose]());

  it('write through the primary and have its rows, numbers and journal', async () => {
    const [two, three] = await Promise.all([
      cluster.start('n2', primary.url),
      cluster.start('n3', primary.url),
    ]);
    const [here] = await primary.manifest.commit([put('a')]);
    const [there] = await two.manifest.commit([put('b')]);
    expect(here).to.deep.equal({ outcome: 'committed', jid: 1 });
    expect(there).to.deep.equal({ outcome: 'committed', jid: 2 });
    await three.manifest.commit([remove('a')]);
    for (const node of [two, three]) {
      await untilEqual(primary, node);
      expect(rowsOf(node, JOURNAL, 1)).to.deep.equal(rowsOf(primary, JOURNAL, 1));
      expect(await node.manifest.lookup('web', 'a')).to.deep.equal([]);
      expect(await node.manifest.lookup('web', 'b')).to.have.length(1);
      expect(node.manifest.position('web')).to.equal(3);
    }
  });

  it('count a change at once, and write it when the primary is there again', async () => {
    const proxy = cluster.use(await FaultProxy.start(primary.url));
    const two = await cluster.start('n2', proxy.url);
    await two.manifest.commit([put('before')]);
    proxy.fault = { refuse: true };
    proxy.resetAll();
    const written = two.manifest.commit([put('meanwhile')]);
    expect(two.manifest.peek('web', 'meanwhile')).to.have.length(1);
    expect(two.manifest.health()).to.deep.equal({ pending: 1 });
    await eventually('a line about it', () =>
      two.log.lines.find(({ message }) => /primary .* cannot be worked with/.test(message)),
    );
    proxy.fault = {};
    expect(await written).to.deep.equal([{ outcome: 'committed', jid: 2 }]);
    await untilEqual(primary, two);
    const told = two.log.lines.filter(({ message }) => message.includes('cannot be worked with'));
    expect(told).to.have.length(1);
    expect(two.metrics.value('primary_failures_total')).to.be.greaterThan(0);
  });

  it('have a purge in effect before it answers, wherever it was asked for (DESIGN 2.8)', async () => {
    const [two, three] = await Promise.all([
      cluster.start('n2', primary.url),
      cluster.start('n3', primary.url),
    ]);
    for (const node of [primary, two]) {
      const base = primary.manifest.position('web');
      await primary.manifest.commit([put('a', base), put('b', base)]);
      await untilEqual(primary, two, three);
      for (const one of [two, three])
        expect(await one.manifest.lookup('web', 'a')).to.have.length(1);
      const { entries } = await node.manifest.purge({ ...ALL, kind: 'prefix', value: 'a' });
      expect(entries).to.equal(1);
      for (const one of [primary, two, three]) {
        expect(await one.manifest.lookup('web', 'a')).to.deep.equal([]);
        expect(await one.manifest.lookup('web', 'b')).to.have.length(1);
      }
    }
  });

  it('have a purge by tag in effect everywhere, on what began before it too', async () => {
    const two = await cluster.start('n2', primary.url);
    const tagged = { headers: new HeaderList([['Cache-Tag', 'x, y']]) };
    const all = [primary, two];
    for (const node of all) {
      const base = primary.manifest.position('web');
      await two.manifest.commit([put('a', base, tagged), put('b', base)]);
      await untilEqual(primary, two);
      expect(rowsOf(two, TAGS)).to.deep.equal([
        { key: 'a', tag: 'x' },
        { key: 'a', tag: 'y' },
      ]);
      const { entries } = await node.manifest.purge({ ...ALL, kind: 'tag', value: 'y' });
      expect(entries).to.equal(1);
      for (const one of all) {
        expect(await one.manifest.lookup('web', 'a')).to.deep.equal([]);
        expect(await one.manifest.lookup('web', 'b')).to.have.length(1);
        const late = await one.manifest.commit([put('late', base, tagged)]);
        expect(late).to.deep.equal([{ outcome: 'purged' }]);
      }
      expect(rowsOf(two, TAGS)).to.deep.equal([]);
    }
  });

  it('say what their primary refuses, and hide nothing by it', async () => {
    const two = await cluster.start('n2', primary.url);
    const long = 'x'.repeat(70_000);
    await two.manifest.commit([put('a')]);
    const purged = two.manifest.purge({ ...ALL, kind: 'key', value: long });
    expect(kindOf(await purged.catch((error: unknown) => error))).to.equal('invalid');
    expect(await two.manifest.lookup('web', 'a')).to.have.length(1);
    expect((await two.manifest.purge({ ...ALL, kind: 'key', value: 'a' })).entries).to.equal(1);
  });

  it('drop what is pending, and refuse what began before, when another node purges', async () => {
    const proxy = cluster.use(await FaultProxy.start(primary.url));
    const two = await cluster.start('n2', proxy.url);
    await primary.manifest.commit([put('a')]);
    await untilEqual(primary, two);
    const base = two.manifest.position('web');
    const told: string[] = [];
    two.manifest.onPurge(({ kind }) => told.push(kind));
    // The answer to the batch is held back; the journal comes in over a connection of its own.
    const waiting = put('pending', base);
    proxy.fault = { partition: true };
    const written = two.manifest.commit([waiting]);
    expect(two.manifest.peek('web', 'pending')).to.have.length(1);
    await primary.manifest.purge(ALL);
    proxy.fault = {};
    expect(await written).to.deep.equal([{ outcome: 'purged' }]);
    expect(await two.manifest.lookup('web', 'pending')).to.deep.equal([]);
    expect(await two.manifest.commit([put('late', base)])).to.deep.equal([{ outcome: 'purged' }]);
    expect(told).to.include('all');
  });

  it('stay deleted when an old put is handed in again (J6)', async () => {
    const two = await cluster.start('n2', primary.url);
    const old = put('a');
    await two.manifest.commit([old]);
    await two.manifest.commit([remove('a')]);
    const again = await two.manifest.commit([old]);
    expect(again).to.deep.equal([{ outcome: 'committed', jid: 1 }]);
    await untilEqual(primary, two);
    for (const node of [primary, two]) {
      expect(await node.manifest.lookup('web', 'a')).to.deep.equal([]);
      expect(rowsOf(node, JOURNAL, 1)).to.have.length(2);
    }
  });

  it('copy what they were away for too long to follow, and take up the journal from there', async () => {
    const two = await cluster.start('n2', primary.url);
    await primary.manifest.commit([put('gone'), put('purged'), put('kept')]);
    await untilEqual(primary, two);
    await two[Symbol.asyncDispose]();
    const many = Array.from({ length: 1100 }, (_, number) => put(`many/${number}`));
    await primary.manifest.commit([remove('gone'), ...many]);
    await primary.manifest.purge({ ...ALL, kind: 'key', value: 'purged', namespace: 'web' });
    change(primary, 'DELETE FROM journal WHERE jid < 500');
    change(primary, 'UPDATE namespaces SET first_jid = 500');
    const again = await cluster.start('n2', primary.url);
    expect(await again.manifest.lookup('web', 'purged')).to.deep.equal([]);
    await primary.manifest.commit([put('after')]);
    await untilEqual(primary, again);
    expect(again.metrics.value('snapshots_total')).to.equal(1);
    expect(await again.manifest.lookup('web', 'gone')).to.deep.equal([]);
    expect(await again.manifest.lookup('web', 'after')).to.have.length(1);
    expect(again.manifest.position('web')).to.equal(primary.manifest.position('web'));
  });

  it('use none of their rows before they are sure that none was purged meanwhile', async () => {
    const proxy = cluster.use(await FaultProxy.start(primary.url));
    const two = await cluster.start('n2', proxy.url);
    await primary.manifest.commit([put('a'), put('b')]);
    await untilEqual(primary, two);
    await two[Symbol.asyncDispose]();
    await primary.manifest.purge({ ...ALL, kind: 'key', value: 'a', namespace: 'web' });
    proxy.fault = { refuse: true };
    const alone = await cluster.start('n2', proxy.url);
    expect(await alone.manifest.lookup('web', 'a')).to.deep.equal([]);
    expect(await alone.manifest.lookup('web', 'b')).to.deep.equal([]);
    proxy.fault = {};
    await eventually('rows in use', async () => (await alone.manifest.lookup('web', 'b')).length);
    expect(await alone.manifest.lookup('web', 'a')).to.deep.equal([]);
    expect(rowsOf(alone, ENTRIES)).to.have.length(2);
  });

  it('write 100 pages in a few groups where each call takes 200 ms (M8)', async () => {
    const proxy = cluster.use(await FaultProxy.start(primary.url));
    const two = await cluster.start('n2', proxy.url);
    await eventually('the primary', () => two.manifest.peers.own.trusted);
    proxy.fault = { delayMs: 100 };
    const before = primary.metrics.value('halt_acquired_total');
    const from = performance.now();
    await Promise.all(
      Array.from(
        { length: 100 },
        async (_, number) => await two.manifest.commit([put(`${number}`)]),
      ),
    );
    expect(rowsOf(primary, ENTRIES)).to.have.length(100);
    expect(performance.now() - from).to.be.lessThan(5000);
    expect(primary.metrics.value('halt_acquired_total') - before).to.be.at.most(10);
  });
});

function change(node: JournalNode, sql: string): void {
  const database = new Database(node.path);
  database.exec(sql);
  database.close();
}
