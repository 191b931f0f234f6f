import type { z } from 'zod';
import type { ConfigIssue } from './config-error.ts';
import type { ConfigTree, Origin } from './config-tree.ts';
import { keyOf } from './config-tree.ts';
import type { JsonSchema, PathPart } from './json-schema.ts';
import { schemasAt, valueAt } from './json-schema.ts';
import { isSecretAt, maskText } from './mask-config.ts';
import { didYouMean, listNames } from './suggest.ts';

type ZodIssue = z.core.$ZodIssue;

const MAX_FOUND_LENGTH = 60;

const TYPE_WORDS: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map of keys',
  record: 'a map of names',
};

/** What is wrong with a configuration, told with the place, what was expected and what stands there. */
export class IssueExplainer {
  readonly #tree: ConfigTree;
  readonly #schema: JsonSchema;

  constructor(tree: ConfigTree, schema: JsonSchema) {
    this.#tree = tree;
    this.#schema = schema;
  }

  /** One issue of zod's; several unknown keys in one place are an issue each. */
  explain(issue: ZodIssue): readonly ConfigIssue[] {
    const path = issue.path as PathPart[];
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => this.#unknownKey([...path, key], key));
    }
    if (issue.code === 'invalid_union' && !isOwnMessage(issue.message)) {
      const nested = nearestBranch(issue.errors);
      if (nested !== undefined) {
        return nested.flatMap((inner) =>
          this.explain({ ...inner, path: [...path, ...inner.path] }),
        );
      }
    }
    if (issue.code === 'invalid_key') {
      const expected = issue.issues[0]?.message.replace(/^expected /, '') ?? 'another name';
      return [this.issueAt(path, expected, JSON.stringify(path.at(-1)))];
    }
    if (issue.code === 'custom' && !isOwnMessage(issue.message)) {
      const found = this.describe(path);
      const place = placeOf(this.#tree.originOf(path));
      const said = maskText(issue.message);
      return [
        { ...place, key: keyOf(path), expected: said, found, message: `${said}, found ${found}` },
      ];
    }
    const found = this.describe(path);
    const hint = issue.code === 'invalid_value' ? this.#meant(path, issue.values) : '';
    return [this.issueAt(path, expectedBy(issue), found, hint)];
  }

  /** An issue at a path; `found` absent: the value that stands there, if it may be shown. */
  issueAt(path: readonly PathPart[], expected: string, found?: string, hint = ''): ConfigIssue {
    const shown = found ?? this.describe(path);
    const message = `expected ${expected}, found ${shown}${hint}`;
    const place = placeOf(this.#tree.originOf(path));
    return { ...place, key: keyOf(path), expected, found: shown, message };
  }

  /** The value at a path in few words, never a secret. */
  describe(path: readonly PathPart[]): string {
    const value = valueAt(this.#tree.root, path);
    const { concealed } = this.#tree.originOf(path);
    if (value === undefined || value === null) return 'nothing';
    if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
    if (typeof value === 'object') return 'a map of keys';
    if (value === '') return 'an empty text';
    if (concealed !== undefined) return concealed;
    if (isSecretAt(this.#schema, this.#tree.root, path))
      return `a ${typeof value} that is not shown`;
    const text = typeof value === 'string' ? JSON.stringify(maskText(value)) : String(value);
    return text.length > MAX_FOUND_LENGTH ? `${text.slice(0, MAX_FOUND_LENGTH)}…` : text;
  }

  #unknownKey(path: readonly PathPart[], key: string): ConfigIssue {
    const schemas = schemasAt(this.#schema, this.#tree.root, path.slice(0, -1));
    const known = [...new Set(schemas.flatMap((schema) => Object.keys(schema.properties ?? {})))];
    const several = known.length > 1 ? 'one of the keys' : 'the key';
    const expected = known.length === 0 ? 'no key here' : `${several} ${known.join(', ')}`;
    const found = `the unknown key ${JSON.stringify(key)}`;
    return this.issueAt(path, expected, found, didYouMean(key, known));
  }

  #meant(path: readonly PathPart[], values: readonly unknown[]): string {
    const value = valueAt(this.#tree.root, path);
    return typeof value === 'string' && values.length > 1
      ? didYouMean(value, values.map(String))
      : '';
  }
}

function placeOf(origin: Origin): { file: string; line?: number | undefined } {
  return { file: origin.file, line: origin.line };
}

function isOwnMessage(message: string): boolean {
  return message.startsWith('expected ');
}

function expectedBy(issue: ZodIssue): string {
  if (isOwnMessage(issue.message)) return issue.message.slice('expected '.length);
  switch (issue.code) {
    case 'invalid_type':
      return TYPE_WORDS[issue.expected] ?? issue.expected;
    case 'invalid_value':
      return listNames(issue.values.map(String));
    case 'too_small':
      return atLeast(issue.origin, Number(issue.minimum));
    case 'too_big':
      return issue.origin === 'string'
        ? `a text of at most ${issue.maximum} characters`
        : `at most ${issue.maximum}`;
    default:
      return `another value (${issue.message})`;
  }
}

function atLeast(origin: string, minimum: number): string {
  if (origin === 'string') {
    return minimum === 1 ? 'a text that is not empty' : `a text of at least ${minimum} characters`;
  }
  if (origin === 'array') return minimum === 1 ? 'a list that is not empty' : `${minimum} items`;
  return `at least ${minimum}`;
}

/** The alternative that fits best: the one whose faults lie deepest, then the one with the fewest. */
function nearestBranch(
  branches: readonly (readonly ZodIssue[])[],
): readonly ZodIssue[] | undefined {
  const depth = (issues: readonly ZodIssue[]): number =>
    Math.max(0, ...issues.map((issue) => issue.path.length));
  return branches.toSorted(
    (left, right) => depth(right) - depth(left) || left.length - right.length,
  )[0];
}
