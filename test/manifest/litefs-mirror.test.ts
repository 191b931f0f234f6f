import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { ChangeStatements } from '../../src/manifest/change-statements.ts';
import { LiteFsMirror } from '../../src/manifest/litefs-mirror.ts';
import { ManifestDatabase } from '../../src/manifest/manifest-database.ts';
import { openDatabase } from '../../src/sqlite/open-database.ts';
import { putRequest } from '../support/litefs-writer.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const TABLES = ['namespaces', 'entries', 'journal', 'purges', 'counters'] as const;

/** The copy of the manifest that requests read on LiteFS; its source is as good on a plain disk. */
describe('LiteFsMirror', () => {
  let folder: TempFolder;
  let path: string;
  let source: ManifestDatabase;
  let statements: ChangeStatements;

  beforeEach(async () => {
    folder = await tempFolder();
    path = join(folder.path, 'mirror.db');
    source = new ManifestDatabase(join(folder.path, 'manifest.db'), { journal: 'delete' });
    statements = new ChangeStatements(source);
  });
  afterEach(async () => {
    source.close();
    await folder[Symbol.asyncDispose]();
  });

  const put = (...keys: readonly string[]): void => {
    source.transaction(
      () => {
        for (const key of keys) statements.put(putRequest(key));
      },
      () => {},
    );
  };
  const purge = (key: string): void => {
    source.transaction(
      () =>
        statements.purge(
          {
            op: 'purge',
            changeId: randomUUID(),
            purge: { kind: 'key', value: key, namespace: 'web', soft: false, actor: 'test' },
            namespaces: [],
            at: Date.now(),
          },
          undefined,
          100,
        ),
      () => {},
    );
  };
  /** Copies until there is nothing more; gives how many rounds it took. */
  const copy = (mirror: LiteFsMirror): number => {
    for (let rounds = 1; ; rounds++) {
      const collected = source.database.transaction(() => mirror.collect(source.database))();
      mirror.apply(collected);
      if (collected.isLevel) return rounds;
    }
  };
  /** Every row of a database but for the times that triggers keep. */
  const rowsOf = (file: string): unknown => {
    const database = openDatabase(file, { readOnly: true });
    try {
      return TABLES.map((table) =>
        (database.prepare(`SELECT * FROM ${table} ORDER BY 1, 2, 3`).all() as object[]).map(
          (row) => ({
            ...row,
            updated_at: 0,
          }),
        ),
      );
    } finally {
      database.close();
    }
  };
  const expectSame = (): void =>
    void expect(rowsOf(path)).to.deep.equal(rowsOf(join(folder.path, 'manifest.db')));

  it('has every row of the source, and follows puts, purges and new namespaces', () => {
    using mirror = new LiteFsMirror(path);
    put('a', 'b', 'c');
    expect(copy(mirror)).to.equal(1);
    expectSame();
    put('a', 'd');
    purge('b');
    source.transaction(
      () => statements.put({ ...putRequest('m'), namespace: 'go' }),
      () => {},
    );
    copy(mirror);
    expectSame();
  });

  it('knows which change has a number, and how far it is', () => {
    using mirror = new LiteFsMirror(path);
    const request = putRequest('a');
    source.transaction(
      () => statements.put(request),
      () => {},
    );
    expect([mirror.has('web', 1, request.changeId), mirror.positions().get('web')]).to.deep.equal([
      false,
      undefined,
    ]);
    copy(mirror);
    expect(mirror.has('web', 1, request.changeId)).to.equal(true);
    expect(mirror.has('web', 1, randomUUID())).to.equal(false);
    expect(mirror.positions().get('web')).to.equal(1);
  });

  it('takes what a transaction writes before it is committed, and drops it when it is not', () => {
    using mirror = new LiteFsMirror(path);
    put('a');
    copy(mirror);
    expect(() =>
      source.transaction(
        () => statements.put(putRequest('lost')),
        () => {
          mirror.collect(source.database);
          throw new Error('rolled back');
        },
      ),
    ).to.throw('rolled back');
    copy(mirror);
    expectSame();
  });

  it('goes on where it was when it is opened again, some hundred rows at a time', () => {
    const keys = Array.from({ length: 1200 }, (_, index) => `k${index}`);
    {
      using mirror = new LiteFsMirror(path);
      put(...keys.slice(0, 700));
      copy(mirror);
    }
    put(...keys.slice(700));
    put(...keys);
    using mirror = new LiteFsMirror(path);
    expect(copy(mirror)).to.be.greaterThan(1);
    expectSame();
  });

  it('is copied anew, key by key, where the journal no longer reaches back', () => {
    using mirror = new LiteFsMirror(path);
    put('gone', 'a');
    copy(mirror);
    purge('gone');
    put(...Array.from({ length: 1100 }, (_, index) => `k${index}`));
    source.database.exec(
      'DELETE FROM journal WHERE jid < 1000; UPDATE namespaces SET first_jid = 1000',
    );
    expect(copy(mirror)).to.be.greaterThan(2);
    const database = openDatabase(path, { readOnly: true });
    const live = database.prepare('SELECT count(*) FROM entries WHERE deleted = 0').pluck().get();
    expect(live).to.equal(1101);
    expect(database.prepare('SELECT next_jid, first_jid FROM namespaces').get()).to.deep.equal(
      source.database.prepare('SELECT next_jid, next_jid AS first_jid FROM namespaces').get(),
    );
    database.close();
    put('after');
    copy(mirror);
    expect(JSON.stringify(rowsOf(path))).to.include('after');
  });

  it('keeps nothing of a manifest that began again', () => {
    using mirror = new LiteFsMirror(path);
    put('old-1', 'old-2', 'old-3');
    copy(mirror);
    source.database.exec(
      `DELETE FROM entries; DELETE FROM journal; DELETE FROM counters; DELETE FROM namespaces`,
    );
    put('new');
    copy(mirror);
    expectSame();
  });

  it('is made anew where it is damaged', () => {
    writeFileSync(path, 'no database at all, for a hundred bytes and more'.repeat(10));
    using mirror = new LiteFsMirror(path);
    put('a');
    copy(mirror);
    expectSame();
  });
});
