import { mkdtemp, rm, stat } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { LockError, OfdLock } from '@caje/litefs';
import { expect } from 'chai';
import { holdLock } from '../support/hold-lock.ts';

describe('OfdLock', () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'caje-lock-'));
    path = join(folder, 'a.db-lock');
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('is had by one open file at a time', () => {
    using one = new OfdLock(path);
    using two = new OfdLock(path);
    expect(one.tryLock()).to.equal(true);
    expect(one.tryLock(), 'again by its holder').to.equal(true);
    expect(two.tryLock()).to.equal(false);
    expect([one.isHeldElsewhere(), two.isHeldElsewhere()]).to.deep.equal([false, true]);
    one.unlock();
    expect(two.tryLock()).to.equal(true);
  });

  it('keeps other bytes of the file free', () => {
    using halt = new OfdLock(path);
    using other = new OfdLock(path, { byte: 71 });
    expect([halt.tryLock(), other.tryLock()]).to.deep.equal([true, true]);
  });

  it('is seen by another process, and goes when its holder is killed', async () => {
    await using holder = await holdLock(path);
    expect(holder.said).to.equal('held');
    using lock = new OfdLock(path);
    expect([lock.tryLock(), lock.isHeldElsewhere()]).to.deep.equal([false, true]);
    await using second = await holdLock(path);
    expect(second.said).to.equal('refused');
    await holder.release('SIGKILL');
    expect(lock.tryLock()).to.equal(true);
  });

  it('survives a child process that comes and goes', async () => {
    using lock = new OfdLock(path);
    lock.tryLock();
    await using child = await holdLock(join(folder, 'other-lock'));
    await child.release();
    using other = new OfdLock(path);
    expect(other.tryLock()).to.equal(false);
  });

  it('makes the file for its owner and group and never deletes it', async () => {
    const lock = new OfdLock(path);
    lock.tryLock();
    lock.close();
    lock.close();
    expect((await stat(path)).mode & 0o037).to.equal(0);
  });

  it('makes an interrupted call again', () => {
    const { EINTR } = constants.errno;
    const answers = [EINTR, EINTR, 0];
    using lock = new OfdLock(path, { fcntl: () => answers.shift() ?? 0 });
    expect(lock.tryLock()).to.equal(true);
    expect(answers).to.deep.equal([]);
  });

  it('says with a code that a file system has no such locks', () => {
    using lock = new OfdLock(path, { fcntl: () => constants.errno.ENOSYS });
    expect(() => lock.tryLock())
      .to.throw(LockError, path)
      .that.includes({ code: 'ENOSYS', errno: constants.errno.ENOSYS });
  });

  it('refuses work once closed', () => {
    const lock = new OfdLock(path);
    lock.close();
    expect(() => lock.tryLock())
      .to.throw(LockError)
      .that.includes({ code: 'EBADF' });
  });
});
