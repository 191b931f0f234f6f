import { messageOf } from '../errors.ts';
import { openNote, type VerifierKey } from './signed-note.ts';
import { HASH_SIZE, parseRecord, parseTree } from './tlog.ts';

/** Bytes of the answers that are gathered; real ones are far smaller. */
const MAX_ANSWER = 1024 * 1024;

/** What was found in an answer of a checksum database; fits the findings of any body. */
export interface SumdbFindings {
  /** Why no client would take it, in a short sentence. Absent: nothing says that it would not. */
  readonly problem?: string | undefined;
}

/** Takes the bytes of one answer as they pass. */
export interface SumdbAnswerInspector {
  /** Takes the next piece, which is free again on return; never holds back. */
  write(piece: Buffer): undefined;
  /** What was found, after the last piece. Never rejects. */
  end(): Promise<SumdbFindings>;
  /** Lets go of what was gathered. */
  abort(): void;
}

/** Looks at the answer to a lookup: a record, and a tree signed by the database. `key` absent: its form alone. */
export function inspectLookup(key: VerifierKey | undefined): SumdbAnswerInspector {
  return gather((answer) => {
    const record = parseRecord(answer);
    if (record === undefined) return 'it is no record of a checksum database';
    if (key === undefined) return undefined;
    const tree = parseTree(openNote(record.rest, key));
    return tree === undefined || record.id >= tree.size
      ? 'its tree does not hold the record'
      : undefined;
  });
}

/** Looks at a tile of hashes, `tile/H/L/K[.p/W]`: it has 32 bytes for each of its width. A tile of data passes. */
export function inspectTile(rest: string): SumdbAnswerInspector {
  const [, height = '', level, width] =
    /^tile\/(\d+)\/(\d+|data)\/.*?(?:\.p\/(\d+))?$/.exec(rest) ?? [];
  const expected = HASH_SIZE * (width === undefined ? 2 ** Number(height) : Number(width));
  return gather((tile) =>
    level === 'data' || tile.length === expected
      ? undefined
      : `it has ${tile.length} bytes and not ${expected}`,
  );
}

function gather(judge: (answer: Buffer) => string | undefined): SumdbAnswerInspector {
  let pieces: Buffer[] = [];
  let size = 0;
  return {
    write(piece) {
      size += piece.length;
      if (size <= MAX_ANSWER) pieces.push(Buffer.from(piece));
      else pieces = [];
      return undefined;
    },
    async end() {
      if (size > MAX_ANSWER) return {};
      try {
        return { problem: judge(Buffer.concat(pieces)) };
      } catch (error) {
        return { problem: messageOf(error) };
      }
    },
    abort() {
      pieces = [];
    },
  };
}
