import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { SystemClock } from '../../src/clock.ts';
import { localLock } from '../../src/manifest/local-lock.ts';
import { ManifestWriter } from '../../src/manifest/manifest-writer.ts';
import type { ChangeResponse, WriterEvent } from '../../src/manifest/writer-protocol.ts';
import { openDatabase } from '../../src/sqlite/open-database.ts';
import { putRequest } from '../support/litefs-writer.ts';
import { patience } from '../support/patience.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const adder = fileURLToPath(new URL('lock-adder.ts', import.meta.url));
/** litefs.md asks for 5,000, which takes half a minute and shows no more. */
const STEPS = 600;

/** litefs.md 9, tests 10 and 13, which need no LiteFS. */
describe('the local HALT lock among processes', () => {
  let folder: TempFolder;
  let path: string;
  beforeEach(async () => {
    folder = await tempFolder();
    path = join(folder.path, 'manifest.db');
  });
  afterEach(() => folder[Symbol.asyncDispose]());

  it('loses no step of four processes, and is had at once when one of them is killed (T-13)', async function (this: Mocha.Context) {
    this.timeout(120_000);
    await writeFile(`${path}.count`, '0');
    const add = (times: number, step: number): ReturnType<typeof spawn> => {
      const args = [adder, path, String(times), String(step)];
      return spawn(process.execPath, ['--conditions=caje-source', ...args], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
    };
    const adders = [STEPS, STEPS, STEPS].map((times) => add(times, 1));
    const said = adders.map(async ({ stdout }) => (stdout ? await text(stdout) : ''));
    // One more that takes the lock all the time and never ends by itself.
    const victim = add(Number.MAX_SAFE_INTEGER, 0);
    await once(victim.stdout ?? victim, 'data');
    await once(adders[0]?.stdout ?? victim, 'data');
    victim.kill('SIGKILL');
    await once(victim, 'exit');
    const killed = performance.now();
    await using lock = localLock(path, { clock: new SystemClock() });
    await (await lock.acquire())[Symbol.asyncDispose]();
    // In 100 ms on a machine that does nothing else; here three others want it too.
    expect(performance.now() - killed).to.be.lessThan(2000 * patience());
    expect(await Promise.all(said)).to.deep.equal(Array(3).fill('ready\ndone\n'));
    expect(Number(await readFile(`${path}.count`, 'utf8'))).to.equal(3 * STEPS);
  });

  it('is over for who holds it longer than its lease: rolled back, counted, written later (T-10)', async () => {
    let ahead = 0;
    const clock = Object.assign(new SystemClock(), { monotonic: () => performance.now() + ahead });
    const events: WriterEvent[] = [];
    const writer = new ManifestWriter(
      {
        path,
        nodeDatabasePath: join(folder.path, 'node.db'),
        lock: 'local',
        acquireTimeoutMs: 10_000,
        cluster: {
          ...{ node: 'a', follows: false, primary: '', token: '', others: [] },
          ...{ leaseMs: 30_000, catchUpMs: 30_000 },
        },
      },
      {
        clock,
        commitDelayMs: 0,
        notify: (event) => {
          events.push(event);
          // Six seconds go by between the grant and the commit, once.
          if (ahead === 0 && event.type === 'count' && event.name === 'halt_acquired_total')
            ahead = 6000;
        },
      },
    );
    const response = (await writer.handle(putRequest('slow'))) as ChangeResponse;
    await writer.close();
    expect(response).to.include({ outcome: 'committed', jid: 1 });
    const retries = events.filter(
      (event) => event.type === 'count' && event.name === 'commit_retries_total',
    );
    expect(retries).to.deep.equal([
      { type: 'count', name: 'commit_retries_total', label: 'conflict' },
    ]);
    const database = openDatabase(path, { readOnly: true });
    expect(database.prepare('SELECT key FROM journal').pluck().all()).to.deep.equal(['slow']);
    database.close();
  });
});
