import { expect } from 'chai';
import { s3Options } from '../criteria/storages.ts';
import { blocksOf, document } from '../docs/documents.ts';
import { HouseSite, readPages } from '../support/house-site.ts';
import { NodeProcess } from '../support/node-process.ts';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.ts';
import { skipUnless } from '../support/skip.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const PAGES = 60;
const LATER = 10;

describe('moving house, as docs/storage.md tells it', function () {
  this.timeout(120_000);
  let site: HouseSite;
  let folder: TempFolder;
  let server: S3Server;

  before(async function () {
    skipUnless(this, s3ServerMissing() === undefined, s3ServerMissing() ?? '');
    [site, folder, server] = await Promise.all([HouseSite.start(), tempFolder(), startS3Server()]);
  });

  after(async () => {
    await server?.stop();
    await folder?.[Symbol.asyncDispose]();
    await site?.[Symbol.asyncDispose]();
  });

  it('asks the origin for nothing again on the way from disk to S3', async () => {
    const storage = {
      local: { type: 'disk', path: 'blobs', keepFree: 0 },
      bucket: s3Options(server, await server.createBucket()),
    };
    const start = async (backend: string): Promise<NodeProcess> =>
      await NodeProcess.start({ folder: folder.path, config: site.config(backend, storage) });
    const { text } = document('docs/storage.md');
    const section = text.slice(text.indexOf('\n## Moving house'));
    const [block] = blocksOf({
      name: '',
      text: section.slice(0, section.indexOf('\n## ', 1)),
    }).filter(({ words }) => words[0] === 'sh');
    const commands = (block?.text ?? '').split('\n').filter((line) => line.startsWith('caje '));
    expect(commands).to.have.length.at.least(2);

    await using before = await start('local');
    await readPages(before.url, PAGES);
    for (const command of commands.slice(0, -1)) {
      const { code, stdout, stderr } = await before.run(...argsOf(command));
      expect(code, `${command}\n${stdout}${stderr}`).to.equal(0);
    }
    // What comes in between the copy and the switch is what the last command is for.
    await readPages(before.url, LATER, PAGES);
    await before.stop();
    const last = await before.run(...argsOf(commands.at(-1) ?? ''));
    expect(last.stdout).to.match(
      new RegExp(`^${LATER} copied .* ${PAGES} there already, 0 failed`),
    );

    site.asked.length = 0;
    await using moved = await start('bucket');
    await readPages(moved.url, PAGES + LATER);
    expect(site.asked).to.deep.equal([]);
    expect((await moved.run('verify', '--storage', 'bucket')).code).to.equal(0);
  });
});

function argsOf(command: string): string[] {
  return command
    .replace(/ *#.*$/, '')
    .split(/ +/)
    .slice(1);
}
