import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { type VerifyRow, verifyRow } from '../../src/storage-schemas.ts';
import { eventually } from '../criteria/eventually.ts';
import { entryRows } from '../criteria/node-files.ts';
import { peerConfig } from '../criteria/peer-config.ts';
import { rawValues, Site, xCache } from '../criteria/site.ts';
import { GoRegistry } from '../support/go-registry.ts';
import { NodeProcess } from '../support/node-process.ts';
import { flipBit } from '../support/upkeep-place.ts';

const SIZE = 200_000;
/** No body is answered from memory, and nothing is read but on command. */
const CONFIG = { memory: { bodies: 0 }, scrub: { period: 0 } };

const fileOf = ({ node }: Site, digest: string): string =>
  join(node.dataDir, 'blobs', digest.slice(0, 2), digest);

async function keepDamaged(site: Site, path: string, keyEnd = path): Promise<string> {
  await site.keep(path, {}, keyEnd);
  const { digest = '' } = entryRows(site.node, keyEnd)[0] ?? {};
  await flipBit(fileOf(site, digest), SIZE - 1);
  return digest;
}

async function repair(site: Site): Promise<{ code: number | undefined; rows: VerifyRow[] }> {
  const { code, stdout } = await site.node.run('verify', '--repair', '--json');
  const lines = stdout.split('\n').filter((line) => line !== '');
  const rows = lines.map((line) => verifyRow.parse(JSON.parse(line)));
  return { code, rows: rows.filter(({ ok }) => !ok) };
}

