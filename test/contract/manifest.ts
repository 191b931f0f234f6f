import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import { HeaderList } from '../../src/headers.ts';
import type { Entry } from '../../src/manifest/entry.ts';
import type { Manifest, Purge } from '../../src/manifest/manifest.ts';
import { digestOf } from '../../src/storage/digest.ts';
import { newEntry, plainPolicy, put, remove } from '../support/manifest-fixtures.ts';
import { listContract } from './manifest-lists.ts';
import { purgeContract } from './manifest-purges.ts';

/** A manifest that starts empty; disposed, it leaves nothing behind. */
export type MakeManifest = () => Promise<Manifest>;

const hard: Purge = { kind: 'key', value: '', namespace: 'web', soft: false, actor: 'test' };

function keys(entries: readonly Entry[]): string[] {
  return entries.map(({ key }) => key);
}

/** What every `Manifest` promises, run on one implementation. */
export function manifestContract(name: string, make: MakeManifest): void {
  describe(`${name} as a Manifest`, () => {
    purgeContract(make);
    listContract(make);

    let manifest: Manifest;
    beforeEach(async () => {
      manifest = await make();
    });
    afterEach(() => manifest[Symbol.asyncDispose]());

    it('gives an entry back as it was put, with its number', async () => {
      const entry = newEntry('a', {
        variant: 'v1',
        vary: ['accept'],
        requestHeaders: new HeaderList([['Accept', 'text/html']]),
        headers: new HeaderList([
          ['Set-Cookie', 'a=1'],
          ['Set-Cookie', 'b=é'],
          ['eTag', '"x"'],
        ]),
        policy: { ...plainPolicy, initialAge: 3, mustRevalidate: true },
        h1: 'h1:abc=',
      });
      expect(await manifest.lookup('web', 'a')).to.deep.equal([]);
      const [result] = await manifest.commit([
        { op: 'put', changeId: randomUUID(), entry, baseJid: 0, actor: 'test' },
      ]);
      expect(result).to.deep.equal({ outcome: 'committed', jid: 1 });
      const [found] = await manifest.lookup('web', 'a');
      expect(found).to.deep.include({ ...entry, jid: 1 });
      expect(found?.firstSeenAt).to.be.a('number').and.equal(found?.storedAt);
    });

    it('counts a put as soon as it is handed in', async () => {
      const written = manifest.commit([put('a')]);
      expect(manifest.peek('web', 'a')?.map(({ jid }) => jid)).to.deep.equal([0]);
      expect(keys(await manifest.lookup('web', 'a'))).to.deep.equal(['a']);
      await written;
      expect(manifest.peek('web', 'a')?.map(({ jid }) => jid)).to.deep.equal([1]);
    });

    it('numbers changes strictly +1 in each namespace (J1)', async () => {
      const changes = Array.from({ length: 50 }, (_, i) =>
        put(`k${i}`, 0, { namespace: i % 2 ? 'web' : 'go' }),
      );
      await Promise.all(changes.map((change) => manifest.commit([change])));
      for (const namespace of ['web', 'go']) {
        const { rows } = await manifest.journal(namespace, '', 100);
        expect(rows.map(({ jid }) => jid)).to.deep.equal(
          Array.from({ length: 25 }, (_, i) => i + 1),
        );
        expect(manifest.position(namespace)).to.equal(25);
      }
    });

    it('keeps one row for twenty puts of one key at once (M1)', async () => {
      await Promise.all(Array.from({ length: 20 }, () => manifest.commit([put('a')])));
      expect((await manifest.list({ limit: 100 })).entries).to.have.length(1);
      expect(manifest.position('web')).to.equal(20);
    });

    it('keeps variants apart, newest first, and the time a variant was first seen', async () => {
      await manifest.commit([put('a', 0, { variant: 'x' })]);
      const [first] = await manifest.lookup('web', 'a');
      await manifest.commit([put('a', 0, { variant: 'y' })]);
      await manifest.commit([put('a', 0, { variant: 'x', digest: digestOf(Buffer.from('new')) })]);
      const found = await manifest.lookup('web', 'a');
      expect(found.map(({ variant }) => variant)).to.deep.equal(['x', 'y']);
      expect(found[0]?.firstSeenAt).to.equal(first?.firstSeenAt);
    });

    it('applies a change once, however often it is handed in', async () => {
      const change = put('a');
      const [first] = await manifest.commit([change]);
      await manifest.commit([put('b')]);
      expect(await manifest.commit([change])).to.deep.equal([first]);
      expect(manifest.position('web')).to.equal(2);
    });

    it('writes one journal row per change: put, refresh, delete, purge', async () => {
      await manifest.commit([put('a'), put('a'), remove('a')]);
      await manifest.purge({ ...hard, value: 'a' });
      const { rows, cursor } = await manifest.journal('web', '', 100);
      expect(rows.map(({ op, key, jid }) => [op, key, jid])).to.deep.equal([
        ['put', 'a', 1],
        ['refresh', 'a', 2],
        ['delete', 'a', 3],
        ['purge', 'a', 4],
      ]);
      expect(rows.map(({ size }) => size)).to.deep.equal([1, 1, undefined, undefined]);
      expect(cursor).to.match(/^[0-9a-f]+:4$/);
    });

    it('hands the journal out in pages and refuses cursors it does not know', async () => {
      await manifest.commit([put('a'), put('b'), put('c')]);
      const first = await manifest.journal('web', '', 2);
      const second = await manifest.journal('web', first.cursor, 2);
      const third = await manifest.journal('web', second.cursor, 2);
      expect([first, second, third].map(({ rows }) => keys(rows as never))).to.deep.equal([
        ['a', 'b'],
        ['c'],
        [],
      ]);
      expect(third.cursor).to.equal(second.cursor);
      expect(await manifest.journal('web', 'ffff:1', 2).catch(kindOf)).to.equal('gone');
      expect(
        await manifest.journal('web', first.cursor.replace(/\d+$/, '99'), 2).catch(kindOf),
      ).to.equal('gone');
      expect(await manifest.journal('web', 'nonsense', 2).catch(kindOf)).to.equal('invalid');
    });

    it('forgets a deleted key, or one of its variants', async () => {
      await manifest.commit([
        put('a', 0, { variant: 'x' }),
        put('a', 0, { variant: 'y' }),
        put('b'),
      ]);
      await manifest.commit([remove('a', 'x')]);
      expect((await manifest.lookup('web', 'a')).map(({ variant }) => variant)).to.deep.equal([
        'y',
      ]);
      await manifest.commit([remove('a')]);
      expect(await manifest.lookup('web', 'a')).to.deep.equal([]);
      expect(keys((await manifest.list({ limit: 10 })).entries)).to.deep.equal(['b']);
    });

    it('notes a refresh on this node without a journal row', async () => {
      await manifest.commit([put('a')]);
      const [entry] = (await manifest.lookup('web', 'a')) as [Entry];
      const freshUntil = entry.freshUntil + 5000;
      manifest.refresh(entry, {
        freshUntil,
        staleAt: entry.staleAt,
        policy: { ...entry.policy, initialAge: 9 },
      });
      const [now] = await manifest.lookup('web', 'a');
      expect([now?.freshUntil, now?.policy.initialAge, now?.jid]).to.deep.equal([freshUntil, 9, 1]);
      expect(manifest.position('web')).to.equal(1);
    });

    it('does not refresh another answer than the one that was confirmed', async () => {
      await manifest.commit([put('a')]);
      const [old] = (await manifest.lookup('web', 'a')) as [Entry];
      await manifest.commit([put('a', 1, { digest: digestOf(Buffer.from('new')), freshUntil: 1 })]);
      manifest.refresh(old, { freshUntil: 5, staleAt: 5, policy: old.policy });
      expect((await manifest.lookup('web', 'a'))[0]?.freshUntil).to.equal(1);
    });

    it('holds an answer in memory only, beside what is stored', async () => {
      await manifest.commit([put('a', 0, { variant: 'x' })]);
      manifest.hold(
        newEntry('a', { status: 404, variant: 'y', digest: digestOf(Buffer.from('held')) }),
      );
      expect((await manifest.lookup('web', 'a')).map(({ status }) => status)).to.deep.equal([
        404, 200,
      ]);
      expect((await manifest.list({ limit: 10 })).entries).to.have.length(1);
      expect(await manifest.isReferenced(digestOf(Buffer.from('held')))).to.equal(true);
      const before = manifest.position('web');
      await manifest.purge({ ...hard, value: 'a' });
      manifest.hold(newEntry('a', { status: 404 }), before);
      expect(await manifest.lookup('web', 'a')).to.deep.equal([]);
    });

    it('knows which bodies are named, pending ones too', async () => {
      const { digest } = newEntry('a');
      expect(await manifest.isReferenced(digest)).to.equal(false);
      const written = manifest.commit([put('a')]);
      expect(await manifest.isReferenced(digest)).to.equal(true);
      await written;
      expect(await manifest.isReferenced(digest)).to.equal(true);
      await manifest.commit([remove('a')]);
      expect(await manifest.isReferenced(digest)).to.equal(false);
    });

    it('counts a body as named while a row for it is expected', async () => {
      const { digest } = newEntry('a');
      const [first, second] = [manifest.expect(digest), manifest.expect(digest)];
      first();
      expect(await manifest.isReferenced(digest)).to.equal(true);
      second();
      expect(await manifest.isReferenced(digest)).to.equal(false);
    });

    it('tells of every change until asked not to', async () => {
      const told: (string | undefined)[] = [];
      const end = manifest.onChange((namespace, key) => told.push(`${namespace} ${key ?? '*'}`));
      await manifest.commit([put('a')]);
      expect(told).to.include('web a');
      await manifest.purge({ ...hard, kind: 'all', value: '' });
      expect(told).to.include('web *');
      end();
      const before = told.length;
      await manifest.commit([put('b', manifest.position('web'))]);
      expect(told).to.have.length(before);
    });

    it('says that it is well', async () => {
      await manifest.commit([put('a')]);
      expect(manifest.health()).to.deep.equal({ pending: 0 });
    });
  });
}
