import { getSystemErrorName } from 'node:util';

/** The operating system refused a lock call. `code` such as `ENOSYS`, `errno` its number. */
export class LockError extends Error {
  override readonly name = 'LockError';
  readonly errno: number;
  readonly code: string;
  readonly path: string;

  constructor(errno: number, path: string, what: string) {
    const code = getSystemErrorName(-errno);
    super(`${path}: ${what} (${code})`);
    this.errno = errno;
    this.code = code;
    this.path = path;
  }
}
