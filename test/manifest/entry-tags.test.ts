import { join } from 'node:path';
import { expect } from 'chai';
import { type HeaderLine, HeaderList } from '../../src/headers.ts';
import { rowSum } from '../../src/manifest/entry-row.ts';
import { MAX_TAG_LENGTH, MAX_TAGS, readTags } from '../../src/manifest/entry-tags.ts';
import { ManifestDatabase } from '../../src/manifest/manifest-database.ts';
import { rowsToPurge } from '../../src/manifest/purge-rows.ts';
import { MANIFEST_MIGRATIONS, MANIFEST_SCHEMA } from '../../src/manifest/schema.ts';
import { migrate } from '../../src/sqlite/migrations.ts';
import { openDatabase } from '../../src/sqlite/open-database.ts';
import { openIn, put, remove } from '../support/manifest-fixtures.ts';
import { Random } from '../support/random.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const CASES = 200;
const WORDS = ['a', 'B', 'é', 'art-7', "o'k", '"q"', '\\', '\\u0041', '%', '[]', ' ', '\t', ','];

function tagged(value: string, name = 'Surrogate-Key'): { headers: HeaderList } {
  return { headers: new HeaderList([[name, value]]) };
}

function lines(random: Random): HeaderLine[] {
  return Array.from({ length: random.integer(0, 5) }, () => [
    random.pick(['Surrogate-Key', 'surrogate-KEY', 'Cache-Tag', 'X', 'Cache-Tags']),
    Array.from({ length: random.integer(0, 300) }, () => random.pick(WORDS)).join(
      random.pick(['', ' ', ',', ' , ']),
    ),
  ]);
}

describe('tags of answers', () => {
  let folder: TempFolder;
  let path: string;
  beforeEach(async () => {
    folder = await tempFolder();
    path = join(folder.path, 'manifest.db');
  });
  afterEach(() => folder[Symbol.asyncDispose]());

  /** Rows of the table of tags as `key tag`. */
  function rows(): string[] {
    const database = openDatabase(path, { readOnly: true });
    const found = database.prepare('SELECT key, tag FROM entry_tags').raw().all() as string[][];
    database.close();
    return found.map((row) => row.join(' ')).toSorted();
  }

  it('are what Surrogate-Key and Cache-Tag name, within limits', () => {
    const read = (...headers: HeaderLine[]) => {
      const { tags, dropped } = readTags(new HeaderList(headers));
      return [[...tags], dropped];
    };
    expect(read(['Surrogate-Key', ' a  b\tc ']), 'spaces').to.deep.equal([['a', 'b', 'c'], 0]);
    expect(read(['cache-tag', 'a b, c ,,d']), 'commas').to.deep.equal([['a b', 'c', 'd'], 0]);
    expect(read(['Surrogate-Key', 'a'], ['Surrogate-Key', 'b a'])).to.deep.equal([['a', 'b'], 0]);
    expect(read(['Etag', 'a'], ['Cache-Tags', 'b'])).to.deep.equal([[], 0]);
    const long = 'x'.repeat(MAX_TAG_LENGTH);
    expect(read(['Surrogate-Key', `${long} ${long}y z`])).to.deep.equal([[long, 'z'], 1]);
    const many = Array.from({ length: MAX_TAGS + 3 }, (_, index) => `t${index}`);
    expect(read(['Surrogate-Key', many.join(' ')])).to.deep.equal([many.slice(0, MAX_TAGS), 3]);
  });

  it('are kept by the database as they are read here', () => {
    const random = new Random();
    const manifest = new ManifestDatabase(path);
    manifest.database.pragma('foreign_keys = OFF');
    const insert = manifest.database.prepare(
      `INSERT INTO entries SELECT ${'1, ?,'} '', 's', 'GET', '', '', '[]', '[]', 200, ?, '{}', '', 0, NULL, '', 0, 0, 0, 0, 1, 0, 0, 0`,
    );
    const tags = manifest.database.prepare('SELECT tag FROM entry_tags WHERE key = ?').pluck();
    for (let number = 0; number < CASES; number++) {
      const headers = new HeaderList(lines(random));
      insert.run(String(number), JSON.stringify(headers.toRaw()));
      const expected = [...readTags(headers).tags].toSorted();
      expect((tags.all(String(number)) as string[]).toSorted()).to.deep.equal(expected);
    }
    manifest.close();
  });

  it('follow their entries', async () => {
    await using manifest = await openIn(folder.path);
    await manifest.commit([put('a', 0, tagged('x y')), put('b', 0, tagged('x', 'Cache-Tag'))]);
    expect(rows()).to.deep.equal(['a x', 'a y', 'b x']);
    await manifest.commit([put('a', 0, tagged('y z'))]);
    expect(rows()).to.deep.equal(['a y', 'a z', 'b x']);
    await manifest.commit([put('b', 0)]);
    expect(rows()).to.deep.equal(['a y', 'a z']);
    await manifest.commit([remove('a')]);
    expect(rows()).to.deep.equal([]);
    await manifest.commit([put('a', 0, tagged('y'))]);
    expect(rows()).to.deep.equal(['a y']);
  });

  it('are found for entries of an older schema, and an older caje goes on with the newer one', () => {
    const older = MANIFEST_MIGRATIONS.slice(0, 3);
    const row = (key: string, value: string) => {
      const headers = JSON.stringify(['Surrogate-Key', value]);
      const values = [1, key, '', 's', 'GET', '', '', '[]', '[]', 200, headers, '{}', 'd', 1, null];
      const summed = [...values, 'o', 1, 2, 3, 4, 5, 0];
      return [...summed, rowSum(summed)];
    };
    const write = (key: string, value: string) => {
      const database = openDatabase(path);
      migrate(database, MANIFEST_SCHEMA, older);
      database.pragma('foreign_keys = OFF');
      const columns = `nsid, key, variant, rule, method, url, public_host, vary, request_headers, status, response_headers, policy,
        digest, size, h1, source, stored_at, fresh_until, stale_at, first_seen_at, jid, deleted, row_sum`;
      database
        .prepare(`INSERT INTO entries (${columns}) VALUES (${row(key, value).map(() => '?')})`)
        .run(...row(key, value));
      database.close();
    };
    write('a', `x ${Array.from({ length: MAX_TAGS }, (_, index) => `t${index}`).join(' ')}`);
    write('b', 'x y');
    new ManifestDatabase(path).close();
    expect(rows().filter((text) => text.startsWith('a'))).to.have.length(MAX_TAGS);
    expect(rows()).to.include.members(['a x', 'b x', 'b y']);
    write('c', 'x');
    expect(rows()).to.include('c x');
  });

  it('are looked up by their own index, page by page', async () => {
    const keys = Array.from({ length: 25 }, (_, index) => `k${String(index).padStart(2, '0')}`);
    {
      await using manifest = await openIn(folder.path);
      await manifest.commit(keys.map((key) => put(key, 0, tagged('x'))));
    }
    const { database } = new ManifestDatabase(path);
    const nsid = database.prepare('SELECT nsid FROM namespaces').pluck().get() as number;
    const found: string[] = [];
    let after: readonly [string, string] = ['', ''];
    for (;;) {
      const purge = { kind: 'tag', value: 'x' } as const;
      const page = rowsToPurge(database, { nsid, before: 99, purge, after, limit: 10 });
      found.push(...page.map(([, key]) => key as string));
      if (page.length < 10) break;
      after = [found.at(-1) as string, ''];
    }
    database.close();
    expect(found).to.deep.equal(keys);
  });
});
