import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { request } from 'undici';
import { s3Options } from '../criteria/storages.ts';
import { bodyOf, HouseSite } from '../support/house-site.ts';
import { NodeProcess } from '../support/node-process.ts';
import { CAJE, cleanEnv } from '../support/run-caje.ts';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.ts';
import { skipUnless } from '../support/skip.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const BODIES = 12;
const KILLS = 3;
/** About what one body takes. Milliseconds. */
const BODY_MS = 500;

describe('caje copy to S3', function () {
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

  it('goes on after SIGKILL in the middle of uploads, leaves nothing behind, and comes back', async () => {
    const bucket = await server.createBucket();
    const storage = {
      local: { type: 'disk', path: 'blobs', keepFree: 0 },
      bucket: s3Options(server, bucket),
      back: { type: 'disk', path: 'back', keepFree: 0 },
    };
    const read = async (url: string): Promise<void> => {
      for (let at = 0; at < BODIES; at++) {
        const { body } = await request(`${url}/huge/${at}`, { headers: { host: 'a.test' } });
        const bytes = Buffer.from(await body.arrayBuffer());
        expect(bytes.equals(bodyOf(`/huge/${at}`)), `body ${at}`).to.equal(true);
      }
    };
    const start = async (backend: string): Promise<NodeProcess> =>
      await NodeProcess.start({ folder: folder.path, config: site.config(backend, storage) });
    await using node = await start('local');
    await read(node.url);
    await node.stop();

    const args = ['copy', '--from', 'local', '--to', 'bucket', '--concurrency', '2', '--json'];
    for (let kill = 0; kill < KILLS; kill++) {
      const child = spawn(CAJE, [...args, '-c', node.configFile], {
        env: cleanEnv(),
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let said = '';
      child.stdout.on('data', (text: Buffer) => {
        said += text.toString();
      });
      while (!said.includes('"copied"') && child.exitCode === null) await sleep(2);
      await sleep(Math.random() * BODY_MS);
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    const last = await node.run(...args);
    expect(last.code, last.stderr).to.equal(0);
    expect(last.stdout)
      .to.match(/"there"/)
      .and.not.match(/"failed"/);
    const all = await readdir(join(server.dataFolder, bucket), {
      recursive: true,
      withFileTypes: true,
    });
    // A body and its block digests.
    expect(all.filter((file) => file.isFile())).to.have.length(2 * BODIES);
    expect(await readdir(join(node.dataDir, 'spool'))).to.deep.equal([]);

    const back = await node.run('copy', '--from', 'bucket', '--to', 'back');
    expect(back.stdout).to.match(/^12 copied .* 0 failed\n$/);
    site.asked.length = 0;
    await using moved = await start('back');
    await read(moved.url);
    expect(site.asked).to.deep.equal([]);
  });
});
