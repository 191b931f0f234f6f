import { chmod, readFile } from 'node:fs/promises';
import { OfdLock } from '@caje/litefs';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { holdLock } from '../support/hold-lock.ts';
import { eventually } from './eventually.ts';
import { entryRows, manifestPath, queryManifest } from './node-files.ts';
import { Site, xCache } from './site.ts';

/** A node that does not wait for a lock answers far below this, one that does far above. */
const AT_ONCE_MS = 4_000;

describe('criteria of the manifest', function () {
  this.timeout(60_000);
  let site: Site;
  before(async () => {
    site = await Site.start();
  });
  after(async () => await site?.[Symbol.asyncDispose]());

  it('M1: twenty first requests at once, and again after expiry, make one row', async () => {
    const path = '/one-row?cc=max-age=1';
    const twenty = async (): Promise<void> => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => site.get(path)));
      for (const { status, body } of answers) {
        expect(status).to.equal(200);
        expect(body.equals(site.bytes(path, 1024))).to.equal(true);
      }
    };
    await twenty();
    await eventually('its row', () => entryRows(site.node, path)[0]);
    await eventually('its expiry', async () => xCache(await site.get(path)) !== 'HIT');
    site.origin.bumpVersion(path);
    await eventually('its expiry again', async () => xCache(await site.get(path)) !== 'HIT');
    await twenty();
    expect(
      queryManifest(site.node, 'SELECT 1 FROM entries WHERE key LIKE ?', `%${path}`),
    ).to.have.length(1);
  });

  it('M2: the row tells everything about the answer, and holds no body', async () => {
    const path = '/described';
    const secretBody = 'a text that is found in bodies alone';
    site.serve(path, {
      headers: [
        ['Vary', 'Accept-Language'],
        ['X-Told', 'yes'],
      ],
      body: secretBody,
    });
    await site.keep(path, { headers: { 'accept-language': 'de', 'x-other': 'untold' } });
    const [row] = queryManifest<Record<string, unknown>>(
      site.node,
      'SELECT * FROM entries WHERE key LIKE ?',
      `%${path}`,
    );
    expect(row).to.include({
      method: 'GET',
      public_host: new URL(site.node.url).host,
      status: 200,
      size: secretBody.length,
      url: path,
    });
    expect(row?.['request_headers'])
      .to.match(/Accept-Language.*de/i)
      .and.not.match(/untold/);
    expect(row?.['response_headers']).to.match(/X-Told.*yes/i);
    expect(JSON.parse(String(row?.['policy'])))
      .to.be.an('object')
      .and.not.deep.equal({});
    expect(row?.['digest']).to.match(/^[0-9a-f]{64}$/);
    expect(row?.['jid']).to.be.greaterThan(0);
    expect(Object.keys(row ?? {}).filter((column) => column.includes('body'))).to.deep.equal([]);
    const wal = `${manifestPath(site.node)}-wal`;
    for (const file of [manifestPath(site.node), wal]) {
      expect((await readFile(file)).includes(secretBody), file).to.equal(false);
    }
  });

  it('M3: after a restart it is a HIT without the origin', async () => {
    const paths = ['/restarted?size=1000', '/restarted?size=2000000'];
    for (const path of paths) await site.keep(path);
    await site.node.stop();
    await site.node.restart();
    for (const path of paths) {
      const answer = await site.get(path);
      expect(xCache(answer)).to.equal('HIT');
      expect(answer.body.equals(site.bytes(path, answer.body.length))).to.equal(true);
      expect(site.origin.counts(path).requests).to.equal(1);
    }
  });

  it('M4: while another process holds the lock pages come at once, their rows after its release', async () => {
    await using holder = await holdLock(`${manifestPath(site.node)}-lock`);
    expect(holder.said).to.equal('held');
    const began = performance.now();
    expect((await site.get('/locked')).status).to.equal(200);
    expect((await site.get('/_caje/healthz')).status).to.equal(200);
    expect(performance.now() - began).to.be.lessThan(AT_ONCE_MS);
    await eventually(
      'a HIT of what waits',
      async () => xCache(await site.get('/locked')) === 'HIT',
    );
    expect(entryRows(site.node, '/locked')).to.deep.equal([]);
    await holder.release();
    await eventually('its row', () => entryRows(site.node, '/locked')[0]);
    expect(site.origin.counts('/locked').requests).to.equal(1);
  });

  it('M1: the schema itself allows a key and variant once', async () => {
    await site.keep('/unique');
    await site.node.stop();
    const database = new Database(manifestPath(site.node));
    try {
      const columns = database
        .prepare<[], string>(`SELECT name FROM pragma_table_info('entries')`)
        .pluck()
        .all()
        .join();
      const insert = database.prepare(
        `INSERT INTO entries (${columns}) SELECT ${columns} FROM entries`,
      );
      expect(() => insert.run()).to.throw(/UNIQUE constraint failed: entries\.nsid/);
    } finally {
      database.close();
    }
    await site.node.restart();
  });

  it('M11: every table notes when a row of it was changed by hand', async () => {
    await site.keep('/touched');
    expect((await site.node.run('purge', '--rule', 'site')).code).to.equal(0);
    await site.node.stop();
    const database = new Database(manifestPath(site.node));
    try {
      const tables = database
        .prepare<[], string>(
          `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`,
        )
        .pluck()
        .all();
      expect(tables).to.include.members(['namespaces', 'entries', 'journal', 'purges', 'counters']);
      // What only nodes that follow each other write.
      database.exec(`INSERT INTO terms (term, node, url, at) VALUES (1, 'n', '', 0)`);
      database.exec(`INSERT INTO followers (node, url, seen_at) VALUES ('n', '', 0)`);
      database.exec(`INSERT INTO entry_tags (nsid, tag, key, variant) VALUES (1, 't', '', '')`);
      for (const table of tables) {
        const [column] = database.pragma(`table_info(${table})`) as { name: string }[];
        const stamps = database.prepare<[], number>(`SELECT updated_at FROM ${table}`).pluck();
        const before = stamps.all();
        expect(before, table).to.not.deep.equal([]);
        database.exec(`UPDATE ${table} SET ${column?.name} = ${column?.name}`);
        const after = stamps.all();
        expect(
          after.filter((stamp) => before.includes(stamp)),
          table,
        ).to.deep.equal([]);
      }
      database.exec('DELETE FROM terms; DELETE FROM followers; DELETE FROM entry_tags;');
    } finally {
      database.close();
    }
    await site.node.restart();
  });

  it('M10: with a read-only manifest pages are served, readyz says why it is 503, and it heals', async () => {
    await site.keep('/kept');
    await chmod(manifestPath(site.node), 0o440);
    const notReady = await eventually('not ready', async () => {
      const answer = await site.get('/_caje/readyz');
      return answer.status === 503 ? answer : undefined;
    });
    const { reasons } = JSON.parse(notReady.body.toString()) as {
      readonly reasons: readonly { readonly name: string; readonly problem: string }[];
    };
    expect(reasons.map(({ name }) => name)).to.deep.equal(['manifest']);
    expect(reasons[0]?.problem).to.match(/read-only/);
    expect((await site.get('/new-page')).status).to.equal(200);
    expect(xCache(await site.get('/kept'))).to.equal('HIT');
    expect((await site.get('/_caje/healthz')).status).to.equal(200);

    await site.node.stop();
    await site.node.restart();
    expect(xCache(await site.get('/kept'))).to.equal('HIT');
    expect((await site.get('/another-page')).status).to.equal(200);
    expect((await site.get('/_caje/readyz')).status).to.equal(503);

    await chmod(manifestPath(site.node), 0o640);
    await eventually('ready', async () => (await site.get('/_caje/readyz')).status === 200);
    await eventually('a row again', () => entryRows(site.node, '/another-page')[0]);
  });

  it('M12: an older schema is migrated, a newer one is refused with a clear message', async () => {
    await site.node.stop();
    const path = manifestPath(site.node);
    const version = `SELECT version FROM schema_versions WHERE name = 'manifest'`;
    const [newest] = queryManifest<{ version: number }>(site.node, version);
    change(path, `UPDATE schema_versions SET version = 99 WHERE name = 'manifest'`);
    const outputBefore = site.node.output.length;
    const error = await site.node.restart().catch((thrown: Error) => thrown);
    expect(error).to.be.instanceOf(Error);
    expect((await site.node.ended).code).to.equal(1);
    const said = site.node.output.slice(outputBefore).join('\n');
    expect(said).to.match(
      /manifest\.db: schema manifest has version 99, this caje knows \d+; use a newer caje/,
    );
    expect(said).to.not.match(/^\s+at /m);

    // The oldest schema of all: none.
    const tables = queryManifest<{ name: string }>(
      site.node,
      `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`,
    );
    change(
      path,
      `PRAGMA foreign_keys = OFF; ${tables.map(({ name }) => `DROP TABLE ${name};`).join('')}`,
    );
    await site.node.restart();
    expect(queryManifest(site.node, version)).to.deep.equal([newest]);
    await site.keep('/migrated');
  });
});

