import { unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { ProxyError } from '../../src/errors.ts';
import { PeerTokenFiles } from '../../src/http/peer-token-files.ts';
import { peerOf } from '../../src/http/peer-tokens.ts';
import { RecordedLog } from '../support/recorded-log.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const secretOf = (name: string): string => `secret-of-${name}-0123456789`;

describe('PeerTokenFiles (H-102)', () => {
  let folder: TempFolder;
  let tokens: PeerTokenFiles;
  let log: RecordedLog;
  const pathOf = (name: string): string => join(folder.path, name);
  const asks = (name: string): string | undefined =>
    peerOf(`Bearer ${secretOf(name)}`, tokens.current);

  beforeEach(async () => {
    folder = await tempFolder();
    log = new RecordedLog();
    for (const name of ['n1', 'n1-new', 'n2', 'n3'])
      await writeFile(pathOf(name), `${secretOf(name)}\n`);
    const files = [
      { name: 'n1', path: pathOf('n1') },
      { name: 'n1', path: pathOf('n1-new') },
      { name: 'n2', path: pathOf('n2') },
      { name: 'n3', path: pathOf('n3') },
    ];
    tokens = await PeerTokenFiles.open(files, log);
  });
  afterEach(async () => {
    tokens[Symbol.dispose]();
    await folder[Symbol.asyncDispose]();
  });

  it('knows each peer by its own token, and both of one that changes it', () => {
    expect(['n1', 'n1-new', 'n2', 'n3'].map(asks)).to.deep.equal(['n1', 'n1', 'n2', 'n3']);
    expect(asks('n4')).to.equal(undefined);
  });

  for (const [how, change] of [
    ['emptied', async (path: string) => await writeFile(path, '')],
    ['removed', async (path: string) => await unlink(path)],
    ['made too short', async (path: string) => await writeFile(path, 'short')],
    ['given another', async (path: string) => await writeFile(path, secretOf('other'))],
  ] as const) {
    it(`refuses a token whose file was ${how}, and goes on with the others`, async () => {
      await change(pathOf('n2'));
      await tokens.refresh();
      expect(asks('n2')).to.equal(undefined);
      expect(['n1', 'n1-new', 'n3'].map(asks)).to.deep.equal(['n1', 'n1', 'n3']);
      expect(asks('other')).to.equal(how === 'given another' ? 'n2' : undefined);
      await tokens.refresh();
      expect(log.lines.map(({ fields }) => fields['peer'])).to.deep.equal(['n2']);
      expect(JSON.stringify(log.lines)).to.not.include('secret-of');
    });
  }

  it('takes a token back whose file is there again', async () => {
    await unlink(pathOf('n3'));
    await tokens.refresh();
    await writeFile(pathOf('n3'), secretOf('n3'));
    await tokens.refresh();
    expect(asks('n3')).to.equal('n3');
  });

  it('does not begin without a file, or with a token that could be guessed', async () => {
    const open = async (path: string): Promise<unknown> =>
      await PeerTokenFiles.open([{ name: 'n9', path }], log).catch((error: unknown) => error);
    expect(await open(pathOf('none')))
      .to.be.instanceOf(ProxyError)
      .with.property('kind', 'invalid');
    await writeFile(pathOf('bad'), '1234');
    expect(String(await open(pathOf('bad')))).to.include('peer n9');
  });
});
