/** What was found in a version's `.info` or `.mod`; fits the findings of any body. */
export interface InfoFindings {
  /** Why no client would take it, in a short sentence. Absent: nothing says that it would not. */
  readonly problem?: string | undefined;
}

/** Takes the bytes of one file as they pass. */
export interface InfoInspector {
  /** Takes the next piece, which is free again on return; never holds back. */
  write(piece: Buffer): undefined;
  /** What was found, after the last piece. Never rejects. */
  end(): Promise<InfoFindings>;
  /** Lets go of what was gathered. */
  abort(): void;
}

/** More than this the go command may take, but nobody writes it. Bytes. */
const MAX_INFO = 1024 * 1024;

/** Looks at a version's `.info`: JSON whose `Version` is that version, else the go command refuses it (https://go.dev/ref/mod#goproxy-protocol). */
export function inspectInfo(version: string): InfoInspector {
  let pieces: Buffer[] = [];
  let size = 0;
  return {
    write(piece) {
      size += piece.length;
      if (size <= MAX_INFO) pieces.push(Buffer.from(piece));
      else pieces = [];
      return undefined;
    },
    async end() {
      if (size > MAX_INFO) return { problem: `it has more than ${MAX_INFO} bytes` };
      return { problem: problemOf(Buffer.concat(pieces), version) };
    },
    abort() {
      pieces = [];
    },
  };
}

function problemOf(bytes: Buffer, version: string): string | undefined {
  try {
    const info: unknown = JSON.parse(bytes.toString());
    const named = fieldOf(info, 'version');
    return named === version ? undefined : `it is of version ${JSON.stringify(named)}`;
  } catch {
    return 'it is no JSON';
  }
}

// As encoding/json reads it: names in any case, the last one counts.
function fieldOf(info: unknown, name: string): unknown {
  if (typeof info !== 'object' || info === null) return undefined;
  const found = Object.entries(info).findLast(([key]) => key.toLowerCase() === name);
  return found?.[1];
}