describe('criteria of the lock', function () {
  this.timeout(60_000);

  it('M5: a lock held past the time limit is logged, counted and waited for, and no row is lost', async () => {
    await using site = await Site.start({
      config: { manifest: { lock: { type: 'local', acquire: '200ms' } } },
    });
    await using holder = await holdLock(`${manifestPath(site.node)}-lock`);
    expect((await site.get('/waiting')).status).to.equal(200);
    await site.node.logged(
      ({ level, ...line }) => Number(level) >= 40 && /lock/i.test(JSON.stringify(line)),
    );
    const timeouts = async (): Promise<number> =>
      (await site.node.counters())['halt_timeouts_total'] ?? 0;
    await eventually('a second time-out', async () => (await timeouts()) >= 2);
    expect(entryRows(site.node, '/waiting')).to.deep.equal([]);
    await holder.release();
    await eventually('its row', () => entryRows(site.node, '/waiting')[0]);
  });

  it('M6: a write holds the lock against other processes until it is committed', async () => {
    await using site = await Site.start({ env: { CAJE_TEST_COMMIT_DELAY_MS: '1500' } });
    using lock = new TriedLock(`${manifestPath(site.node)}-lock`);
    expect((await site.get('/stretched')).status).to.equal(200);
    await eventually('the lock is refused', () => !lock.try());
    expect(entryRows(site.node, '/stretched')).to.deep.equal([]);
    await eventually('the lock is had', () => lock.try());
    expect(entryRows(site.node, '/stretched')).to.have.length(1);
  });
});

/** This process's own try at the lock of a node: had for a moment only. */
class TriedLock implements Disposable {
  readonly #lock: OfdLock;

  constructor(path: string) {
    this.#lock = new OfdLock(path);
  }

  try(): boolean {
    const had = this.#lock.tryLock();
    if (had) this.#lock.unlock();
    return had;
  }

  [Symbol.dispose](): void {
    this.#lock.close();
  }
}

function change(path: string, sql: string): void {
  const database = new Database(path);
  try {
    database.exec(sql);
  } finally {
    database.close();
  }
}
