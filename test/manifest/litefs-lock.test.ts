import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OfdLock } from '@caje/litefs';
import { expect } from 'chai';
import { SystemClock } from '../../src/clock.ts';
import { kindOf, messageOf } from '../../src/errors.ts';
import type { HaltQueue } from '../../src/manifest/halt-queue.ts';
import { type LiteFsLockOptions, liteFsLock } from '../../src/manifest/litefs-lock.ts';
import { haltLockContract } from '../contract/halt-lock.ts';
import { eventually } from '../criteria/eventually.ts';
import { LiteFsApi } from '../support/litefs-api.ts';
import { scriptedHelper } from '../support/scripted-helper.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

/** LiteFS' lock without LiteFS: its API is pretended, and its helper holds the byte of a plain file, or answers by a script. */
describe('the litefs HALT lock', () => {
  const clock = new SystemClock();
  let folder: TempFolder;
  let path: string;
  let api: LiteFsApi;
  let primary: LiteFsApi;
  let counted: string[];

  beforeEach(async () => {
    folder = await tempFolder();
    path = join(folder.path, 'manifest.db');
    [api, primary] = await Promise.all([LiteFsApi.start(), LiteFsApi.start()]);
    counted = [];
    await writeFile(`${path}-lock`, '');
  });
  afterEach(async () => {
    await api[Symbol.asyncDispose]();
    await primary[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  const make = (over: Partial<LiteFsLockOptions> = {}): HaltQueue =>
    liteFsLock(path, {
      clock,
      addresses: { api: api.url, primary: primary.url },
      count: (name, label) => counted.push(label === '' ? name : `${name}:${label}`),
      introduce: () => {
        throw new Error('LiteFS knows it');
      },
      ...over,
    });

  const replicaAt = async (own: number, ofPrimary: number): Promise<void> => {
    api.says.isPrimary = false;
    primary.says.txids.set('manifest.db', BigInt(ofPrimary));
    await writeFile(`${path}-pos`, `${own.toString(16).padStart(16, '0')}/96e65cf9227de3fe\n`);
  };

  haltLockContract('litefs', async (acquireTimeoutMs) => make({ acquireTimeoutMs }));

  it('is held by another process while it is held, and given back', async () => {
    await replicaAt(4, 4);
    await using lock = make();
    using other = new OfdLock(`${path}-lock`);
    const lease = await lock.acquire();
    lease.assertHeld();
    expect(other.isHeldElsewhere()).to.equal(true);
    await lease[Symbol.asyncDispose]();
    expect(other.isHeldElsewhere()).to.equal(false);
    expect(counted).to.deep.equal([]);
  });

  it('pauses after each use on a replica, and not on the primary', async () => {
    const began = async (lock: HaltQueue): Promise<number> => {
      await (await lock.acquire())[Symbol.asyncDispose]();
      const before = clock.monotonic();
      await (await lock.acquire())[Symbol.asyncDispose]();
      return clock.monotonic() - before;
    };
    await replicaAt(1, 1);
    await using onReplica = make({ random: () => 0.5 });
    // Its timer may be a little early.
    expect(await began(onReplica)).to.be.greaterThan(49);
    api.says.isPrimary = true;
    const waits: number[] = [];
    const sleeping = Object.assign(new SystemClock(), {
      sleep: async (ms: number): Promise<void> => void waits.push(ms),
    });
    await using onPrimary = make({ clock: sleeping });
    await began(onPrimary);
    expect(waits).to.deep.equal([]);
  });

  it('is not asked for while the node is behind its primary, and is once it has come', async () => {
    await replicaAt(3, 5);
    const turns: boolean[] = [];
    await using lock = make({ onTurn: (isTaken) => turns.push(isTaken) });
    const refused = await lock.acquire().catch((error: unknown) => error);
    expect(kindOf(refused)).to.equal('unavailable');
    expect(messageOf(refused)).to.equal('this node is at transaction 3, its primary at 5');
    expect(counted).to.deep.equal(['halt_gate_total:behind']);
    expect(turns, 'readers may read').to.deep.equal([false]);
    const had = lock.acquire();
    await replicaAt(6, 6);
    await using lease = await had;
    lease.assertHeld();
    expect(turns).to.deep.equal([false, true]);
  });

  it('is not asked for while another node writes, and is once that has ended', async () => {
    await replicaAt(3, 3);
    primary.says.isLocked = true;
    await using lock = make();
    let had = false;
    const asked = lock.acquire().then((lease) => {
      had = true;
      return lease;
    });
    // Longer than a node may be behind.
    await clock.sleep(1200);
    expect(had).to.equal(false);
    primary.says.isLocked = false;
    await using lease = await asked;
    lease.assertHeld();
    expect(counted).to.deep.equal([]);
  });

  it('is not asked for while no primary is to be had', async () => {
    await replicaAt(3, 3);
    await using lock = make();
    api.says.primary = undefined;
    expect(await lock.acquire().catch(messageOf)).to.contain('no primary is known');
    api.says.primary = 'n1';
    await primary[Symbol.asyncDispose]();
    expect(await lock.acquire().catch(kindOf)).to.equal('unavailable');
    expect(counted).to.deep.equal(['halt_gate_total:alone', 'halt_gate_total:alone']);
  });

  it('makes the database known where LiteFS has never heard of it', async () => {
    let introduced = 0;
    const introduce = (): void => void introduced++;
    await using lock = make({ command: scriptedHelper('2', '0'), introduce });
    await using lease = await lock.acquire();
    lease.assertHeld();
    expect(introduced).to.equal(1);
  });

  it('is asked for again where the call was interrupted', async () => {
    await using lock = make({ command: scriptedHelper('4', '11', '512', '0') });
    await using lease = await lock.acquire();
    lease.assertHeld();
  });

  for (const [errno, kind, message, count] of [
    ['5', 'unavailable', 'LiteFS has no primary', undefined],
    ['107', 'unavailable', 'LiteFS is gone', undefined],
    ['37', 'internal', 'HALT was not had (ENOLCK)', 'halt_helper_lost_total:locked'],
    ['22', 'internal', 'HALT was not had (EINVAL)', undefined],
    ['38', 'internal', 'HALT was not had (ENOSYS)', undefined],
    ['die', 'unavailable', 'the process that asks for HALT ended', 'halt_helper_lost_total:lock'],
  ] as const) {
    it(`is not had when the helper answers ${errno}, and the next one asks anew`, async () => {
      await using lock = make({ command: scriptedHelper(errno, errno) });
      for (const _ of [1, 2]) {
        const error = await lock.acquire().catch((failure: unknown) => failure);
        expect(kindOf(error)).to.equal(kind);
        expect(messageOf(error)).to.contain(message);
      }
      expect(counted).to.deep.equal(count === undefined ? [] : [count, count]);
    });
  }

  it('is over when the helper that holds it dies', async () => {
    await replicaAt(1, 1);
    // The real helper, which is killed by its number.
    await using lock = make();
    const lease = await lock.acquire();
    using other = new OfdLock(`${path}-lock`);
    const pid = helperPid(path);
    process.kill(pid, 'SIGKILL');
    await eventually('the lock to be free', () => !other.isHeldElsewhere());
    expect(() => lease.assertHeld()).to.throw('HALT was lost');
    await lease[Symbol.asyncDispose]();
    await using next = await lock.acquire();
    next.assertHeld();
  });

  it('is locked and unlocked again until LiteFS takes it back, before the next one has it', async () => {
    await using lock = make({ command: scriptedHelper('0', '5', '5', '0', '5', '0', '0', '0') });
    await (await lock.acquire())[Symbol.asyncDispose]();
    await using lease = await lock.acquire();
    lease.assertHeld();
    expect(counted).to.deep.equal(['halt_stuck_total:unlock']);
  });

  it('is given up by its signal while LiteFS does not answer, with the helper', async () => {
    await using lock = make({ command: scriptedHelper('mute') });
    const abort = new AbortController();
    const asked = lock.acquire({ signal: abort.signal }).catch(kindOf);
    setTimeout(() => abort.abort(), 100);
    expect(await asked).to.equal('aborted');
  });

  it('is given back by closing it', async () => {
    const lock = make();
    const lease = await lock.acquire();
    await lock[Symbol.asyncDispose]();
    await lease[Symbol.asyncDispose]();
    using other = new OfdLock(`${path}-lock`);
    expect(other.tryLock()).to.equal(true);
    expect(await lock.acquire().catch(kindOf)).to.equal('unavailable');
  });
});

/** The helper of a lock file among the children of this process. */
function helperPid(path: string): number {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8');
  const pids = children.trim().split(' ').map(Number);
  const found = pids.find((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(path));
  if (found === undefined) throw new Error('no helper runs');
  return found;
}
