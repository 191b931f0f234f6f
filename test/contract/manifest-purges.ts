import { expect } from 'chai';
import { HeaderList } from '../../src/headers.ts';
import type { Entry } from '../../src/manifest/entry.ts';
import type { CommitResult, Manifest, Purge } from '../../src/manifest/manifest.ts';
import { put } from '../support/manifest-fixtures.ts';

const hard: Purge = { kind: 'key', value: '', namespace: 'web', soft: false, actor: 'test' };

function outcomes(results: readonly CommitResult[]): string[] {
  return results.map(({ outcome }) => outcome);
}

function keys(entries: readonly Entry[]): string[] {
  return entries.map(({ key }) => key);
}

/** What every `Manifest` promises of purges: one wins over all that began before it. */
export function purgeContract(make: () => Promise<Manifest>): void {
  describe('purge', () => {
    let manifest: Manifest;
    beforeEach(async () => {
      manifest = await make();
    });
    afterEach(() => manifest[Symbol.asyncDispose]());

    it('purges by key, prefix, rule and all, and leaves neighbours alone', async () => {
      const all = ['m/one', 'm/one-two', 'm/one/x', 'm/one\u{10ffff}', 'n'];
      await manifest.commit(
        all.map((key) => put(key, 0, { rule: key === 'n' ? 'other' : 'site' })),
      );
      const left = async (): Promise<string[]> =>
        keys((await manifest.list({ limit: 10 })).entries);
      expect((await manifest.purge({ ...hard, value: 'm/one' })).entries).to.equal(1);
      expect(await left()).to.deep.equal(all.slice(1));
      expect((await manifest.purge({ ...hard, kind: 'prefix', value: 'm/one/' })).entries).to.equal(
        1,
      );
      expect(await left()).to.deep.equal(['m/one-two', 'm/one\u{10ffff}', 'n']);
      expect((await manifest.purge({ ...hard, kind: 'rule', value: 'other' })).entries).to.equal(1);
      expect(await left()).to.deep.equal(['m/one-two', 'm/one\u{10ffff}']);
      const { entries, jids } = await manifest.purge({
        ...hard,
        kind: 'all',
        namespace: undefined,
      });
      expect(entries).to.equal(2);
      expect(jids).to.deep.equal({ web: 12 });
      expect(await left()).to.deep.equal([]);
      for (const key of all) expect(await manifest.lookup('web', key)).to.deep.equal([]);
    });

    it('purges by tag, hard and soft, what is pending and what began before', async () => {
      const tagged = (...tags: string[]) => ({
        headers: new HeaderList([['Surrogate-Key', tags.join(' ')]]),
      });
      const byTag: Purge = { ...hard, kind: 'tag', value: 'x' };
      await manifest.commit([put('a', 0, tagged('x', 'y')), put('b', 0, tagged('y')), put('c')]);
      const base = manifest.position('web');
      const pending = manifest.commit([put('d', base, tagged('x'))]);
      const running = manifest.purge(byTag);
      for (const key of ['a', 'd']) expect(await manifest.lookup('web', key)).to.deep.equal([]);
      for (const key of ['b', 'c']) expect(await manifest.lookup('web', key)).to.have.length(1);
      expect((await running).entries).to.equal(1);
      expect(outcomes(await pending)).to.deep.equal(['purged']);
      const late = [put('a', base, tagged('x')), put('e', base, tagged('y')), put('f', base)];
      expect(outcomes(await manifest.commit(late))).to.deep.equal([
        'purged',
        'committed',
        'committed',
      ]);
      manifest.hold(put('g', base, tagged('x')).entry, base);
      expect(await manifest.lookup('web', 'g')).to.deep.equal([]);
      manifest.hold(put('g', 0, tagged('y')).entry, manifest.position('web'));
      const { entries } = await manifest.purge({ ...byTag, value: 'y', soft: true });
      expect(entries).to.equal(2);
      for (const key of ['b', 'e']) {
        const [entry] = await manifest.lookup('web', key);
        expect(entry?.freshUntil, key).to.be.at.most(Date.now());
      }
      expect(await manifest.lookup('web', 'g')).to.deep.equal([]);
      expect((await manifest.purge({ ...byTag, value: 'X' })).entries).to.equal(0);
    });

    it('takes what is pending, 200 times, and never shows it again', async () => {
      for (let round = 0; round < 200; round++) {
        const written = manifest.commit([put('a', manifest.position('web'))]);
        if (round % 2) await new Promise((resolve) => setImmediate(resolve));
        const purged = manifest.purge({ ...hard, value: 'a' });
        expect(await manifest.lookup('web', 'a'), `round ${round}`).to.deep.equal([]);
        await purged;
        expect(await manifest.lookup('web', 'a'), `round ${round}, answered`).to.deep.equal([]);
        expect(outcomes(await written)).to.deep.equal(['purged']);
        expect(await manifest.lookup('web', 'a'), `round ${round}, written`).to.deep.equal([]);
      }
    });

    it('refuses what began before a purge and takes what began after it', async () => {
      const purges: Purge[] = [
        { ...hard, value: 'a' },
        { ...hard, kind: 'prefix', value: '' },
        { ...hard, kind: 'rule', value: 'site' },
        { ...hard, kind: 'all', namespace: undefined },
        { ...hard, value: 'a', soft: true },
      ];
      for (const purge of purges) {
        const before = manifest.position('web');
        const running = manifest.purge(purge);
        expect(
          outcomes(await manifest.commit([put('a', before)])),
          `${purge.kind}, under way`,
        ).to.deep.equal(['purged']);
        await running;
        expect(
          outcomes(await manifest.commit([put('a', before)])),
          `${purge.kind}, before`,
        ).to.deep.equal(['purged']);
        expect(outcomes(await manifest.commit([put('a', manifest.position('web'))]))).to.deep.equal(
          ['committed'],
        );
        expect(await manifest.lookup('web', 'a')).to.have.length(1);
      }
    });

    it('makes entries stale by a soft purge, pending ones too', async () => {
      await manifest.commit([put('a')]);
      const pending = manifest.commit([put('b', 1)]);
      const at = Date.now();
      const running = manifest.purge({ ...hard, kind: 'all', value: '', soft: true });
      const check = async (): Promise<void> => {
        for (const key of ['a', 'b']) {
          const [entry] = await manifest.lookup('web', key);
          expect(entry?.freshUntil, key).to.be.within(at - 1, Date.now());
        }
      };
      await check();
      expect(outcomes(await pending)).to.deep.equal(['committed']);
      expect((await running).entries).to.equal(2);
      await check();
      const { rows } = await manifest.journal('web', '', 10);
      expect(rows.map(({ op }) => op)).to.deep.equal(['put', 'put', 'purge', 'refresh', 'refresh']);
    });
  });
}
