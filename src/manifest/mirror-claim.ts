import { join } from 'node:path';
import { OfdLock } from '@caje/litefs';
import { ProxyError } from '../errors.ts';

/** Processes on one data folder at once, at most: a node, one that populates beside it, and commands. */
const MAX_COPIES = 9;

/**
 * A copy of the rows that this process alone writes: `manifest-mirror.db` of the folder, or where another process has that one the first
 * that is free of `manifest-mirror-2.db` and so on. It is given up by disposing, or with the process, and goes on from where it was
 * under whoever claims it next. Throws `conflict` where all are claimed.
 */
export class MirrorClaim implements Disposable {
  readonly path: string;
  readonly #lock: OfdLock;

  constructor(folder: string) {
    for (let number = 1; number <= MAX_COPIES; number++) {
      const path = join(folder, `manifest-mirror${number === 1 ? '' : `-${number}`}.db`);
      const lock = new OfdLock(`${path}-claim`);
      if (lock.tryLock()) {
        this.path = path;
        this.#lock = lock;
        return;
      }
      lock.close();
    }
    throw new ProxyError(
      'conflict',
      'mirror-claim.open',
      `${MAX_COPIES} processes have copies of the manifest in ${folder} already`,
    );
  }

  [Symbol.dispose](): void {
    this.#lock.close();
  }
}
