import { closeSync, openSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import { systemFcntl } from './fcntl.ts';
import { F_OFD_SETLK, F_OFD_SETLKW, F_UNLCK, F_WRLCK, flock, HALT_BYTE } from './flock.ts';
import { ERESTARTSYS } from './lock-error.ts';

/**
 * The process that holds a HALT lock for another one: `helper-main <lock file> wait|poll`. On standard input a line `L`
 * locks and `U` unlocks; each is answered by a line with an errno, 0 for success. The end of its input unlocks and ends
 * it. It starts no process, as any copy of the descriptor that is closed would give the lock back, and lets no signal
 * but SIGKILL end it.
 */
const [path = '', mode = ''] = process.argv.slice(2);
const lockCommand = mode === 'wait' ? F_OFD_SETLKW : F_OFD_SETLK;
let fd: number | undefined;

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2', 'SIGPIPE'] as const)
  process.on(signal, () => {});
// Who asks may be gone already; the end of the input tells.
process.stdout.on('error', () => {});

const lines = createInterface({ input: process.stdin, terminal: false });
lines.on('line', (line) =>
  answer(line === 'L' ? lock() : line === 'U' ? unlock() : constants.errno.EINVAL),
);
lines.on('close', () => {
  unlock();
  process.exit(0);
});

function lock(): number {
  try {
    fd ??= openSync(path, mode === 'wait' ? 'r+' : 'a+', 0o640);
  } catch (error) {
    return -((error as NodeJS.ErrnoException).errno ?? -constants.errno.EIO);
  }
  const errno = call(fd, lockCommand, F_WRLCK);
  // The descriptor is of no more use once it was closed under a call, or its LiteFS died.
  if (errno === ERESTARTSYS || errno === constants.errno.ENOTCONN) drop();
  return errno;
}

function unlock(): number {
  if (fd === undefined) return 0;
  const errno = call(fd, F_OFD_SETLK, F_UNLCK);
  // Nothing stays open that is not needed, as a mount in use cannot be taken away. What LiteFS did not take back must stay
  // as it is: the lock belongs to this descriptor, and locking and unlocking it again gives it back.
  if (errno === 0 || errno === constants.errno.ENOTCONN) drop();
  return errno;
}

function call(descriptor: number, command: number, type: number): number {
  return systemFcntl(descriptor, command, new Uint8Array(flock(type, HALT_BYTE).buffer));
}

function drop(): void {
  if (fd === undefined) return;
  try {
    closeSync(fd);
  } catch {
    // What is dead need not be closed well.
  }
  fd = undefined;
}

function answer(errno: number): void {
  try {
    writeSync(1, `${errno}\n`);
  } catch {
    // As above: the end of the input tells.
  }
}
