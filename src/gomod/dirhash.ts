import { createHash, hash } from 'node:crypto';

/** As much of a file as tells a page. Bytes. */
const START_LENGTH = 256;

/** One file of a tree: its name as bytes, one character each (latin1), and the SHA-256 of its content in hex. */
export interface FileHash {
  readonly name: string;
  readonly sha256: string;
}

/** What was found in a go.mod that passed; fits the findings of any body. */
export interface GoModFindings {
  /** Why no client would take it, in a short sentence. Absent: nothing says that it would not. */
  readonly problem?: string | undefined;
  readonly h1: string;
}

/** Takes the bytes of one go.mod as they pass. */
export interface GoModInspector {
  /** Takes the next piece, which is free again on return; never holds back. */
  write(piece: Buffer): undefined;
  /** The hash, after the last piece. Never rejects. */
  end(): Promise<GoModFindings>;
  /** Does nothing: there is nothing to let go of. */
  abort(): void;
}

/**
 * The hash that go.sum holds for a tree of files: `h1:` and the base64 of a SHA-256 over one line per file, in the order of
 * the names' bytes. As x/mod dirhash.Hash1. Names with a newline are the caller's to refuse.
 */
export function dirHash(files: readonly FileHash[]): string {
  const lines = createHash('sha256');
  const sorted = [...files].sort((one, other) => compare(one.name, other.name));
  for (const { name, sha256 } of sorted) lines.update(`${sha256}  ${name}\n`, 'latin1');
  return `h1:${lines.digest('base64')}`;
}

/** The `h1:` of a go.mod in hand, as go.sum holds it for `<version>/go.mod`. */
export function goModHash(content: Buffer): string {
  return dirHash([{ name: 'go.mod', sha256: hash('sha256', content, 'hex') }]);
}

/**
 * Looks at a `.mod` while it passes. Its content may be anything, as toolchain modules have no `module` line, but a page: no
 * go.mod begins with `<`, and what asks a person to log in must not be pinned. There is no limit
 * of size: the one of 16 MiB holds for the go.mod within a zip, and the go command reads a `.mod` of any length.
 */
export function inspectGoMod(): GoModInspector {
  const content = createHash('sha256');
  let start = '';
  return {
    write: (piece) => {
      content.update(piece);
      if (start === '') start = piece.toString('latin1', 0, START_LENGTH).trimStart();
      return undefined;
    },
    end: async () => ({
      h1: dirHash([{ name: 'go.mod', sha256: content.digest('hex') }]),
      ...(start.startsWith('<') && { problem: 'it is a page and no go.mod' }),
    }),
    abort: () => {},
  };
}

function compare(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}
