import { readFile, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  assertPlatform,
  HaltRefusedError,
  HaltTimeoutError,
  halt,
  InterruptedLockError,
  isLiteFs,
  LockError,
  LockHeldError,
  lockError,
  NotLiteFsError,
  OfdLock,
  UnsupportedLockError,
  unhalt,
  withHalt,
} from '@caje/litefs';
import { expect } from 'chai';
import { holdLock } from '../support/hold-lock.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

describe('halt on plain files', () => {
  let folder: TempFolder;
  let path: string;
  beforeEach(async () => {
    folder = await tempFolder();
    path = join(folder.path, 'a.db');
  });
  afterEach(() => folder[Symbol.asyncDispose]());

  it('shuts another process out until it is given back', async () => {
    const held = await halt(path);
    expect([held.isHeld(), held.isOnLiteFs, held.position]).to.deep.equal([true, false, undefined]);
    await using refused = await holdLock(`${path}-lock`);
    expect(refused.said).to.equal('refused');
    await unhalt(held);
    await unhalt(held);
    expect(held.isHeld()).to.equal(false);
    await using other = await holdLock(`${path}-lock`);
    expect(other.said).to.equal('held');
  });

  it('is held until the work is done, also across its awaits, and given back when it throws', async () => {
    using lock = new OfdLock(`${path}-lock`);
    const seen: boolean[] = [];
    const result = await withHalt(path, async () => {
      seen.push(lock.isHeldElsewhere());
      await delay(5);
      seen.push(lock.isHeldElsewhere());
      return 7;
    });
    expect([result, ...seen, lock.isHeldElsewhere()]).to.deep.equal([7, true, true, false]);
    const failed = withHalt(path, async () => {
      await delay(1);
      throw new Error('broken');
    });
    expect(await failed.catch((error: unknown) => String(error))).to.equal('Error: broken');
    expect(lock.isHeldElsewhere()).to.equal(false);
  });

  it('loses no step of many that read, wait and write', async () => {
    const file = join(folder.path, 'count');
    await writeFile(file, '0');
    const step = async (): Promise<void> =>
      await withHalt(path, async () => {
        await writeFile(file, String(Number(await readFile(file, 'utf8')) + 1));
      });
    await Promise.all(Array.from({ length: 30 }, step));
    expect(await readFile(file, 'utf8')).to.equal('30');
  });

  it('says when it was not had in time, and gives up for a signal', async () => {
    await using _held = await halt(path);
    const late = await halt(path, { timeoutMs: 20 }).catch((error: unknown) => error);
    expect(late).to.be.instanceOf(HaltTimeoutError).that.includes({ code: 'ETIMEDOUT' });
    const signal = AbortSignal.abort(new Error('enough'));
    expect(await halt(path, { signal }).catch(String)).to.equal('Error: enough');
  });

  it('is refused where LiteFS is required and there is none', async () => {
    expect(isLiteFs(path)).to.equal(false);
    const refused = await halt(path, { requireLiteFs: true }).catch((error: unknown) => error);
    expect(refused).to.be.instanceOf(NotLiteFsError);
  });
});

describe('errors of locks', () => {
  it('have a class by what to do about them', () => {
    const { EACCES, EAGAIN, EINTR, EINVAL, EIO, ENOSYS, ENOTCONN, ENOTSUP } = constants.errno;
    const classes = [
      [UnsupportedLockError, [ENOSYS, ENOTSUP]],
      [InterruptedLockError, [EINTR, 512]],
      [LockHeldError, [EAGAIN, EACCES]],
      [HaltRefusedError, [EIO, ENOTCONN]],
      [LockError, [EINVAL]],
    ] as const;
    for (const [type, errnos] of classes) {
      for (const errno of errnos) {
        const error = lockError(errno, '/a.db-lock', 'cannot be locked');
        expect(error.constructor).to.equal(type);
        expect(error.errno).to.equal(errno);
        expect(error.message).to.equal(`/a.db-lock: cannot be locked (${error.code})`);
      }
    }
    expect(lockError(512, 'x', 'y').code).to.equal('ERESTARTSYS');
    expect(lockError(constants.errno.ENOLCK, 'x', 'y').code).to.equal('ENOLCK');
  });

  it('name the platform where there are no such locks', () => {
    for (const where of [
      { platform: 'darwin', arch: 'arm64' },
      { platform: 'win32', arch: 'x64' },
      { platform: 'linux', arch: 'arm' },
    ]) {
      expect(() => assertPlatform('/a.db-lock', where))
        .to.throw(UnsupportedLockError, `this is ${where.platform} on ${where.arch}`)
        .that.includes({ code: 'ENOTSUP' });
    }
    assertPlatform('/a.db-lock', { platform: 'linux', arch: 'x64' });
    assertPlatform('/a.db-lock', { platform: 'linux', arch: 'arm64' });
  });
});
