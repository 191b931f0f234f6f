import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { expect } from 'chai';
import { ExportFolder } from '../src/export-folder.ts';
import { digestOf } from '../src/storage/digest.ts';
import { type TempFolder, tempFolder } from './support/temp-folder.ts';

const BYTES = Buffer.from('what is written');

describe('ExportFolder', () => {
  let temp: TempFolder;
  let root: string;

  beforeEach(async () => {
    temp = await tempFolder();
    root = join(temp.path, 'out');
  });

  afterEach(async () => await temp[Symbol.asyncDispose]());

  const file = (bytes: Buffer = BYTES) => ({
    path: 'a/b/file',
    digest: digestOf(BYTES),
    size: BYTES.length,
    open: async () => Readable.from([bytes.subarray(0, 3), bytes.subarray(3)]),
  });

  it('writes what is not there, and only that', async () => {
    await using folder = await ExportFolder.open(root);
    expect(await folder.put(file())).to.equal('written');
    expect(await folder.put(file())).to.equal('there');
    await writeFile(join(root, 'a/b/file'), 'what is wrItten');
    expect(await folder.put(file())).to.equal('written');
    await writeFile(join(root, 'a/b/file'), 'short');
    expect(await folder.put(file())).to.equal('written');
    expect(await readFile(join(root, 'a/b/file'))).to.deep.equal(BYTES);
    expect((await stat(join(root, 'a/b/file'))).mode & 0o777).to.equal(0o644);
    expect(await folder.putText('t', 'text')).to.equal('written');
    expect(await folder.putText('t', 'text')).to.equal('there');
  });

  it('leaves nothing of bytes that do not match, or of a body that breaks', async () => {
    await writeFile(join(temp.path, 'before'), '');
    {
      await using folder = await ExportFolder.open(root);
      const wrong = { ...file(Buffer.from('what is wrItten')) };
      const broken = {
        ...file(),
        open: async () =>
          Readable.from(
            (function* () {
              yield BYTES.subarray(0, 4);
              throw new Error('cut');
            })(),
          ),
      };
      for (const [bad, words] of [
        [wrong, /do not match/],
        [broken, /cut/],
      ] as const) {
        let failure: unknown;
        await folder.put(bad).catch((error: unknown) => {
          failure = error;
        });
        expect(failure).to.have.property('message').that.matches(words);
      }
      expect(await readdir(join(root, 'a/b'))).to.deep.equal([]);
    }
    expect(await readdir(root)).to.deep.equal(['a']);
  });

  it('removes what a dead process left', async () => {
    await mkdir(join(root, '.caje-export/999999999-0'), { recursive: true });
    await writeFile(join(root, '.caje-export/999999999-0/0'), 'half');
    await using folder = await ExportFolder.open(root);
    expect(await readdir(join(folder.root, '.caje-export'))).to.deep.equal([]);
  });

  it('takes one export at a time, and no file for a folder', async () => {
    const failure = async (path: string): Promise<string> => {
      try {
        await using _folder = await ExportFolder.open(path);
        return 'none';
      } catch (error) {
        return (error as Error).message;
      }
    };
    {
      await using _first = await ExportFolder.open(root);
      expect(await failure(root)).to.include('another export writes into');
    }
    expect(await failure(root)).to.equal('none');
    await writeFile(join(temp.path, 'plain'), '');
    expect(await failure(join(temp.path, 'plain'))).to.include('it is no folder');
  });
});
