import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import {
  type FolderFormat,
  type FoundFile,
  filesIn,
  findModuleFolder,
} from '../../src/gomod/module-folder.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

describe('module folders', () => {
  let folder: TempFolder;

  beforeEach(async () => {
    folder = await tempFolder();
  });

  afterEach(async () => await folder[Symbol.asyncDispose]());

  const lay = async (...places: readonly string[]): Promise<void> => {
    for (const place of places) {
      const path = join(folder.path, place);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, '');
    }
  };

  const found = async (format?: FolderFormat): Promise<FoundFile[]> => {
    const modules = await findModuleFolder(folder.path, format);
    if (modules === undefined) return [];
    const files = await Array.fromAsync(filesIn(modules));
    return files.sort((a, b) => (a.place < b.place ? -1 : 1));
  };

  const said = (files: readonly FoundFile[]): string[] =>
    files.map((file) => ('problem' in file ? `${file.place}: ${file.problem}` : file.path));

  for (const [format, root, places] of [
    ['goproxy', '', ['example.com/!a/@v/list', 'example.com/!a/@v/v1.0.0.info']],
    ['goproxy', '', ['sumdb/s.test/tile/8/0/000']],
    ['modcache', '', ['example.com/!a/@v/v1.0.0.info', 'example.com/!a/@v/v1.0.0.lock']],
    ['modcache', 'cache/download', ['cache/download/example.com/!a/@v/v1.0.0.info', 'a@v1/x.go']],
    ['athens', '', ['example.com/A/v1.0.0/go.mod', 'example.com/A/v1.0.0/source.zip']],
    ['athens', '', ['example.com/A/v1.0.0/v1.0.0.info']],
    [undefined, '', ['README.md', 'src/main.go']],
    [undefined, '', []],
  ] as const) {
    it(`takes ${places.join(' and ') || 'an empty folder'} for ${format ?? 'none'}`, async () => {
      await lay(...places);
      const modules = await findModuleFolder(folder.path);
      expect(modules?.format).to.equal(format);
      if (modules) expect(modules.root).to.equal(join(folder.path, root));
    });
  }

  it('gives files of versions alone, of a module cache', async () => {
    const at = 'cache/download/github.com/!burnt!sushi/toml/@v';
    await lay(
      ...['list', 'v1.0.0.info', 'v1.0.0.mod', 'v1.0.0.zip', 'v1.0.0.ziphash', 'v1.0.0.lock'].map(
        (name) => join(at, name),
      ),
      ...['v1.0.0.partial', 'v1.0.0.zip123.tmp', 'master.info'].map((name) => join(at, name)),
      'cache/download/sumdb/s.test/lookup/github.com/!burnt!sushi/toml@v1.0.0',
      'cache/lock',
    );
    expect(said(await found())).to.deep.equal([
      'github.com/!burnt!sushi/toml/@v/v1.0.0.info',
      'github.com/!burnt!sushi/toml/@v/v1.0.0.mod',
      'github.com/!burnt!sushi/toml/@v/v1.0.0.zip',
      'sumdb/s.test/lookup/github.com/!burnt!sushi/toml@v1.0.0',
    ]);
  });

  it('escapes what the disk of Athens has in plain', async () => {
    const at = 'github.com/BurntSushi/toml/v1.0.0';
    await lay(join(at, 'go.mod'), join(at, 'source.zip'), join(at, 'v1.0.0.info'), join(at, 'x'));
    expect(said(await found())).to.deep.equal([
      'github.com/!burnt!sushi/toml/@v/v1.0.0.mod',
      'github.com/!burnt!sushi/toml/@v/v1.0.0.zip',
      'github.com/!burnt!sushi/toml/@v/v1.0.0.info',
    ]);
  });

  it('tells names that are none', async () => {
    await lay('example.com/A/@v/v1.0.0.zip', 'example.com/a/@v/v1.zip', 'nowhere/@v/v1.0.0.mod');
    expect(said(await found('goproxy'))).to.deep.equal([
      'example.com/A/@v/v1.0.0.zip: malformed escape in module path',
      'example.com/a/@v/v1.zip: not a canonical version; its .info names the one to ask for',
      'nowhere/@v/v1.0.0.mod: missing dot in first element of module path',
    ]);
    await lay('example.com/b/master/source.zip', 'nodot/v1.0.0/go.mod');
    expect(said(await found('athens'))).to.deep.equal([
      'example.com/b/master/source.zip: no version of example.com/b',
      'nodot/v1.0.0/go.mod: missing dot in first element of module path',
    ]);
  });

  it('follows links to files within alone', async () => {
    await using outside = await tempFolder();
    await writeFile(join(outside.path, 'secret'), 'x');
    await lay('example.com/a/@v/v1.0.0.mod', 'example.com/b/@v/v1.0.0.mod');
    const at = join(folder.path, 'example.com/a/@v');
    await symlink(join(outside.path, 'secret'), join(at, 'v1.1.0.mod'));
    await symlink('v1.0.0.mod', join(at, 'v1.2.0.mod'));
    await symlink('nothing', join(at, 'v1.3.0.mod'));
    await symlink(outside.path, join(folder.path, 'example.com/out'));
    await symlink('.', join(folder.path, 'example.com/round'));
    expect(said(await found())).to.deep.equal([
      'example.com/a/@v/v1.0.0.mod',
      'example.com/a/@v/v1.1.0.mod: a symbolic link that leads out of the folder',
      'example.com/a/@v/v1.2.0.mod',
      'example.com/a/@v/v1.3.0.mod: a symbolic link that leads nowhere: ENOENT',
      'example.com/b/@v/v1.0.0.mod',
      'example.com/out: a symbolic link that leads out of the folder',
      'example.com/round: a symbolic link to what is no file is not followed',
    ]);
  });

  it('goes down only so far', async () => {
    await lay(`${'d/'.repeat(70)}f`, 'example.com/a/@v/v1.0.0.mod');
    expect(said(await found('goproxy')).at(0)).to.match(/^(?:d\/)+d: more than 64 folders/);
  });
});
