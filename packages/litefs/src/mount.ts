import { readFileSync, realpathSync } from 'node:fs';
import { dirname, resolve, sep } from 'node:path';

const MOUNT_TABLE = '/proc/self/mountinfo';

/** The folder on which the LiteFS is mounted that a database lies on, also one that died. Absent: it lies on none. */
export function liteFsMount(databasePath: string): string | undefined {
  const folder = dirname(resolve(databasePath));
  const found = nearestMount(real(folder));
  return found?.isLiteFs === true ? found.path : undefined;
}

/** Whether a database lies on a mounted LiteFS. */
export function isLiteFs(databasePath: string): boolean {
  return liteFsMount(databasePath) !== undefined;
}

interface Mount {
  readonly path: string;
  readonly isLiteFs: boolean;
}

function nearestMount(folder: string): Mount | undefined {
  let nearest: Mount | undefined;
  for (const mount of mounts()) {
    const isAbove =
      folder === mount.path ||
      folder.startsWith(mount.path.endsWith(sep) ? mount.path : mount.path + sep);
    // Of two on the same folder the later one covers the earlier.
    if (isAbove && mount.path.length >= (nearest?.path.length ?? 0)) nearest = mount;
  }
  return nearest;
}

/** proc(5): `… <mount point> <options> … - <type> <source> …`, odd characters as `\` and three octal digits. */
function mounts(): Mount[] {
  return table()
    .split('\n')
    .flatMap((line) => {
      const [left = '', right = ''] = line.split(' - ');
      const path = left.split(' ')[4];
      const [type = '', source = ''] = right.split(' ');
      if (path === undefined) return [];
      return [{ path: unescaped(path), isLiteFs: type.startsWith('fuse') && source === 'litefs' }];
    });
}

function table(): string {
  try {
    return readFileSync(MOUNT_TABLE, 'utf8');
  } catch {
    return '';
  }
}

function unescaped(path: string): string {
  return path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

function real(folder: string): string {
  try {
    return realpathSync(folder);
  } catch {
    // A folder that is not there yet, or a mount that died.
    return folder;
  }
}
