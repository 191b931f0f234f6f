import { expectOk, KeepAliveClient } from './keep-alive-client.ts';

const DIGITS = 8;
const PREFIX = '/o/';

/** Length of each path of `pathOf`. */
export const PATH_BYTES: number = PREFIX.length + DIGITS;

/** Path of an object by its number. */
export function pathOf(number: number): string {
  return PREFIX + String(number).padStart(DIGITS, '0');
}

/** Which objects are asked for, and over how many connections. */
export interface FillOptions {
  readonly url: string;
  readonly from: number;
  readonly count: number;
  readonly connections: number;
  /** Put before the path of each. Absent: nothing. */
  readonly prefix?: string | undefined;
}

/** Asks for each object once and checks that its body is the one of its path. */
export async function fillAll(options: FillOptions): Promise<void> {
  const { url, from, count, connections, prefix = '' } = options;
  let next = from;
  const worker = async (): Promise<void> => {
    const client = await KeepAliveClient.connect(url);
    try {
      while (next < from + count) {
        const path = prefix + pathOf(next++);
        let isOwn = false;
        const answer = await client.get(path, (piece, offset) => {
          if (offset === 0) isOwn = piece.toString('latin1', 0, path.length) === path;
        });
        expectOk(answer, path);
        if (!isOwn) throw new Error(`the body of ${path} is another's`);
      }
    } finally {
      client.close();
    }
  };
  await Promise.all(Array.from({ length: connections }, worker));
}
