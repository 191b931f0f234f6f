import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { filesBelow } from '../support/audit-store.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { entryRows } from './node-files.ts';
import { Site, xCache } from './site.ts';
import { onS3, type Storage } from './storages.ts';

describe('criteria of S3 settings', function () {
  this.timeout(60_000);

  const expectObject = async (site: Site, { server }: Storage, bucket: string): Promise<void> => {
    expect((await site.keep('/page')).status).to.equal(200);
    expect(xCache(await site.get('/page'))).to.equal('HIT');
    const digest = entryRows(site.node, '/page')[0]?.digest ?? '';
    const objects = await filesBelow(join(server?.dataFolder ?? '', bucket));
    expect(objects).to.deep.equal([join('far', 'sha256', digest.slice(0, 2), digest)]);
  };

  it('S11: endpoint, region, path style, prefix and keys come from the file', async function () {
    await using storage = await onS3(this);
    await using site = await Site.start({ storage: { ...storage.options, prefix: 'far/' } });
    await expectObject(site, storage, String(storage.options['bucket']));
  });

  it('S11: each of them can come from the environment, the secret from a file', async function () {
    await using storage = await onS3(this);
    await using folder = await tempFolder();
    const { endpoint, region, accessKeyId, secretAccessKey } = storage.server ?? {};
    const secret = join(folder.path, 'secret');
    await writeFile(secret, `${secretAccessKey}\n`, { mode: 0o600 });
    await using site = await Site.start({
      storage: {
        type: 's3',
        endpoint: 'http://127.0.0.1:9',
        region: 'nowhere-1',
        bucket: 'another',
        credentials: { accessKeyId: 'nobody', secretAccessKey: 'wrong' },
      },
      env: {
        CAJE_STORAGE__LOCAL__ENDPOINT: String(endpoint),
        CAJE_STORAGE__LOCAL__REGION: String(region),
        CAJE_STORAGE__LOCAL__BUCKET: String(storage.options['bucket']),
        CAJE_STORAGE__LOCAL__PREFIX: 'far/',
        CAJE_STORAGE__LOCAL__FORCE_PATH_STYLE: 'true',
        CAJE_STORAGE__LOCAL__CREDENTIALS__ACCESS_KEY_ID: String(accessKeyId),
        CAJE_STORAGE__LOCAL__CREDENTIALS__SECRET_ACCESS_KEY_FILE: secret,
      },
    });
    await expectObject(site, storage, String(storage.options['bucket']));
    const { stdout } = await site.node.run('config', 'print');
    expect(stdout).to.not.include(String(secretAccessKey)).and.not.include('wrong');
  });

  it('S11: without keys those of the SDK count', async function () {
    await using storage = await onS3(this);
    const { credentials: _, ...options } = storage.options;
    await using site = await Site.start({
      storage: { ...options, prefix: 'far/' },
      env: {
        AWS_ACCESS_KEY_ID: String(storage.server?.accessKeyId),
        AWS_SECRET_ACCESS_KEY: String(storage.server?.secretAccessKey),
      },
    });
    await expectObject(site, storage, String(storage.options['bucket']));
  });
});
