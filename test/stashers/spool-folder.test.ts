import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { SpoolFolder } from '../../src/stashers/spool-folder.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

describe('SpoolFolder', () => {
  let temp: TempFolder;

  beforeEach(async () => {
    temp = await tempFolder();
  });

  afterEach(async () => {
    await temp[Symbol.asyncDispose]();
  });

  it('removes what a dead process left and nothing of a live one (F-06)', async () => {
    const folder = new SpoolFolder(temp.path, 1024);
    for (const dead of ['999999-1-0', '1-1-ffffffff', 'not a process']) {
      await mkdir(join(temp.path, dead));
      await writeFile(join(temp.path, dead, '0'), 'left over');
    }
    const own = await folder.create();
    expect(await folder.recover()).to.equal(3);
    const left = await readdir(temp.path, { recursive: true, withFileTypes: true });
    const files = left.filter((entry) => entry.isFile());
    expect(files.map((file) => join(file.parentPath, file.name))).to.deep.equal([own.path]);
    await own.handle.close();
    await folder.remove(own.path);
    folder.close();
    expect(await readdir(temp.path)).to.deep.equal([]);
  });

  it('bounds what all bodies hold together', () => {
    const folder = new SpoolFolder(temp.path, 100);
    expect(folder.reserve(60)).to.equal(true);
    expect(folder.reserve(60)).to.equal(false);
    folder.release(60);
    expect(folder.reserve(100)).to.equal(true);
    expect(folder.used).to.equal(100);
  });

  it('makes its folder again when somebody removed it', async () => {
    const folder = new SpoolFolder(join(temp.path, 'spool'), 100);
    const first = await folder.create();
    await first.handle.close();
    await rm(join(temp.path, 'spool'), { recursive: true });
    await folder.create().then(
      () => expect.fail('the folder is gone'),
      () => undefined,
    );
    const second = await folder.create();
    await second.handle.close();
    expect(second.path).to.not.equal(first.path);
  });
});
