import { readFileSync } from 'node:fs';
import { codeOf } from '../errors.ts';
import type { ConfigIssue } from './config-error.ts';
import type { ConfigTree } from './config-tree.ts';
import { keyOf } from './config-tree.ts';
import type { JsonSchema, PathPart } from './json-schema.ts';
import {
  acceptsType,
  branchesOf,
  childSchema,
  isMapping,
  schemasAt,
  valueAt,
} from './json-schema.ts';
import { closest } from './suggest.ts';

const PREFIX = 'CAJE_';
const FILE_SUFFIX = '_FILE';
const SEPARATOR = '__';
const SCALARS = ['string', 'number', 'integer', 'boolean'];

/** Variables that begin like an override but are none; tests and benches bring their own. */
const NO_OVERRIDE = /^CAJE_(CONFIG$|TEST_|BENCH_|SOAK_)/;

/**
 * Writes the values of `CAJE_…` variables over those of the file and gives what is wrong with them.
 * `schema` is the JSON Schema of the configuration with the defaults of the tree filled in.
 */
export function applyOverrides(
  tree: ConfigTree,
  schema: JsonSchema,
  env: Readonly<Record<string, string | undefined>>,
): readonly ConfigIssue[] {
  const issues: ConfigIssue[] = [];
  const variables = Object.keys(env)
    .filter((name) => name.startsWith(PREFIX) && !NO_OVERRIDE.test(name))
    .filter((name) => env[name] !== undefined)
    .sort(typesFirst);
  for (const variable of variables) {
    const value = env[variable] ?? '';
    const direct = pathOf(variable, schema, tree.root);
    const viaFile =
      direct === undefined && variable.endsWith(FILE_SUFFIX)
        ? pathOf(variable.slice(0, -FILE_SUFFIX.length), schema, tree.root)
        : undefined;
    const path = direct ?? viaFile;
    if (path === undefined) issues.push(unknownVariable(variable, schema, tree.root));
    else if (direct !== undefined) tree.set(path, value, { file: variable, text: true });
    else issues.push(...setFromFile(tree, path, variable, value));
  }
  return issues;
}

/** Turns text from the environment into numbers and booleans where the schema takes no text. */
export function coerceTexts(tree: ConfigTree, schema: JsonSchema): void {
  for (const path of tree.textPaths()) {
    const text = valueAt(tree.root, path);
    const schemas = schemasAt(schema, tree.root, path);
    if (typeof text !== 'string' || schemas.length === 0) continue;
    const value = coerce(text, schemas);
    if (value !== text) tree.set(path, value, tree.originOf(path));
  }
}

/** The variable that overrides the value at a path. */
export function variableOf(path: readonly PathPart[]): string {
  return PREFIX + path.map(envName).join(SEPARATOR);
}

function coerce(text: string, schemas: readonly JsonSchema[]): unknown {
  if (schemas.some((schema) => acceptsType(schema, 'string'))) return text;
  const isNumeric = schemas.some((s) => acceptsType(s, 'number') || acceptsType(s, 'integer'));
  if (isNumeric && /^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  const isBoolean = schemas.some((schema) => acceptsType(schema, 'boolean'));
  return isBoolean && /^(true|false)$/.test(text) ? text === 'true' : text;
}

function pathOf(variable: string, schema: JsonSchema, tree: unknown): PathPart[] | undefined {
  return resolve(schema, tree, variable.slice(PREFIX.length).split(SEPARATOR), []);
}

function resolve(
  schema: JsonSchema,
  value: unknown,
  segments: readonly string[],
  path: PathPart[],
): PathPart[] | undefined {
  const [segment, ...rest] = segments;
  const branches = branchesOf(schema, value);
  if (segment === undefined) return branches.some(isScalarSchema) ? path : undefined;
  for (const branch of branches) {
    for (const part of partsOf(branch, value)) {
      const child = envName(part) === segment ? childSchema(branch, part) : undefined;
      const found =
        child === undefined
          ? undefined
          : resolve(child, valueAt(value, [part]), rest, [...path, part]);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

/** Keys and indexes that may follow; a list may grow by one. */
function partsOf(schema: JsonSchema, value: unknown): PathPart[] {
  if (schema.items !== undefined) {
    const length = Array.isArray(value) ? value.length : 0;
    return Array.from({ length: length + 1 }, (_, index) => index);
  }
  const named = typeof schema.additionalProperties === 'object' && isMapping(value);
  return [...Object.keys(schema.properties ?? {}), ...(named ? Object.keys(value) : [])];
}

function setFromFile(
  tree: ConfigTree,
  path: readonly PathPart[],
  variable: string,
  file: string,
): readonly ConfigIssue[] {
  try {
    const text = readFileSync(file, 'utf8').replace(/\r?\n$/, '');
    tree.set(path, text, { file: variable, text: true, concealed: `the content of ${file}` });
    return [];
  } catch (error) {
    const expected = 'the path of a file that can be read';
    const found = `${JSON.stringify(file)} (${codeOf(error) ?? 'unknown error'})`;
    const message = `expected ${expected}, found ${found}`;
    return [{ file: variable, key: keyOf(path), expected, found, message }];
  }
}

function unknownVariable(variable: string, schema: JsonSchema, tree: unknown): ConfigIssue {
  const suggestion = closest(variable, overridesOf(schema, tree, []));
  const hint = suggestion === undefined ? '' : `; did you mean ${suggestion}?`;
  const expected = 'a key in upper case, its parts joined by __, such as CAJE_LISTEN__PUBLIC';
  const found = 'a variable that names no key';
  const message = `expected ${expected}, found ${found}${hint}`;
  return { file: variable, key: '', expected, found, message };
}

/** Every variable that would be understood for this tree. */
function overridesOf(schema: JsonSchema, value: unknown, path: PathPart[]): string[] {
  const branches = branchesOf(schema, value);
  const own = path.length > 0 && branches.some(isScalarSchema) ? [variableOf(path)] : [];
  const below = branches.flatMap((branch) =>
    partsOf(branch, value).flatMap((part) => {
      const child = childSchema(branch, part);
      const known = child !== undefined && path.length < 8;
      return known ? overridesOf(child, valueAt(value, [part]), [...path, part]) : [];
    }),
  );
  return [...own, ...below];
}

function isScalarSchema(schema: JsonSchema): boolean {
  return SCALARS.some((type) => acceptsType(schema, type));
}

function envName(part: PathPart): string {
  return String(part)
    .replaceAll('-', '_')
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toUpperCase();
}

/** `type` and `protocol` decide which other keys there are. */
function typesFirst(left: string, right: string): number {
  const rank = (name: string): number => (/__(TYPE|PROTOCOL)(_FILE)?$/.test(name) ? 0 : 1);
  return rank(left) - rank(right) || left.localeCompare(right);
}
