import type { Document, Node, Pair, Scalar } from 'yaml';
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { ConfigIssue } from './config-error.ts';
import { ConfigTree, keyOf } from './config-tree.ts';
import type { PathPart } from './json-schema.ts';
import { substitute } from './substitute.ts';

type Environment = Readonly<Record<string, string | undefined>>;

// Aliases can stand for each other in a chain that doubles at each step.
const MAX_VALUES = 50_000;
const MAX_DEPTH = 50;

/** The tree of a YAML text with `${NAME}` filled in, and everything that is wrong with its form. */
export function parseYaml(
  text: string,
  file: string,
  env: Environment,
): { readonly tree: ConfigTree; readonly issues: readonly ConfigIssue[] } {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const reader = new Reader(document, lines, file, env);
  for (const { pos, code, message } of [...document.errors, ...document.warnings]) {
    reader.report(pos[0], [], ...explainYaml(code, message));
  }
  const tree = document.errors.length > 0 ? new ConfigTree(file) : reader.read();
  return { tree, issues: reader.issues };
}

class Reader {
  readonly issues: ConfigIssue[] = [];
  readonly #document: Document.Parsed;
  readonly #lines: LineCounter;
  readonly #file: string;
  readonly #env: Environment;
  readonly #tree: ConfigTree;
  #values = 0;

  constructor(document: Document.Parsed, lines: LineCounter, file: string, env: Environment) {
    this.#document = document;
    this.#lines = lines;
    this.#file = file;
    this.#env = env;
    this.#tree = new ConfigTree(file);
  }

  read(): ConfigTree {
    const { contents } = this.#document;
    this.#tree.place([], { file: this.#file, line: 1 });
    if (contents === null || (isScalar(contents) && contents.value === null)) return this.#tree;
    if (isMap(contents)) this.#readPairs(contents.items, [], this.#tree.root);
    else
      this.report(contents.range[0], [], 'keys such as "listen:" and "rules:"', 'something else');
    return this.#tree;
  }

  report(offset: number, path: readonly PathPart[], expected: string, found: string): void {
    this.issues.push({
      file: this.#file,
      line: this.#lineOf(offset),
      key: keyOf(path),
      expected,
      found,
      message: `expected ${expected}, found ${found}`,
    });
  }

  #readPairs(
    pairs: readonly Pair<unknown, unknown>[],
    path: readonly PathPart[],
    into: Record<string, unknown>,
  ): void {
    for (const { key: keyNode, value } of pairs) {
      const key = isScalar(keyNode) ? String(keyNode.value) : undefined;
      const offset = (keyNode as Node).range?.[0] ?? 0;
      if (key === undefined || key === '__proto__') {
        this.report(offset, path, 'a key that is plain text', key ?? 'a list or map as key');
        continue;
      }
      const inside = [...path, key];
      this.#tree.place(inside, { file: this.#file, line: this.#lineOf(offset) });
      into[key] = this.#value(value as Node | null, inside, offset);
    }
  }

  #value(node: Node | null, path: readonly PathPart[], offset: number): unknown {
    this.#values += 1;
    if (this.#values > MAX_VALUES || path.length > MAX_DEPTH) {
      if (this.#values <= MAX_VALUES + 1) {
        this.report(offset, path, `at most ${MAX_VALUES} values, ${MAX_DEPTH} deep`, 'more');
      }
      this.#values = MAX_VALUES + 2;
      return undefined;
    }
    if (node === null) return null;
    if (isAlias(node))
      return this.#aliased(node.resolve(this.#document), node.source, path, offset);
    if (isMap(node)) {
      const map: Record<string, unknown> = {};
      this.#readPairs(node.items, path, map);
      return map;
    }
    if (isSeq(node)) {
      return node.items.map((item, index) => {
        const start = (item as Node | null)?.range?.[0] ?? offset;
        this.#tree.place([...path, index], { file: this.#file, line: this.#lineOf(start) });
        return this.#value(item as Node | null, [...path, index], start);
      });
    }
    return this.#scalar(node as Scalar, path, offset);
  }

  #aliased(
    target: Node | undefined,
    name: string,
    path: readonly PathPart[],
    offset: number,
  ): unknown {
    if (target !== undefined) return this.#value(target, path, offset);
    this.report(offset, path, `an anchor &${name} above`, `only the alias *${name}`);
    return undefined;
  }

  #scalar(node: Scalar, path: readonly PathPart[], offset: number): unknown {
    if (typeof node.value !== 'string') return node.value;
    const { text, names, problems } = substitute(node.value, this.#env);
    for (const problem of problems) {
      this.report(node.range?.[0] ?? offset, path, problem.expected, problem.found);
    }
    if (names.length > 0) {
      this.#tree.place(path, {
        file: this.#file,
        line: this.#lineOf(offset),
        concealed: `the value of ${names.map((name) => `\${${name}}`).join(' and ')}`,
        text: true,
      });
    }
    return text;
  }

  #lineOf(offset: number): number {
    return this.#lines.linePos(offset).line;
  }
}

function explainYaml(code: string, message: string): [expected: string, found: string] {
  switch (code) {
    case 'TAB_AS_INDENT':
      return ['spaces as indentation', 'a tab'];
    case 'DUPLICATE_KEY':
      return ['each key once', 'the same key again'];
    case 'MULTIPLE_DOCS':
      return ['one YAML document', 'a second one after "---"'];
    case 'TAG_RESOLVE_FAILED':
      return ['no YAML tag of one’s own', `a tag (${message})`];
    default:
      return ['YAML', `a fault in its form (${message.replaceAll('\n', ' ')})`];
  }
}
