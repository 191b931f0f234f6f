import type { PathPart } from './json-schema.ts';
import { isMapping } from './json-schema.ts';

/** Where a value was written. */
export interface Origin {
  /** File as the user named it, or the environment variable that set the value. */
  readonly file: string;
  /** From 1. Absent: not a line of a file. */
  readonly line?: number | undefined;
  /** What to say instead of the value: it came from the environment or a file and may be secret. */
  readonly concealed?: string | undefined;
  /** True: text that stands for a number or `true` where the schema wants one. */
  readonly text?: boolean | undefined;
}

/** The file's keys and values, and where each was written. */
export class ConfigTree {
  readonly root: Record<string, unknown>;
  /** File as the user named it. */
  readonly file: string;
  readonly #origins = new Map<string, Origin>();

  constructor(file: string, root: Record<string, unknown> = {}) {
    this.file = file;
    this.root = root;
  }

  /** Remembers where the value at a path was written. */
  place(path: readonly PathPart[], origin: Origin): void {
    this.#origins.set(JSON.stringify(path), origin);
  }

  /** Where the value was written, or the nearest thing around it; the first line of the file at the worst. */
  originOf(path: readonly PathPart[]): Origin {
    for (let length = path.length; length >= 0; length -= 1) {
      const origin = this.#origins.get(JSON.stringify(path.slice(0, length)));
      if (origin !== undefined)
        return length === path.length ? origin : { ...origin, concealed: undefined };
    }
    return { file: this.file };
  }

  /** Paths of the values that are text from the environment. */
  textPaths(): readonly (readonly PathPart[])[] {
    return [...this.#origins]
      .filter(([, origin]) => origin.text === true)
      .map(([path]) => JSON.parse(path) as PathPart[]);
  }

  /** Puts a value at a path, making the maps on the way. */
  set(path: readonly PathPart[], value: unknown, origin: Origin): void {
    let parent: unknown = this.root;
    path.forEach((part, depth) => {
      if (depth === path.length - 1) {
        assign(parent, part, value);
        return;
      }
      const child = (parent as Record<PathPart, unknown>)[part];
      const wanted = typeof path[depth + 1] === 'number' ? Array.isArray(child) : isMapping(child);
      if (!wanted) assign(parent, part, typeof path[depth + 1] === 'number' ? [] : {});
      parent = (parent as Record<PathPart, unknown>)[part];
    });
    this.place(path, origin);
  }
}

/** `rules[0].fetch`: how messages name a key. */
export function keyOf(path: readonly PathPart[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text === '' ? part : `${text}.${part}`;
  }, '');
}

function assign(parent: unknown, part: PathPart, value: unknown): void {
  (parent as Record<PathPart, unknown>)[part] = value;
}
