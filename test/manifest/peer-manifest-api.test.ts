import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { request } from 'undici';
import { PUT_COLUMNS, toRowValues } from '../../src/manifest/entry-row.ts';
import { PrimaryClient } from '../../src/manifest/primary-client.ts';
import type { BatchRequest } from '../../src/manifest/primary-protocol.ts';
import { MANIFEST_API } from '../../src/manifest/primary-protocol.ts';
import { eventually } from '../criteria/eventually.ts';
import { JOURNAL, JournalCluster, rowsOf } from '../support/journal-cluster.ts';
import { CLUSTER_TOKEN, type JournalNode } from '../support/journal-nodes.ts';
import { newEntry, put, remove } from '../support/manifest-fixtures.ts';

const ME = { known: { term: 0, node: 'n1', url: '' }, node: 'n9' };

interface Got {
  readonly status: number;
  readonly body: {
    readonly rows: { readonly key: string; readonly jid: number }[];
    readonly cursor: string;
    readonly detail?: string;
  };
}

describe('what other nodes ask of a manifest', function () {
  this.timeout(60_000);
  let cluster: JournalCluster;
  let node: JournalNode;
  beforeEach(async () => {
    cluster = new JournalCluster();
    node = await cluster.start('n1', undefined, { settings: { leaseMs: 300 } });
  });
  afterEach(async () => await cluster[Symbol.asyncDispose]());

  async function ask(path: string, token = CLUSTER_TOKEN, body?: string): Promise<Got> {
    const answer = await request(`${node.url}${MANIFEST_API}/${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `Bearer ${token}` },
      body: body ?? null,
    });
    return { status: answer.statusCode, body: (await answer.body.json()) as Got['body'] };
  }

  function batch(key: string, changeId: string = randomUUID()): BatchRequest {
    const values = toRowValues(newEntry(key), Date.now());
    const base = { namespace: 'web', changeId, baseJid: 0, actor: 'test', at: Date.now() };
    return { ...ME, columns: PUT_COLUMNS, changes: [{ op: 'put', ...base, values, bytes: 100 }] };
  }

  it('is the journal, whole or the newest of each key, in order and in pages (J2)', async () => {
    await node.manifest.commit([put('a'), put('b')]);
    await node.manifest.commit([put('a', 0, { size: 7 }), remove('b')]);
    const keys = ({ body }: Got): string[] => body.rows.map(({ key, jid }) => `${jid} ${key}`);
    const all = await ask('journal?namespace=web&all=1');
    expect(keys(all)).to.deep.equal(['1 a', '2 b', '3 a', '4 b']);
    const page = await ask(`journal?namespace=web&all=1&limit=3`);
    expect(keys(page)).to.deep.equal(['1 a', '2 b', '3 a']);
    const rest = await ask(`journal?namespace=web&all=1&limit=3&since=${page.body.cursor}`);
    expect(keys(rest)).to.deep.equal(['4 b']);
    const latest = await ask('journal?namespace=web');
    expect(keys(latest)).to.deep.equal(['3 a', '4 b']);
    expect(latest.body.cursor).to.equal(rest.body.cursor);
    const none = await ask(`journal?namespace=web&since=${latest.body.cursor}`);
    expect([none.body.rows, none.body.cursor]).to.deep.equal([[], latest.body.cursor]);
  });

  it('is a 410 for a cursor of another epoch, one too old, and one ahead', async () => {
    await node.manifest.commit([put('a')]);
    const { cursor } = (await ask('journal?namespace=web')).body;
    const epoch = cursor.split(':')[0];
    for (const since of ['0123456789abcdef:1', `${epoch}:99`]) {
      const { status, body } = await ask(`journal?namespace=web&since=${since}`);
      expect(status).to.equal(410);
      expect(body.detail).to.include('no longer reaches back');
    }
  });

  it('wakes a long poll by a commit in its namespace, made before or during it, and no other (J4)', async () => {
    await node.manifest.commit([put('a'), put('x', 0, { namespace: 'other' })]);
    const { cursor } = (await ask('journal?namespace=web&all=1')).body;
    let answered = false;
    const waiting = ask(`journal?namespace=web&all=1&wait=20s&since=${cursor}`).then((got) => {
      answered = true;
      return got;
    });
    await node.manifest.commit([put('y', 0, { namespace: 'other' })]);
    await ask('journal?namespace=other&all=1&wait=20s');
    expect(answered).to.equal(false);
    await node.manifest.commit([put('b')]);
    expect((await waiting).body.rows.map(({ key }) => key)).to.deep.equal(['b']);
    const before = await ask(`journal?namespace=web&all=1&wait=20s&since=${cursor}`);
    expect(before.body.rows).to.have.length(1);
  });

  it('is 401 without a token that is known, and reveals nothing (J8)', async () => {
    await node.manifest.commit([put('secret')]);
    for (const path of ['journal?namespace=web', 'journal?namespace=none']) {
      const { status, body } = await ask(path, 'a-wrong-token-0123456789');
      expect(status).to.equal(401);
      expect(JSON.stringify(body)).to.not.match(/secret|web|none/);
    }
    for (const name of ['state', 'changes', 'snapshot', 'batch', 'purge', 'hint', 'lease'])
      expect((await ask(name, 'a-wrong-token-0123456789', '{}')).status, name).to.equal(401);
  });

  it('is a clear refusal, a line and a count for what nobody can understand', async () => {
    const long = JSON.stringify({ ...ME, changes: 'x'.repeat(9 * 1024 * 1024) });
    const wrong = batch('a');
    const change = { ...wrong.changes[0], values: ['only one'] };
    const cases: readonly (readonly [string, string, number])[] = [
      ['batch', 'no json', 400],
      ['batch', '{}', 400],
      ['batch', JSON.stringify({ ...wrong, changes: [change] }), 400],
      ['batch', JSON.stringify({ ...wrong, changes: [] }), 400],
      ['batch', long, 413],
      ['changes', JSON.stringify({ ...ME, cursors: { web: 1 }, waitMs: 0 }), 400],
      ['changes', JSON.stringify({ ...ME, cursors: {}, waitMs: 99_999_999 }), 400],
      ['lease', JSON.stringify({ node: 'n9', waitMs: 999_999 }), 400],
    ];
    for (const [index, [name, body, status]] of cases.entries()) {
      expect((await ask(name, CLUSTER_TOKEN, body)).status, `${index} ${name}`).to.equal(status);
      expect(node.metrics.value('peer_unreadable_total')).to.equal(index + 1);
    }
    expect(node.log.lines.filter(({ level }) => level === 'warn')).to.have.length(cases.length);
    expect((await ask('journal?limit=0')).status).to.equal(400);
    expect((await ask('journal?wait=1h')).status).to.equal(400);
    const none = await request(`${node.url}${MANIFEST_API.replace('v1', 'v2')}/state`, {
      method: 'POST',
      headers: { authorization: `Bearer ${CLUSTER_TOKEN}` },
    });
    await none.body.dump();
    expect(none.statusCode).to.equal(404);
  });

  it('writes a batch once, however often and however many times at once it is handed in', async () => {
    const shipped = batch('a');
    const answers = await Promise.all([1, 2, 3].map(async () => await node.client.batch(shipped)));
    for (const { outcomes } of answers)
      expect(outcomes[0]).to.include({ outcome: 'committed', jid: 1 });
    await node.manifest.commit([remove('a')]);
    expect((await node.client.batch(shipped)).outcomes[0]).to.include({ jid: 1 });
    expect(rowsOf(node, JOURNAL, 1)).to.have.length(2);
    expect(await node.manifest.lookup('web', 'a')).to.deep.equal([]);
  });

  it('purges once by the same id, and counts the same entries each time', async () => {
    await node.manifest.commit([put('a'), put('b')]);
    const purge = { kind: 'all', value: '', soft: false, actor: 'test' } as const;
    const shipped = { ...ME, changeId: randomUUID(), purge, namespaces: ['web'] };
    const first = await node.client.purge(shipped);
    const again = await node.client.purge(shipped);
    expect(first).to.deep.include({ entries: 2, jids: { web: 3 }, last: { web: 5 } });
    expect(again).to.deep.equal(first);
    expect(rowsOf(node, JOURNAL, 1)).to.have.length(5);
  });

  it('is not written in another term, nor by a node that is not the primary', async () => {
    const other = await node.client
      .batch({ ...batch('a'), known: { term: 0, node: 'n1', url: '' } })
      .catch((error: unknown) => error);
    expect(other).to.have.property('outcomes');
    const follower = await cluster.start('n2', node.url);
    const refused = await follower.client.batch(batch('b')).catch((error: unknown) => error);
    expect(refused).to.have.property('kind', 'misdirected');
    // Whoever shows a later term knows better who the primary is.
    const known = { term: 3, node: 'n7', url: '' };
    const late = await node.client.batch({ ...batch('c'), known }).catch((error: unknown) => error);
    expect(late).to.have.property('kind', 'misdirected');
    expect(rowsOf(node, JOURNAL, 1)).to.have.length(1);
  });

  it('is a lease that keeps others from writing until it is given back or runs out (M7)', async () => {
    const lease = await node.client.lease('n9', 1000);
    const refused = await node.client.lease('n8', 50).catch((error: unknown) => error);
    expect(refused).to.have.property('kind', 'timeout');
    const waiting = node.manifest.commit([put('a')]);
    const renewed = await node.client.renew(lease.id);
    expect(renewed).to.deep.equal({ id: lease.id, ttlMs: 300 });
    expect(rowsOf(node, JOURNAL, 1)).to.deep.equal([]);
    await node.client.release(lease.id);
    expect(await waiting).to.deep.equal([{ outcome: 'committed', jid: 1 }]);

    const lost = await node.client.lease('n9', 1000);
    // Its holder is gone: nobody renews it.
    expect(await node.manifest.commit([put('b')])).to.deep.equal([
      { outcome: 'committed', jid: 2 },
    ]);
    const over = await node.client.renew(lost.id).catch((error: unknown) => error);
    expect(over).to.have.property('kind', 'gone');
    expect(node.metrics.value('leases_total', 'expired')).to.equal(1);
  });

  it('is told of by hints while a follower does not wait for it; one that is down is left to its pull (J5)', async () => {
    const follower = await cluster.start('n2', node.url);
    await node.manifest.commit([put('a')]);
    await eventually('the row', async () => (await follower.manifest.lookup('web', 'a')).length);
    await follower[Symbol.asyncDispose]();
    await node.manifest.commit([put('b')]);
    await eventually('the end of hinting', () => node.metrics.value('hints_total', 'given-up'));
    await node.manifest.commit([put('c')]);
    expect(node.metrics.value('hints_total')).to.equal(1);
    const again = await cluster.start('n2', node.url);
    await eventually('the rows', async () => (await again.manifest.lookup('web', 'c')).length);
  });

  it('is a clear error where no node answers', async () => {
    await using client = new PrimaryClient('http://127.0.0.1:1', { token: CLUSTER_TOKEN });
    const failure = await client.state({ known: ME.known, node: 'n9' }).catch((e: unknown) => e);
    expect(failure).to.have.property('kind', 'unavailable');
    expect(String(failure)).to.include('ECONNREFUSED');
  });
});