describe('caje verify --repair', function () {
  this.timeout(90_000);

  it('fetches what is damaged again, beside a running node and without one', async () => {
    await using site = await Site.start({ config: CONFIG });
    const path = `/page?size=${SIZE}`;
    const digest = await keepDamaged(site, path);
    await site.keep(`/other?size=${SIZE}`);
    const online = await repair(site);
    expect(online.rows.map((row) => [row.digest, row.repair])).to.deep.equal([
      [digest, 'repaired'],
    ]);
    expect(online.code).to.equal(0);
    expect(site.origin.counts(path).requests).to.equal(2);
    const answer = await site.get(path);
    expect(xCache(answer)).to.equal('HIT');
    expect(answer.body.equals(site.bytes(path, SIZE))).to.equal(true);
    expect((await site.node.counters())['repaired_total{repaired}']).to.equal(1);

    await flipBit(fileOf(site, digest), 0);
    await site.node.stop();
    const offline = await repair(site);
    expect(offline.rows.map((row) => row.repair)).to.deep.equal(['repaired']);
    const { stdout } = await site.node.run('verify', '--repair');
    expect(stdout).to.match(/^2 bodies, .*, 0 bad, 0 repaired\n$/);
  });

  it('fetches it from a peer where that is who is asked', async () => {
    await using peers = await peerConfig();
    const rules = [{ name: 'shared', host: 'site.example' }];
    await using site = await Site.start({ config: peers.listening, rules });
    const path = `/shared?size=${SIZE}`;
    await site.getAs('site.example', path);
    await eventually('the row of the peer', () => entryRows(site.node, path)[0]);
    await using node = await NodeProcess.start({
      config: {
        ...CONFIG,
        fetchers: { other: peers.asking(site.node.peerUrl) },
        rules: [{ name: 'shared', host: 'site.example', protocol: 'http', fetch: 'other' }],
      },
    });
    const options = { headers: { host: 'site.example' } };
    await site.client.get(node.url + path, options);
    const row = await eventually('a row', () => entryRows(node, path)[0]);
    await flipBit(join(node.dataDir, 'blobs', row.digest.slice(0, 2), row.digest), 99);
    expect((await node.run('verify', '--repair')).stdout).to.include('1 bad, 1 repaired');
    const answer = await site.client.get(node.url + path, options);
    expect([xCache(answer), answer.body.equals(site.bytes(path, SIZE))]).to.deep.equal([
      'HIT',
      true,
    ]);
    expect(site.origin.counts(path).requests).to.equal(1);
  });

  it('leaves it missing while the origin is away, and the next run or request heals it', async () => {
    await using site = await Site.start({ config: CONFIG });
    let away = false;
    const paths = ['/one', '/two'].map((path) => `${path}?size=${SIZE}`) as [string, string];
    for (const path of ['/one', '/two'])
      site.serve(path, () => (away ? { status: 503, body: 'away' } : { size: SIZE }));
    for (const path of paths) await keepDamaged(site, path);
    away = true;
    const failed = await repair(site);
    expect(failed.code).to.equal(1);
    expect(failed.rows.map((row) => row.repair)).to.deep.equal(['missing', 'missing']);
    expect(failed.rows[0]?.problem).to.include('status 503');
    expect(entryRows(site.node)).to.have.length(2);
    away = false;
    const healed = await site.get(paths[0]);
    expect([xCache(healed), healed.body.equals(site.bytes(paths[0], SIZE))]).to.deep.equal([
      'MISS',
      true,
    ]);
    await eventually('the body is kept', async () => xCache(await site.get(paths[0])) === 'HIT');
    // It lies in quarantine: what was found before is remembered.
    const again = await repair(site);
    expect([again.code, again.rows.map((row) => row.repair)]).to.deep.equal([0, ['repaired']]);
    expect(xCache(await site.get(paths[1]))).to.equal('HIT');
    expect((await repair(site)).rows).to.deep.equal([]);
  });

  for (const [what, etag] of [
    ['confirms', undefined],
    ['sends again', false],
  ] as const) {
    it(`fetches again what is stale by now and its origin ${what}`, async () => {
      await using site = await Site.start({ config: CONFIG });
      const headers = [['Cache-Control', 'max-age=1']] as const;
      site.serve('/stale', { size: SIZE, etag, headers });
      const digest = await keepDamaged(site, `/stale?size=${SIZE}`);
      await new Promise((resolve) => setTimeout(resolve, 1100));
      const { code, rows } = await repair(site);
      expect(rows.map((row) => [row.digest, row.repair])).to.deep.equal([[digest, 'repaired']]);
      expect([code, (await repair(site)).rows]).to.deep.equal([0, []]);
    });
  }

  it('keeps what the origin has by now, and says so', async () => {
    await using site = await Site.start({ config: CONFIG });
    const path = `/changed?size=${SIZE}`;
    const digest = await keepDamaged(site, path);
    site.origin.bumpVersion(path);
    const { code, rows } = await repair(site);
    expect([code, rows.map((row) => row.repair)]).to.deep.equal([0, ['replaced']]);
    expect(entryRows(site.node, path)[0]?.digest).to.not.equal(digest);
    const answer = await site.get(path);
    expect([xCache(answer), answer.body.equals(site.bytes(path, SIZE))]).to.deep.equal([
      'HIT',
      true,
    ]);
  });

  it('says that nobody needs a damaged body without an entry', async () => {
    await using site = await Site.start({ config: CONFIG });
    await keepDamaged(site, `/orphan?size=${SIZE}`);
    await site.node.run('purge', '--all');
    const { code, rows } = await repair(site);
    expect([code, rows.map((row) => row.repair)]).to.deep.equal([0, ['unneeded']]);
  });

  it('asks as the client did: below a prefix, by host, for a variant, and where clients are redirected', async () => {
    await using site = await Site.start({
      config: CONFIG,
      rules: [
        { name: 'below', host: 'below.example', path: '/some/*', strip: true },
        { name: 'away', host: 'away.example', mode: 'async_redirect' },
      ],
    });
    site.serve('/varies', ({ rawHeaders }) => ({
      size: SIZE + (rawValues(rawHeaders, 'accept-language')[0] === 'de' ? 1 : 0),
      headers: [['Vary', 'Accept-Language']],
    }));
    const path = `/page?size=${SIZE}`;
    const kept = async (host: string, asked: string, headers = {}): Promise<string> => {
      await site.getAs(host, asked, { headers });
      const key = `http://${host}${asked}`;
      const row = await eventually(`the row of ${key}`, () => entryRows(site.node, key)[0]);
      await flipBit(fileOf(site, row?.digest ?? ''), 7);
      return row?.digest ?? '';
    };
    const digests = [
      await kept('below.example', `/some${path}`),
      await kept('127.0.0.1', '/varies', { 'accept-language': 'de' }),
      await kept('away.example', `/away?size=${SIZE}`),
    ];
    const { code, rows } = await repair(site);
    expect(rows.map((row) => `${row.digest} ${row.repair} ${row.problem}`).sort()).to.deep.equal(
      digests
        .map((digest) => `${digest} repaired it does not match its digest, and was put aside`)
        .sort(),
    );
    expect(code).to.equal(0);
    expect(entryRows(site.node)).to.have.length(3);
  });

  it('a node finds and heals what is damaged by itself, also after it was killed', async () => {
    const config = { memory: { bodies: 0 }, scrub: { period: '300ms' } };
    await using site = await Site.start({ config });
    const path = `/alone?size=${SIZE}`;
    const digest = await keepDamaged(site, path);
    const healed = async (): Promise<boolean> =>
      (await site.node.counters())['repaired_total{repaired}'] === 1;
    await eventually('the damage to be healed', healed);
    expect(xCache(await site.get(path))).to.equal('HIT');
    expect(site.origin.counts(path).requests).to.equal(2);
    await site.node.kill9();
    await flipBit(fileOf(site, digest), 5);
    await site.node.restart();
    await eventually('the damage to be healed again', healed);
    expect(xCache(await site.get(path))).to.equal('HIT');
    expect((await site.node.stop()).code).to.equal(0);
  });

  it('fetches the files of Go modules again through their rule', async () => {
    await using registry = await GoRegistry.start();
    registry.release('example.com/a', 'v1.0.0');
    await using node = await NodeProcess.start({
      config: {
        ...CONFIG,
        fetchers: { modules: { type: 'upstreams', list: registry.url } },
        rules: [{ name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' }],
      },
    });
    await node.run('populate', '--no-sumdb', 'example.com/a@v1.0.0');
    const database = new Database(join(node.dataDir, 'node.db'), { timeout: 5_000 });
    const sql = 'UPDATE small_bodies SET body = zeroblob(length(body))';
    expect(database.prepare(sql).run().changes).to.equal(3);
    database.close();
    const { code, stdout } = await node.run('verify', '--repair');
    expect(stdout).to.include('3 bad, 3 repaired');
    expect(code).to.equal(0);
    expect((await node.run('verify')).stdout)
      .to.include('3 bodies')
      .and.to.include('0 bad');
  });

  it('repairs rows of the manifest: what fails its checksum goes, and the next request makes it anew', async () => {
    await using site = await Site.start({ config: CONFIG });
    const path = `/row?size=${SIZE}`;
    await site.keep(path);
    await site.node.stop();
    const database = new Database(join(site.node.dataDir, 'manifest.db'));
    database.prepare('UPDATE entries SET size = 7').run();
    database.close();
    await site.node.restart();
    const answer = await site.get(path);
    expect([xCache(answer), answer.body.length]).to.deep.equal(['MISS', SIZE]);
    // Until it is gone from the file, whoever reads it counts.
    expect((await site.node.counters())['corrupt_rows_total']).to.be.at.least(1);
  });
});
