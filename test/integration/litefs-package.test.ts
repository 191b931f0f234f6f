import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import {
  HaltRefusedError,
  halt,
  isLiteFs,
  isPrimary,
  lag,
  liteFsMount,
  OfdLock,
  type PrimaryState,
  position,
  primary,
  primaryChanges,
  UnsupportedLockError,
  waitForPosition,
  withHalt,
} from '@caje/litefs';
import { expect } from 'chai';
import { systemFcntl } from '../../packages/litefs/src/fcntl.ts';
import { F_OFD_SETLK, F_OFD_SETLKW, F_WRLCK, flock } from '../../packages/litefs/src/flock.ts';
import { openDatabase, sqliteCode } from '../../src/sqlite/open-database.ts';
import { LiteFsCluster, type LiteFsNode, liteFsObstacle } from '../support/litefs-cluster.ts';
import { skipUnless } from '../support/skip.ts';

const NAME = 'a.db';
const F_RDLCK = 0;

/** litefs.md 9, tests 2 to 4, and the package on both kinds of node. */
describe('the litefs package on a real LiteFS', function (this: Mocha.Suite) {
  this.timeout(60_000);
  let cluster: LiteFsCluster;
  let first: LiteFsNode;
  let replica: LiteFsNode;

  before(async function (this: Mocha.Context) {
    const obstacle = liteFsObstacle();
    skipUnless(this, obstacle === undefined, obstacle ?? '', { exempt: true });
    cluster = await LiteFsCluster.start({ nodes: 2 });
    [first, replica] = [cluster.primary, cluster.node(1)];
    write(first, 'CREATE TABLE counters (value INTEGER)', 'INSERT INTO counters VALUES (0)');
    await cluster.inStep(NAME);
  });
  after(async () => await cluster?.[Symbol.asyncDispose]());

  it('knows where it is: mount, primary, position, lag', async () => {
    for (const node of cluster.nodes) {
      const path = node.path(NAME);
      expect([isLiteFs(path), liteFsMount(path)]).to.deep.equal([true, node.mount]);
      expect(await isPrimary(path, { url: node.url })).to.equal(node === first);
      expect(await primary(path)).to.equal(node === first ? undefined : 'n1');
      expect(await position(path)).to.deep.equal(await position(first.path(NAME)));
      expect(await lag(path)).to.be.lessThan(3000);
    }
  });

  it('refuses a write on a replica without HALT, and the row is nowhere (T-2)', async () => {
    const error = thrown(() => write(replica, 'UPDATE counters SET value = 99'));
    expect(sqliteCode(error)).to.equal('SQLITE_READONLY_DIRECTORY');
    expect([read(first), read(replica)]).to.deep.equal([0, 0]);
  });

  it('writes on a replica under HALT, which is read on the primary (T-3, M14)', async () => {
    for (const node of cluster.nodes) {
      const path = node.path(NAME);
      const before = read(node);
      await withHalt(path, (held) => {
        write(node, 'UPDATE counters SET value = value + 1');
        expect([held.isHeld(), held.isOnLiteFs]).to.deep.equal([true, true]);
      });
      const now = await position(path);
      for (const other of cluster.nodes) {
        expect(await waitForPosition(other.path(NAME), now?.txid ?? 0n)).to.deep.equal(now);
        expect(read(other)).to.equal(before + 1);
      }
    }
  });

  it('serves callers of one process in order, and none before the last has done', async () => {
    const path = replica.path(NAME);
    const before = read(first);
    let inside = 0;
    const step = async (): Promise<void> =>
      await withHalt(path, async () => {
        expect(++inside).to.equal(1);
        await new Promise((resolve) => setTimeout(resolve, 2));
        write(replica, 'UPDATE counters SET value = value + 1');
        inside -= 1;
      });
    await Promise.all([step(), step(), step()]);
    await cluster.inStep(NAME);
    expect(read(first)).to.equal(before + 3);
  });

  it('gets the answers that the errors are made for (T-4)', async () => {
    const { ENOLCK, ENOSYS, EINVAL } = constants.errno;
    const path = `${replica.path(NAME)}-lock`;
    using lock = new OfdLock(path, { create: false });
    expect(() => lock.tryLock()).to.throw(UnsupportedLockError);
    const fd = openSync(path, 'r+');
    const ask = (command: number, type: number, byte: number, length = 1): number => {
      const bytes = flock(type, byte);
      new BigInt64Array(bytes.buffer)[2] = BigInt(length);
      return systemFcntl(fd, command, new Uint8Array(bytes.buffer));
    };
    try {
      expect([
        ask(F_OFD_SETLK, F_WRLCK, 72),
        ask(F_OFD_SETLKW, F_RDLCK, 72),
        ask(F_OFD_SETLKW, F_WRLCK, 0),
        ask(F_OFD_SETLKW, F_WRLCK, 72, 2),
        ask(F_OFD_SETLKW, F_WRLCK, 72),
        ask(F_OFD_SETLKW, F_WRLCK, 72),
      ]).to.deep.equal([ENOSYS, ENOSYS, EINVAL, EINVAL, 0, ENOLCK]);
    } finally {
      closeSync(fd);
    }
  });

  it('tells of a primary that goes and comes back, and is refused HALT meanwhile', async () => {
    const stop = new AbortController();
    const states: PrimaryState[] = [];
    const { promise: back, resolve } = Promise.withResolvers<void>();
    const listening = (async () => {
      for await (const state of primaryChanges(replica.path(NAME), {
        url: replica.url,
        signal: stop.signal,
      })) {
        states.push(state);
        const wasAway = states.slice(0, -1).some(({ hostname }) => hostname === undefined);
        if (wasAway && state.hostname === 'n1') resolve();
      }
    })();
    await first.until(async () => states.length > 0, 'the first state');
    await first.kill9();
    await first.until(
      async () => states.some(({ hostname }) => hostname === undefined),
      'the loss to be told',
    );
    const refused = await halt(replica.path(NAME)).catch((error: unknown) => error);
    expect(refused).to.be.instanceOf(HaltRefusedError).that.includes({ code: 'EIO' });
    await first.start();
    await back;
    stop.abort();
    await listening;
    await cluster.inStep(NAME);
    await withHalt(replica.path(NAME), () => write(replica, 'UPDATE counters SET value = 7'));
    await cluster.inStep(NAME);
    expect(read(first)).to.equal(7);
  });
});

function write(node: LiteFsNode, ...statements: readonly string[]): void {
  const database = openDatabase(node.path(NAME), { journal: 'delete', busyTimeoutMs: 1000 });
  try {
    database.exec(`BEGIN IMMEDIATE; ${statements.join(';')}; COMMIT`);
  } finally {
    database.close();
  }
}

function read(node: LiteFsNode): number {
  const database = openDatabase(node.path(NAME), { readOnly: true, busyTimeoutMs: 1000 });
  try {
    return database.prepare('SELECT value FROM counters').pluck().get() as number;
  } finally {
    database.close();
  }
}

function thrown(work: () => void): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}
