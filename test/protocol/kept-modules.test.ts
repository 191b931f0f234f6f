import { expect } from 'chai';
import { goproxyPath } from '../../src/gomod/goproxy-path.ts';
import type { NewEntry } from '../../src/manifest/entry.ts';
import type { PutChange } from '../../src/manifest/manifest.ts';
import type { SqliteManifest } from '../../src/manifest/sqlite-manifest.ts';
import { KeptModules } from '../../src/protocol/kept-modules.ts';
import { digestOf } from '../../src/storage/digest.ts';
import { openIn, put } from '../support/manifest-fixtures.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const X = 'example.com/x';

function zip(module: string, version: string, over: Partial<NewEntry> = {}): PutChange {
  return put(goproxyPath(module, 'zip', version), 0, { namespace: 'go', ...over });
}

/** The `.mod` of a version as an upstream has it. */
function mod(module: string, version: string, text: string): PutChange {
  const digest = digestOf(Buffer.from(text));
  return put(goproxyPath(module, 'mod', version), 0, { namespace: 'go', digest });
}

function pseudo(base: string, time: string): string {
  return `${base}${time}-abcdefabcdef`;
}

describe('KeptModules', () => {
  let folder: TempFolder;
  let manifest: SqliteManifest;
  let kept: KeptModules;
  beforeEach(async () => {
    folder = await tempFolder();
    manifest = await openIn(folder.path);
    kept = new KeptModules(manifest, 'go');
  });
  afterEach(async () => {
    await manifest[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  async function keep(module: string, ...versions: string[]): Promise<void> {
    await manifest.commit(versions.map((version) => zip(module, version)));
  }

  it('knows nothing of a module of which no zip is kept', async () => {
    await manifest.commit([
      mod(X, 'v1.0.0', `module ${X}\n`),
      put(goproxyPath(X, 'info', 'v1.0.0'), 0, { namespace: 'go' }),
      put(goproxyPath(X, 'list'), 0, { namespace: 'go' }),
      zip(X, 'v1.1.0', { status: 404 }),
      zip(X, 'v1.2.0', { namespace: 'web' }),
    ]);
    expect(await kept.versions(X)).to.deep.equal([]);
    expect(await kept.list(X)).to.equal(undefined);
    expect(await kept.latest(X)).to.equal(undefined);
  });

  it('lists kept versions in the order of versions, without pseudo-versions', async () => {
    const wanted = [
      'v0.9.0',
      'v1.0.0-alpha',
      'v1.0.0-alpha.1',
      'v1.0.0-alpha.beta',
      'v1.0.0-rc.2',
      'v1.0.0-rc.10',
      'v1.0.0',
      'v1.2.0',
      'v1.10.0',
      'v2.0.0+incompatible',
    ];
    await keep(X, ...wanted.toReversed(), pseudo('v1.10.1-0.', '20240101000000'));
    expect(await kept.versions(X)).to.deep.equal(wanted);
    expect(await kept.list(X)).to.equal(wanted.map((version) => `${version}\n`).join(''));
  });

  it('gives an empty list for a module of which only pseudo-versions are kept', async () => {
    await keep(X, pseudo('v0.0.0-', '20240101000000'));
    expect(await kept.versions(X)).to.deep.equal([]);
    expect(await kept.list(X)).to.equal('');
  });

  it('keeps modules apart whose names begin alike', async () => {
    const modules = [
      ['example.com/two', 'v1.0.0'],
      ['example.com/two/v2', 'v2.0.0'],
      ['example.com/two/v2/v3', 'v3.0.0'],
      ['example.com/two-other', 'v1.1.0'],
      ['example.com/two.x', 'v1.2.0'],
      ['example.com/twox', 'v1.3.0'],
      ['example.com', 'v1.4.0'],
      ['example.com/Two', 'v1.5.0'],
    ] as const;
    await manifest.commit(modules.map(([module, version]) => zip(module, version)));
    for (const [module, version] of modules)
      expect(await kept.versions(module), module).to.deep.equal([version]);
    expect(await kept.list('example.com/tw')).to.equal(undefined);
  });

  it('unescapes names', async () => {
    await keep('github.com/BurntSushi/TOML', 'v1.0.0-RC1', 'v1.0.0');
    expect(await kept.versions('github.com/BurntSushi/TOML')).to.deep.equal([
      'v1.0.0-RC1',
      'v1.0.0',
    ]);
    expect(await kept.latest('github.com/BurntSushi/TOML')).to.deep.equal({
      version: 'v1.0.0',
      infoKey: 'github.com/!burnt!sushi/!t!o!m!l/@v/v1.0.0.info',
    });
    const { versions } = await kept.page(undefined, 10);
    expect(versions.map(({ module, version }) => `${module}@${version}`)).to.deep.equal([
      'github.com/BurntSushi/TOML@v1.0.0-RC1',
      'github.com/BurntSushi/TOML@v1.0.0',
    ]);
  });

  const choices: readonly [what: string, kept: readonly string[], latest: string][] = [
    ['the highest release', ['v1.9.0', 'v1.10.0', 'v1.11.0-rc.1', 'v1.2.0'], 'v1.10.0'],
    ['else the highest pre-release', ['v1.0.0-rc.9', 'v1.0.0-rc.10'], 'v1.0.0-rc.10'],
    [
      'a release before a newer pseudo-version',
      ['v1.0.0', pseudo('v1.0.1-0.', '20300101000000')],
      'v1.0.0',
    ],
    [
      'else the newest pseudo-version by its time',
      [
        pseudo('v1.0.1-0.', '20200101000000'),
        pseudo('v0.0.0-', '20240101000000'),
        pseudo('v1.0.0-rc.1.0.', '20220101000000'),
      ],
      pseudo('v0.0.0-', '20240101000000'),
    ],
    [
      'a pseudo-version that is incompatible by its time too',
      [
        pseudo('v0.0.0-', '20240101000000'),
        `${pseudo('v2.0.1-0.', '20250101000000')}+incompatible`,
      ],
      `${pseudo('v2.0.1-0.', '20250101000000')}+incompatible`,
    ],
    [
      'an incompatible release where nothing compatible is kept',
      ['v2.0.0+incompatible', 'v3.1.0+incompatible'],
      'v3.1.0+incompatible',
    ],
  ];
  for (const [what, versions, latest] of choices) {
    it(`takes for latest ${what}`, async () => {
      await keep(X, ...versions);
      expect((await kept.latest(X))?.version).to.equal(latest);
    });
  }

  it('leaves incompatible versions out where the version below has a go.mod, as the go command', async () => {
    await keep(X, 'v1.0.0', 'v1.1.0-rc.1', 'v3.0.0+incompatible');
    await manifest.commit([mod(X, 'v1.0.0', `module ${X}\n`)]);
    expect((await kept.latest(X))?.version).to.equal('v1.0.0');
    await manifest.commit([mod(X, 'v1.1.0-rc.1', `module ${X}\n\ngo 1.20\n`)]);
    expect((await kept.latest(X))?.version).to.equal('v1.0.0');
    await manifest.commit([mod(X, 'v1.1.0-rc.1', `module ${X}\n`)]);
    expect((await kept.latest(X))?.version).to.equal('v3.0.0+incompatible');
  });

  it('does not take an answer of a checksum database for a zip', async () => {
    const key = `sumdb/sums.example.org/lookup/${X}@v1.0.0-a.zip`;
    await manifest.commit([put(key, 0, { namespace: 'go', h1: 'h1:x=' })]);
    await keep(X, 'v1.0.0-a');
    expect((await kept.page(undefined, 10)).versions.map(({ version }) => version)).to.deep.equal([
      'v1.0.0-a',
    ]);
    expect(await kept.since(0, 10)).to.deep.equal([]);
  });

  it('forgets what a purge takes', async () => {
    await keep(X, 'v1.0.0', 'v1.1.0');
    await manifest.purge({
      kind: 'prefix',
      value: `${X}/@v/v1.1.0`,
      namespace: 'go',
      soft: false,
      actor: 'test',
    });
    expect(await kept.list(X)).to.equal('v1.0.0\n');
  });

  it('lists a module of more versions than a page of the manifest has', async () => {
    await keep(X, ...Array.from({ length: 2300 }, (_, i) => `v1.${i}.0`));
    const versions = await kept.versions(X);
    expect(versions).to.have.length(2300);
    expect(versions.slice(9, 11)).to.deep.equal(['v1.9.0', 'v1.10.0']);
    expect((await kept.latest(X))?.version).to.equal('v1.2299.0');
  });
});
