import { join } from 'node:path';
import { expect } from 'chai';
import { SystemClock } from '../../src/clock.ts';
import { kindOf } from '../../src/errors.ts';
import { localLock, noLock } from '../../src/manifest/local-lock.ts';
import { haltLockContract } from '../contract/halt-lock.ts';
import { holdLock } from '../support/hold-lock.ts';
import { patience } from '../support/patience.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

describe('HALT locks', () => {
  const clock = new SystemClock();
  let folder: TempFolder;
  let path: string;
  beforeEach(async () => {
    folder = await tempFolder();
    path = join(folder.path, 'manifest.db');
  });
  afterEach(() => folder[Symbol.asyncDispose]());

  haltLockContract('none', async (acquireTimeoutMs) => noLock({ clock, acquireTimeoutMs }));
  haltLockContract('local', async (acquireTimeoutMs) =>
    localLock(path, { clock, acquireTimeoutMs }),
  );

  it('local excludes two locks of one process on the same database', async () => {
    await using one = localLock(path, { clock });
    await using two = localLock(path, { clock, acquireTimeoutMs: 20 });
    await using lease = await one.acquire();
    expect(await two.acquire().catch(kindOf)).to.equal('timeout');
    lease.assertHeld();
  });

  it('local is had within 100 ms after its holder was killed', async () => {
    await using holder = await holdLock(`${path}-lock`);
    expect(holder.said).to.equal('held');
    await using lock = localLock(path, { clock });
    const had = lock.acquire();
    await holder.release('SIGKILL');
    const killed = performance.now();
    (await had).assertHeld();
    expect(performance.now() - killed).to.be.lessThan(100 * patience());
  });
});
