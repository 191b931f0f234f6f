import { expect } from 'chai';
import { SumdbClient } from '../../src/gomod/sumdb-client.ts';
import { compareSums } from '../../src/gomod/sumdb-record.ts';
import { GoClient, goMissing, goSetting } from '../support/go-command.ts';
import { GoRegistry } from '../support/go-registry.ts';
import { GoUpstream, goProxy } from '../support/go-upstream.ts';
import { skipUnless } from '../support/skip.ts';
import { SumdbServer, sumdbReader, sumdbSigner, sumOf } from '../support/sumdb.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { addExamples, exampleLog, failureOf } from './sumdb-examples.ts';

const SLOW_MS = 120_000;

/** The sums that the go command finds for `module@version`. */
async function download(
  go: GoClient,
  folder: string,
  what: string,
): Promise<{ readonly zip: string; readonly mod: string }> {
  const printed = await go.go(folder, 'mod', 'download', '-json', what);
  const { Sum, GoModSum } = JSON.parse(printed) as { Sum: string; GoModSum: string };
  return { zip: Sum, mod: GoModSum };
}

describe('SumdbClient beside the go command', function () {
  this.timeout(SLOW_MS);

  let folder: TempFolder;

  before(async function () {
    const missing = goMissing();
    skipUnless(this, missing === undefined, missing ?? '');
    folder = await tempFolder();
  });
  after(async () => {
    await folder?.[Symbol.asyncDispose]();
  });

  it('agrees with it on a database of its own, honest or not', async () => {
    const [module, version] = ['example.com/Deep/mod', 'v1.2.3'];
    await using registry = await GoRegistry.start();
    // The go command sends an exclamation mark as %21.
    registry.release(module, version, { base: 'example.com/%21deep/mod' });
    registry.release('example.com/Mod0', 'v1.0.5', { base: 'example.com/%21mod0' });
    const client = async (sumdb: string): Promise<GoClient> =>
      await GoClient.create({ folder: folder.path, proxy: registry.url, env: { GOSUMDB: sumdb } });
    const plain = await download(await client('off'), folder.path, `${module}@${version}`);

    const signer = sumdbSigner('sums.example.org/sumdb');
    const log = exampleLog(signer, 400);
    log.add(module, version, plain);
    addExamples(log, 530);
    await using server = await SumdbServer.start(log);
    const go = await client(`${signer.key} ${server.url}`);
    expect(await download(go, folder.path, `${module}@${version}`)).to.deep.equal(plain);
    expect(server.requests).to.include('/lookup/example.com/!deep/mod@v1.2.3');
    expect(server.requests.filter((path) => path.startsWith('/tile/'))).to.have.length.at.least(3);

    const sums = new SumdbClient({ key: signer.key, read: sumdbReader(server.url) });
    const record = (await sums.lookup(module, version)) ?? expect.fail('no record');
    expect(compareSums(record, plain)).to.equal(undefined);
    const other = (await sums.lookup('example.com/Mod0', 'v1.0.5')) ?? expect.fail('no record');
    const refused = await go.try(folder.path, 'mod', 'download', 'example.com/Mod0@v1.0.5');
    expect(refused.stderr)
      .to.match(/checksum mismatch/)
      .and.include(other.mod);

    // Each lie in new clients of both kinds.
    const lies: Readonly<Record<string, (path: string, body: Buffer) => Buffer>> = {
      signature: (path, body) =>
        path.startsWith('/lookup/')
          ? Buffer.from(body.toString().replace('\n530\n', '\n529\n'))
          : body,
      record: (path, body) =>
        path.startsWith('/lookup/')
          ? Buffer.from(body.toString().replace(plain.zip, sumOf('other')))
          : body,
      tile: (path, body) => (path.startsWith('/tile/8/0/001') ? Buffer.alloc(body.length) : body),
    };
    for (const [what, lie] of Object.entries(lies)) {
      server.spoil = (path, body) => body && lie(path, body);
      const fresh = await client(`${signer.key} ${server.url}`);
      const { code } = await fresh.try(folder.path, 'mod', 'download', `${module}@${version}`);
      expect(code, what).to.equal(1);
      const cheated = new SumdbClient({ key: signer.key, read: sumdbReader(server.url) });
      expect(await failureOf(cheated.lookup(module, version)), what).to.have.property(
        'kind',
        'integrity',
      );
    }
  });

  describe('on the database of this machine', () => {
    const versions = [
      ['golang.org/x/text', 'v0.14.0'],
      ['github.com/BurntSushi/toml', 'v1.4.0'],
      ['gopkg.in/yaml.v3', 'v3.0.1'],
      ['github.com/docker/docker', 'v24.0.0+incompatible'],
    ] as const;
    let upstream: GoUpstream;
    let sums: SumdbClient;

    before(async function () {
      const proxy = goProxy() ?? '';
      skipUnless(this, proxy !== '', 'go env GOPROXY names no module proxy', { exempt: true });
      const [key = ''] = goSetting('GOSUMDB').split(' ');
      const named = key !== '' && key !== 'off';
      skipUnless(this, named, 'go env GOSUMDB names no database', { exempt: true });
      upstream = await GoUpstream.start(proxy);
      const name = key.split('+', 1)[0] ?? '';
      const reached = await upstream.has(`/sumdb/${name}/supported`);
      const unreached = 'the module proxy of go env GOPROXY passes no checksums on now';
      skipUnless(this, reached, unreached, { exempt: true });
      sums = new SumdbClient({ key, read: sumdbReader(`${upstream.url}/sumdb/${name}`) });
    });
    after(async () => {
      await upstream?.[Symbol.asyncDispose]();
    });

    it('finds the sums that it finds', async () => {
      const go = await GoClient.create({ folder: folder.path, proxy: upstream.url });
      // The smaller ones: what matters is where their sums come from.
      for (const [module, version] of versions.slice(0, 3)) {
        const downloaded = await download(go, folder.path, `${module}@${version}`);
        const record = (await sums.lookup(module, version)) ?? expect.fail('no record');
        expect(record).to.deep.include(downloaded);
      }
    });

    it('finds many at once, and what is not there', async () => {
      const found = await Promise.all(
        versions.map(async ([module, version]) => await sums.lookup(module, version)),
      );
      expect(found.map((record) => record?.module)).to.deep.equal(
        versions.map(([module]) => module),
      );
      expect(await sums.lookup('golang.org/x/text', 'v0.999.0')).to.equal(undefined);
    });
  });
});
