import { join } from 'node:path';
import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import {
  AT,
  isIntact,
  ROW_COLUMNS,
  rowSum,
  type SqlValue,
  toRowValues,
} from '../../src/manifest/entry-row.ts';
import { ManifestDatabase } from '../../src/manifest/manifest-database.ts';
import { COLUMNS, JOURNAL_COLUMNS } from '../../src/manifest/primary-feed.ts';
import type { ChangePage, NamespaceInfo, Row } from '../../src/manifest/primary-protocol.ts';
import { ReplicaStatements } from '../../src/manifest/replica-statements.ts';
import { newEntry } from '../support/manifest-fixtures.ts';
import { tempFolder } from '../support/temp-folder.ts';

const INFO: NamespaceInfo = {
  ...{ name: 'web', nsid: 1, kind: 'cache', epoch: 'ab', firstJid: 1, nextJid: 3 },
  ...{ lastPurgeJid: 0, purgeFloor: 0, lastSeenAt: 0, counters: { entries: 1, bytes: 1 } },
};

function entry(key: string, jid: number): SqlValue[] {
  const row = [1, ...toRowValues(newEntry(key, { freshUntil: 1, staleAt: 2 }), 5), 5, jid, 0];
  return [...row, rowSum(row)];
}

function change(jid: number, key: string): Row {
  const values: Record<(typeof JOURNAL_COLUMNS)[number], SqlValue> = {
    ...{ jid, key, variant: '', op: 'put', digest: 'd', size: 1, base_jid: 0 },
    ...{ change_id: `c${jid}`, actor: 'test', at: 5 },
  };
  return JOURNAL_COLUMNS.map((column) => values[column]);
}

function page(over: Partial<ChangePage> = {}): ChangePage {
  return {
    ...{ namespace: 'web', since: 0, to: 1, purges: [] },
    journal: [change(1, 'a')],
    entries: [entry('a', 1)],
    ...over,
  };
}

describe('rows of a primary', () => {
  async function inDatabase(
    work: (statements: ReplicaStatements, manifest: ManifestDatabase) => void,
  ): Promise<void> {
    await using folder = await tempFolder();
    const manifest = new ManifestDatabase(join(folder.path, 'manifest.db'));
    try {
      const statements = new ReplicaStatements(manifest);
      statements.begin(INFO);
      work(statements, manifest);
    } finally {
      manifest.close();
    }
  }

  function rows({ database }: ManifestDatabase): SqlValue[][] {
    return database
      .prepare(`SELECT ${ROW_COLUMNS.join(', ')} FROM entries`)
      .raw()
      .all() as SqlValue[][];
  }

  it('are applied once, where the namespace stands', async () => {
    await inDatabase((statements, manifest) => {
      expect(statements.apply(page(), INFO, COLUMNS)).to.equal(true);
      expect(statements.apply(page(), INFO, COLUMNS)).to.equal(false);
      expect(
        statements.apply(page({ since: 1, to: 1, journal: [] }), { ...INFO, epoch: 'cd' }, COLUMNS),
      ).to.equal(false);
      expect(rows(manifest)).to.deep.equal([entry('a', 1)]);
      expect(statements.namespaces()[0]).to.include({ epoch: 'ab', nextJid: 2 });
    });
  });

  it('of a newer version are read by their columns, and summed anew (F-106)', async () => {
    await inDatabase((statements, manifest) => {
      const newer = {
        ...COLUMNS,
        entries: ['later', ...ROW_COLUMNS],
        journal: [...COLUMNS.journal, 'why'],
      };
      const sent = page({
        entries: [['x', ...entry('a', 1).slice(0, -1), 12_345]],
        journal: [[...change(1, 'a'), 'because']],
      });
      expect(statements.apply(sent, INFO, newer)).to.equal(true);
      const [row = []] = rows(manifest);
      expect(isIntact(row)).to.equal(true);
      expect(row).to.deep.equal(entry('a', 1));
    });
  });

  it('are refused whole where one is not as it was written, or a number is left out', async () => {
    await inDatabase((statements, manifest) => {
      const broken = entry('a', 1);
      broken[AT.url] = 'http://elsewhere.example/';
      const cases = [page({ entries: [broken] }), page({ to: 2, journal: [change(2, 'a')] })];
      for (const sent of cases) {
        const refused = (): boolean =>
          manifest.transaction(
            () => statements.apply(sent, INFO, COLUMNS),
            () => {},
          );
        let kind: string | undefined;
        try {
          refused();
        } catch (error) {
          kind = kindOf(error);
        }
        expect(kind).to.equal('integrity');
        expect(rows(manifest)).to.deep.equal([]);
        expect(statements.namespaces()[0]?.nextJid).to.equal(1);
      }
    });
  });
});
