import { rm } from 'node:fs/promises';
import { join } from 'node:path';
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

  it('asks the origin for nothing again on the way from disk over tiers to S3', async () => {
    const bucket = s3Options(server, await server.createBucket());
    const storage = {
      local: { type: 'disk', path: 'blobs', keepFree: 0 },
      bucket,
      both: { type: 'tiered', near: 'local', far: 'bucket' },
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
    expect(commands).to.have.length(1);
    const args = (commands[0] ?? '')
      .replace(/ *#.*$/, '')
      .split(/ +/)
      .slice(1);

    {
      await using before = await start('local');
      await readPages(before.url, PAGES);
      await before.stop();
    }
    site.asked.length = 0;
    {
      await using meanwhile = await start('both');
      await readPages(meanwhile.url, LATER, PAGES);
      const moving = meanwhile.run(...args);
      await readPages(meanwhile.url, LATER, PAGES + LATER);
      const { code, stdout, stderr } = await moving;
      expect(code, `${stdout}${stderr}`).to.equal(0);
      expect(stdout).to.match(/ 0 failed\n$/);
      expect((await meanwhile.run(...args)).stdout).to.match(/^0 copied /);
      await readPages(meanwhile.url, PAGES);
      await meanwhile.stop();
    }
    expect(site.asked).to.have.length(2 * LATER);
    await rm(join(folder.path, 'data', 'blobs'), { recursive: true });
    site.asked.length = 0;
    await using moved = await start('bucket');
    await readPages(moved.url, PAGES + 2 * LATER);
    expect(site.asked).to.deep.equal([]);
    expect((await moved.run('verify', '--storage', 'bucket')).code).to.equal(0);
  });
});
