/** One field line: its name as it was written, and its value. */
export type HeaderLine = readonly [name: string, value: string];

/**
 * Field lines of a message in their order, with case and repeats kept; names are compared without case.
 * Immutable: every change gives a new list. RFC 9110 §5.
 */
export class HeaderList {
  /** No field at all. */
  static readonly empty: HeaderList = new HeaderList([]);

  readonly lines: readonly HeaderLine[];

  constructor(lines: readonly HeaderLine[]) {
    this.lines = lines;
  }

  /** From name, value, name, value …, as `rawHeaders` of node:http and undici give them. Buffers are read as latin1. */
  static fromRaw(raw: readonly (string | Uint8Array)[]): HeaderList {
    const lines: HeaderLine[] = [];
    for (let i = 0; i + 1 < raw.length; i += 2) lines.push([text(raw[i]), text(raw[i + 1])]);
    return new HeaderList(lines);
  }

  /** All values of a field joined with `, ` (RFC 9110 §5.3). Absent: no such line. Not for Set-Cookie. */
  get(name: string): string | undefined {
    const wanted = name.toLowerCase();
    let joined: string | undefined;
    for (const [own, value] of this.lines) {
      if (own.length === wanted.length && own.toLowerCase() === wanted)
        joined = joined === undefined ? value : `${joined}, ${value}`;
    }
    return joined;
  }

  /** The values of each line of a field, in order; empty where there is none. */
  getAll(name: string): readonly string[] {
    const wanted = name.toLowerCase();
    return this.lines.filter(([own]) => own.toLowerCase() === wanted).map(([, value]) => value);
  }

  has(name: string): boolean {
    const wanted = name.toLowerCase();
    return this.lines.some(([own]) => own.length === wanted.length && own.toLowerCase() === wanted);
  }

  /** With this field as the only one of its name, in the place of the first, else at the end. */
  with(name: string, value: string): HeaderList {
    const wanted = name.toLowerCase();
    const lines: HeaderLine[] = [];
    let placed = false;
    for (const line of this.lines) {
      if (line[0].toLowerCase() !== wanted) lines.push(line);
      else if (!placed) {
        lines.push([name, value]);
        placed = true;
      }
    }
    if (!placed) lines.push([name, value]);
    return new HeaderList(lines);
  }

  /** With one more line at the end; lines of the same name stay. */
  append(name: string, value: string): HeaderList {
    return new HeaderList([...this.lines, [name, value]]);
  }

  /** With the lines of another list behind its own. */
  concat(other: HeaderList): HeaderList {
    return other.lines.length === 0 ? this : new HeaderList([...this.lines, ...other.lines]);
  }

  /** Without the fields named (any case). */
  without(...names: readonly string[]): HeaderList {
    const unwanted = new Set(names.map((name) => name.toLowerCase()));
    return new HeaderList(this.lines.filter(([own]) => !unwanted.has(own.toLowerCase())));
  }

  /** Only the fields named (any case), in this list's order. */
  only(names: Iterable<string>): HeaderList {
    const wanted = new Set([...names].map((name) => name.toLowerCase()));
    return new HeaderList(this.lines.filter(([own]) => wanted.has(own.toLowerCase())));
  }

  /** Flat name, value, name, value …: what node:http, undici and the manifest take. */
  toRaw(): string[] {
    return this.lines.flat();
  }

  /** Lower-case names to values, repeats joined, Set-Cookie kept apart: what http-cache-semantics takes. */
  toRecord(): Record<string, string | string[]> {
    const record: Record<string, string | string[]> = {};
    for (const [own, value] of this.lines) {
      const name = own.toLowerCase();
      const before = record[name];
      if (name === 'set-cookie')
        record[name] = Array.isArray(before) ? [...before, value] : [value];
      else record[name] = before === undefined ? value : `${before as string}, ${value}`;
    }
    return record;
  }
}

function text(part: string | Uint8Array | undefined): string {
  if (typeof part === 'string') return part;
  return part === undefined ? '' : Buffer.from(part).toString('latin1');
}
