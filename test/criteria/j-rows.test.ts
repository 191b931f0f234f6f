import { expect } from 'chai';
import { eventually } from './eventually.ts';
import { queryManifest } from './node-files.ts';
import { Site, xCache } from './site.ts';

interface JournalRow {
  readonly jid: number;
  readonly op: string;
  readonly key: string;
}

describe('criteria of the journal', function () {
  this.timeout(60_000);

  it('J1: each change is one row, numbered without gaps, never reused, never apart from its entry', async () => {
    await using site = await Site.start();
    const journal = (): JournalRow[] =>
      queryManifest<JournalRow>(site.node, 'SELECT jid, op, key FROM journal ORDER BY jid');
    /** Waits for the journal to have so many rows, and sees at each look that entries and journal agree. */
    const grown = async (rows: number): Promise<JournalRow[]> =>
      await eventually(`${rows} rows`, () => {
        const strays = queryManifest(
          site.node,
          `SELECT key FROM entries e WHERE NOT EXISTS (
             SELECT 1 FROM journal j WHERE j.nsid = e.nsid AND j.jid = e.jid AND (j.key = e.key OR e.deleted = 1))`,
        );
        expect(strays).to.deep.equal([]);
        const found = journal();
        expect(found.map(({ jid }) => jid)).to.deep.equal(found.map((_, index) => index + 1));
        return found.length >= rows ? found : undefined;
      });
    const path = '/short?cc=max-age=1';
    const stale = async (): Promise<string | undefined> =>
      await eventually('its expiry', async () => {
        const cache = xCache(await site.get(path));
        return cache === 'HIT' ? undefined : cache;
      });

    await site.get(path);
    await grown(1);
    await site.get('/long');
    const stored = await grown(2);
    expect(stored.map(({ op }) => op)).to.deep.equal(['put', 'put']);

    // A refresh that confirms what is there is no change; one that brings another body is.
    expect(await stale()).to.equal('REVALIDATED');
    expect(await grown(2)).to.have.length(2);
    site.origin.bumpVersion(path);
    expect(await stale()).to.equal('MISS');
    const refreshed = await grown(3);
    expect(refreshed[2]).to.include({ op: 'put', key: `${site.node.url}${path}` });

    const cleared = await site.node.run('purge', '--all', '--json');
    expect(cleared.code, cleared.stderr).to.equal(0);
    const purged = await grown(4);
    expect(purged.slice(3).map(({ op }) => op)).to.include('purge');

    await site.node.stop();
    await site.node.restart();
    await site.get('/long');
    const again = await grown(purged.length + 1);
    expect(again.at(-1)).to.include({ jid: purged.length + 1, op: 'put' });

    const { stdout } = await site.node.run('journal', '--json');
    const page = JSON.parse(stdout) as { readonly rows: readonly JournalRow[] };
    expect(page.rows.map(({ jid, op }) => [jid, op])).to.deep.equal(
      again.map(({ jid, op }) => [jid, op]),
    );
  });
});
