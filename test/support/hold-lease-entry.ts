import { SystemClock } from '../../src/clock.ts';
import { primaryLock } from '../../src/manifest/primary-lock.ts';

/** Started by `holdLease`: takes a lease on the lock of a primary, renews it, and says so; ends when its input does. */
const { CAJE_TEST_URL: url = '', CAJE_TEST_TOKEN: token = '' } = process.env;
const lock = primaryLock({
  ...{ clock: new SystemClock(), node: 'holder', url, credentials: { token } },
});
await lock.acquire();
process.stdout.write('held\n');
process.stdin.on('end', () => void lock[Symbol.asyncDispose]()).resume();
