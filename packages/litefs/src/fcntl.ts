import koffi from 'koffi';

/** Calls fcntl(2) with a `struct flock`. Gives 0 or the errno. */
export type Fcntl = (fd: number, command: number, lock: Uint8Array) => number;

let loaded: Fcntl | undefined;

/** fcntl(2) of the C library that this process runs on. Loaded at the first call. */
export const systemFcntl: Fcntl = (fd, command, lock) => {
  loaded ??= load();
  return loaded(fd, command, lock);
};

function load(): Fcntl {
  const call = koffi.load(null).func('int fcntl(int fd, int command, ...)');
  // errno is read before anything else can run on this thread.
  return (fd, command, lock) => (call(fd, command, 'void *', lock) === -1 ? koffi.errno() : 0);
}
