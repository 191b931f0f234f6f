import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HaltHelper, HelperGoneError, OfdLock } from '@caje/litefs';
import { expect } from 'chai';
import { eventually } from '../criteria/eventually.ts';
import { scriptedHelper } from '../support/scripted-helper.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const { EAGAIN, EIO, ENOLCK } = constants.errno;
const owner = fileURLToPath(new URL('helper-owner.ts', import.meta.url));

describe('HaltHelper', () => {
  let folder: TempFolder;
  let path: string;
  beforeEach(async () => {
    folder = await tempFolder();
    path = join(folder.path, 'a.db-lock');
  });
  afterEach(() => folder[Symbol.asyncDispose]());

  it('holds the lock in a process of its own until it is told', async () => {
    await using helper = new HaltHelper(path, { mode: 'poll' });
    await using other = new HaltHelper(path, { mode: 'poll' });
    expect(await helper.lock()).to.equal(0);
    using lock = new OfdLock(path);
    expect(lock.isHeldElsewhere()).to.equal(true);
    expect(await other.lock()).to.equal(EAGAIN);
    expect(await helper.unlock()).to.equal(0);
    expect(lock.isHeldElsewhere()).to.equal(false);
    expect(await other.lock()).to.equal(0);
  });

  it('gives it back when it is closed, and ends its process', async () => {
    const helper = new HaltHelper(path, { mode: 'poll' });
    await helper.lock();
    const { pid = 0 } = helper;
    await helper[Symbol.asyncDispose]();
    expect(() => process.kill(pid, 0)).to.throw('ESRCH');
    using lock = new OfdLock(path);
    expect(lock.tryLock()).to.equal(true);
    expect(await helper.lock().catch((error: unknown) => error)).to.be.instanceOf(HelperGoneError);
  });

  it('lets the signals pass that end a group of processes', async () => {
    await using helper = new HaltHelper(path, { mode: 'poll' });
    await helper.lock();
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
      process.kill(helper.pid ?? 0, signal);
    using lock = new OfdLock(path);
    // An answer after the signals shows that it lives.
    expect(await helper.lock()).to.equal(0);
    expect(lock.isHeldElsewhere()).to.equal(true);
  });

  it('gives it back when the process it works for is killed, and is in no group with it', async () => {
    const child = spawn(process.execPath, ['--conditions=caje-source', owner, path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [said] = (await once(child.stdout, 'data')) as [Buffer];
    expect(said.toString()).to.match(/^held \d+\n$/);
    using lock = new OfdLock(path);
    expect(lock.isHeldElsewhere()).to.equal(true);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await eventually('the lock', () => lock.tryLock());
  });

  it('passes errnos on as they are', async () => {
    const command = scriptedHelper(String(EIO), String(ENOLCK), '512', '107', 'nonsense');
    await using helper = new HaltHelper(path, { mode: 'wait', command });
    const errnos = [helper.lock(), helper.lock(), helper.unlock(), helper.lock(), helper.lock()];
    const { EPROTO } = constants.errno;
    expect(await Promise.all(errnos)).to.deep.equal([EIO, ENOLCK, 512, 107, EPROTO]);
  });

  it('says that its process ended, and starts another one for the next request', async () => {
    const command = scriptedHelper('0', 'die');
    await using helper = new HaltHelper(path, { mode: 'wait', command });
    expect(await helper.lock()).to.equal(0);
    const { pid } = helper;
    expect(await helper.unlock().catch((error: unknown) => error))
      .to.be.instanceOf(HelperGoneError)
      .that.includes({ code: 'EPIPE' });
    expect(await helper.lock()).to.equal(0);
    expect(helper.pid).to.not.equal(pid);
  });

  it('can be given up while it waits, and goes on with another process', async () => {
    const command = scriptedHelper('mute');
    await using helper = new HaltHelper(path, { mode: 'wait', command });
    const asked = helper.lock().catch((error: unknown) => error);
    const { pid = 0 } = helper;
    helper.abandon();
    expect(await asked).to.be.instanceOf(HelperGoneError);
    await eventually('the end of the process', () => !isThere(pid));
    helper.start();
    expect(helper.pid).to.not.equal(pid);
  });

  it('says that a program cannot be started', async () => {
    await using helper = new HaltHelper(path, { mode: 'wait', command: [join(path, 'none')] });
    expect(await helper.lock().catch((error: unknown) => error)).to.be.instanceOf(HelperGoneError);
  });
});

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
