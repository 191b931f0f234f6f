/** What Athens does with a module that it does not hold. */
export type AthensMode = (typeof ATHENS_MODES)[number];

/** Every one of them. */
export const ATHENS_MODES = ['sync', 'async', 'redirect', 'async_redirect', 'none'] as const;

/** A mode and, for those that redirect, where to. */
export interface AthensDownload {
  readonly mode: AthensMode;
  /** Absent: the one of the file, or of Athens. */
  readonly url?: string | undefined;
}

/** A download mode file: the first block whose pattern fits a module counts, else the top. */
export interface AthensDownloadFile extends AthensDownload {
  readonly blocks: readonly (AthensDownload & {
    /** A glob as in GOPRIVATE. */
    readonly pattern: string;
  })[];
}

/** What is wrong with a file that Athens reads beside its settings. */
export class AthensFileError extends Error {
  override readonly name = 'AthensFileError';
  /** From 1. */
  readonly line: number;
  readonly expected: string;
  readonly found: string;

  constructor(line: number, expected: string, found: string) {
    super(`line ${line}: expected ${expected}, found ${found}`);
    this.line = line;
    this.expected = expected;
    this.found = found;
  }
}

interface Token {
  readonly kind: 'word' | 'text' | 'sign' | 'end';
  readonly value: string;
  readonly line: number;
}

type Attributes = ReadonlyMap<string, Token>;

const TOKEN =
  /(?<space>[ \t\r\n]+|#[^\n]*|\/\/[^\n]*|\/\*[\s\S]*?\*\/)|(?<text>"(?:[^"\\\n]|\\.)*")|(?<word>[A-Za-z_][\w-]*)|(?<sign>[={}])/y;

/**
 * Reads a download mode file: HCL with `mode`, `downloadURL` and `download "pattern" { … }` blocks, and nothing else of the
 * language. Throws `AthensFileError`.
 */
export function parseDownloadFile(text: string): AthensDownloadFile {
  const reader = new Reader(tokensOf(text));
  const blocks: (AthensDownload & { readonly pattern: string })[] = [];
  const top = reader.attributes('end', (name) => {
    if (name.value !== 'download') return false;
    const label = reader.next();
    if (label.kind !== 'text' && label.kind !== 'word')
      fail(label, 'a pattern such as "example.com/*"');
    reader.sign('{');
    blocks.push({ pattern: label.value, ...downloadOf(reader.attributes('}'), label) });
    return true;
  });
  return { ...downloadOf(top, { kind: 'end', value: '', line: 1 }), blocks };
}

function downloadOf(attributes: Attributes, start: Token): AthensDownload {
  const token = attributes.get('mode') ?? start;
  const mode = ATHENS_MODES.find((known) => known === attributes.get('mode')?.value);
  if (mode === undefined) fail(token, `mode to be one of ${ATHENS_MODES.join(', ')}`);
  const url = attributes.get('downloadURL')?.value;
  return { mode, url: url === '' ? undefined : url };
}

class Reader {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  next(): Token {
    const token = this.#tokens[this.#at];
    if (token === undefined) throw new Error('read past the end');
    if (token.kind !== 'end') this.#at += 1;
    return token;
  }

  sign(value: string): void {
    const token = this.next();
    if (token.kind !== 'sign' || token.value !== value) fail(token, `"${value}"`);
  }

  /** Attributes up to a closing brace or the end. `block` takes what follows a name that begins a block. */
  attributes(until: '}' | 'end', block: (name: Token) => boolean = () => false): Attributes {
    const attributes = new Map<string, Token>();
    for (;;) {
      const name = this.next();
      if (name.kind === 'end' ? until === 'end' : name.value === until && name.kind === 'sign')
        return attributes;
      if (name.kind === 'word' && block(name)) continue;
      const known = name.value === 'mode' || name.value === 'downloadURL';
      if (name.kind !== 'word' || !known || attributes.has(name.value))
        fail(
          name,
          `mode, downloadURL${until === '}' ? ' or }' : ' or download "…" { … }'}, each once`,
        );
      this.sign('=');
      const value = this.next();
      if (value.kind !== 'text') fail(value, 'a text in quotes');
      attributes.set(name.value, value);
    }
  }
}

function tokensOf(text: string): readonly Token[] {
  const tokens: Token[] = [];
  let line = 1;
  TOKEN.lastIndex = 0;
  for (let at = 0; at < text.length; at = TOKEN.lastIndex) {
    const match = TOKEN.exec(text);
    if (match === null)
      fail({ kind: 'sign', value: text.charAt(at), line }, 'HCL with mode, downloadURL and blocks');
    const { text: quoted, word, sign } = match.groups ?? {};
    if (quoted !== undefined) tokens.push({ kind: 'text', value: unquote(quoted, line), line });
    else if (word !== undefined) tokens.push({ kind: 'word', value: word, line });
    else if (sign !== undefined) tokens.push({ kind: 'sign', value: sign, line });
    line += match[0].split('\n').length - 1;
  }
  return [...tokens, { kind: 'end', value: '', line }];
}

function unquote(quoted: string, line: number): string {
  const token: Token = { kind: 'text', value: quoted, line };
  if (/(^|[^$%])[$%]\{/.test(quoted)) fail(token, 'a text without ${…}');
  try {
    // Escapes of HCL that stand in addresses and patterns are those of JSON.
    return JSON.parse(quoted) as string;
  } catch {
    return fail(token, 'a text in quotes');
  }
}

function fail(token: Token, expected: string): never {
  const found = token.kind === 'end' ? 'the end' : JSON.stringify(token.value);
  throw new AthensFileError(token.line, expected, found);
}
