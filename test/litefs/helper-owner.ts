import { HaltHelper } from '@caje/litefs';

/** Has a helper take the lock named first, says so, and waits to be killed. */
const helper = new HaltHelper(process.argv[2] ?? '', { mode: 'poll' });
const errno = await helper.lock();
process.stdout.write(errno === 0 ? `held ${helper.pid}\n` : `refused ${errno}\n`);
setInterval(() => {}, 1000);
