import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { GoClient, type GoResult, goMissing } from '../support/go-command.ts';
import { GoRegistry } from '../support/go-registry.ts';
import { GoSumdb, sumLines } from '../support/go-sumdb-double.ts';
import { goZip } from '../support/go-zip.ts';
import { NodeProcess } from '../support/node-process.ts';
import { skipUnless } from '../support/skip.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { FILES, FINE, HTML, VERSION, WRONGS } from './go-wrong-modules.ts';

/** One for each test that needs one. */
const DATABASES = Array.from({ length: 6 }, (_, number) => `sums.example.org/n${number}`);

// Bad input reaches the client, which has its own words for it: the same as without a node, and never an absence.
describe('the go command behind a node of a hostile registry', function () {
  this.timeout(60_000);

  let folder: TempFolder;
  let registry: GoRegistry;
  let other: GoRegistry;
  let node: NodeProcess;

  before(async function () {
    const missing = goMissing();
    skipUnless(this, missing === undefined, missing ?? '');
    folder = await tempFolder();
    registry = await GoRegistry.start();
    other = await GoRegistry.start();
    node = await NodeProcess.start({
      config: {
        fetchers: { modules: { type: 'upstreams', list: registry.url } },
        rules: [
          {
            ...{ name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' },
            sumdb: DATABASES.map((name) => ({ name })),
          },
        ],
      },
    });
  });

  after(async () => {
    await node?.[Symbol.asyncDispose]();
    await registry?.[Symbol.asyncDispose]();
    await other?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  const run = async (
    proxy: string,
    command: readonly string[],
    env: Readonly<Record<string, string>> = { GONOSUMDB: '*' },
  ): Promise<GoResult> => {
    const client = await GoClient.create({ folder: folder.path, proxy, env });
    const place = await mkdtemp(join(folder.path, 'place-'));
    await writeFile(join(place, 'go.mod'), 'module example.com/mine\n\ngo 1.21\n');
    const { code, stdout, stderr } = await client.try(place, ...command);
    const plain = (text: string): string =>
      text.replaceAll(proxy, 'PROXY').replaceAll(client.modules, 'MODULES');
    return { code, stdout: plain(stdout), stderr: plain(stderr) };
  };
  const through = (): string => `${node.url}/go`;

  for (const [number, { title, lay, command, says }] of WRONGS.entries()) {
    it(`${title}: refused in the client's own words`, async () => {
      const module = `example.com/wrong${number}`;
      registry.release(module, VERSION);
      other.release(module, VERSION);
      lay(registry, module, `/${module}/@v/${VERSION}`);

      const [direct, behind] = await Promise.all(
        [registry.url, through()].map(async (proxy) => await run(proxy, command(module))),
      );
      const listed = await run(`${through()},${other.url}`, command(module));

      expect(behind).to.deep.equal(direct);
      expect(behind?.code).to.equal(1);
      expect(behind?.stderr).to.match(says);
      expect(listed.code, 'not sent on to the next').to.equal(1);
      expect(other.requests.filter((path) => path.includes(module))).to.deep.equal([]);
    });
  }

  for (const [number, { title, lay, command, prints }] of FINE.entries()) {
    it(`${title}: taken as without a node`, async () => {
      const module = `example.com/fine${number}`;
      registry.release(module, VERSION);
      lay(registry, module, `/${module}/@v/${VERSION}`);

      const [direct, behind] = await Promise.all(
        [registry.url, through()].map(async (proxy) => await run(proxy, command(module))),
      );

      expect(behind).to.deep.equal(direct);
      expect(behind).to.include({ code: 0, stdout: prints(module) });
    });
  }

  describe('checksum databases', () => {
    const names = DATABASES.values();
    const module = 'example.com/signed';
    const id = `${module}@${VERSION}`;
    const zip = `/${module}/@v/${VERSION}.zip`;

    /** Signs what the registry has with a new database, lays something over it, and lets a client download. */
    const checked = async (spoil: (at: string, sumdb: GoSumdb) => void): Promise<GoResult> => {
      registry.release(module, VERSION);
      const sumdb = new GoSumdb(names.next().value ?? '');
      sumdb.publish(registry);
      spoil(`/sumdb/${sumdb.name}`, sumdb);
      return await run(through(), ['mod', 'download', '-json', id], { GOSUMDB: sumdb.key });
    };

    it('says the sums that a database signed', async () => {
      const { code, stdout } = await checked(() => {});
      expect(code).to.equal(0);
      const { Sum, GoModSum } = JSON.parse(stdout) as Readonly<Record<string, string>>;
      const lines = sumLines(id, registry.contents.get(id) ?? {});
      expect(lines).to.include(` ${Sum}\n`).and.to.include(`/go.mod ${GoModSum}\n`);
    });

    const spoilt: Readonly<Record<string, [spoil: Parameters<typeof checked>[0], says: RegExp]>> = {
      'a tree signed by another key': [
        (_, { name }) => new GoSumdb(name).publish(registry),
        /unverified|no verifiable signatures/,
      ],
      'sums that are not those of the record': [
        (at) => {
          const path = `${at}/lookup/${id}`;
          const lie = `h1:${Buffer.alloc(32).toString('base64')}`;
          registry.put(path, String(registry.reply(path).body).replace(/h1:[^\n]+/, lie));
        },
        /cannot authenticate record data/,
      ],
      'a page instead of a record': [
        (at) => registry.put(`${at}/lookup/${id}`, HTML),
        /malformed record/,
      ],
      'a tile of other hashes': [
        (at) => {
          const tile = registry.paths().find((path) => path.startsWith(`${at}/tile/`)) ?? '';
          registry.put(tile, Buffer.alloc((registry.reply(tile).body as Buffer).length));
        },
        /SECURITY ERROR|inconsistent tile/,
      ],
    };
    for (const [title, [spoil, says]] of Object.entries(spoilt))
      it(`passes on ${title}; the client refuses`, async () => {
        const { code, stdout, stderr } = await checked(spoil);
        expect(code).to.equal(1);
        expect(stdout + stderr).to.match(says);
      });

    it('passes on a zip of other files; the client refuses', async () => {
      registry.release(module, VERSION);
      const other = goZip(module, VERSION, { ...FILES, 'more.go': 'package one\n' });
      await node.run('purge', zip.slice(1), '--namespace', 'go');
      const { code, stdout } = await checked(() => registry.put(zip, other));
      expect(code).to.equal(1);
      expect(stdout)
        .to.match(/checksum mismatch/)
        .and.to.include('SECURITY ERROR');
    });
  });
});
