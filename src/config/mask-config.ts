import type { JsonSchema, PathPart } from './json-schema.ts';
import { branchesOf, childSchema, isMapping, schemasAt } from './json-schema.ts';

/** What is printed in place of a secret. */
export const MASK = '***';

// Options of plug-ins may hold secrets that their schema does not mark.
const SENSITIVE_KEY =
  /(secret|secretAccessKey|accessKeyId|password|passphrase|token|credentials?|bearer|authorization|cookie|apiKey|privateKey)$/i;
const URL_USER = /([a-z][a-z0-9+.-]*:\/\/)[^/?#\s]*@/gi;
const URL_QUERY = /([a-z][a-z0-9+.-]*:\/\/[^\s?|,]*\?)[^\s#|,]*/gi;

/** The tree with every secret replaced: what the schema marks `writeOnly`, telling keys, users and queries in URLs. */
export function maskConfig(schema: JsonSchema, tree: unknown): unknown {
  return mask([schema], tree, false);
}

/** Whether the value at a path must not be shown. */
export function isSecretAt(schema: JsonSchema, tree: unknown, path: readonly PathPart[]): boolean {
  return path.some((part, index) => {
    const schemas = schemasAt(schema, tree, path.slice(0, index + 1));
    return schemas.some(isMarked) || (index === path.length - 1 && isSensitive(part));
  });
}

/** A text with users, passwords and queries of the URLs in it replaced. */
export function maskText(text: string): string {
  return text.replaceAll(URL_USER, `$1${MASK}@`).replaceAll(URL_QUERY, `$1${MASK}`);
}

function mask(schemas: readonly JsonSchema[], value: unknown, secret: boolean): unknown {
  const branches = schemas.flatMap((schema) => branchesOf(schema, value));
  const hidden = secret || branches.some(isMarked) || schemas.some(isMarked);
  const inside = (part: PathPart): JsonSchema[] =>
    branches.map((branch) => childSchema(branch, part)).filter((child) => child !== undefined);
  if (Array.isArray(value)) return value.map((item, index) => mask(inside(index), item, hidden));
  if (isMapping(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => {
        // The path of a secret's file is no secret, and says which one is meant.
        const isPath = key === 'file' && typeof item === 'string';
        const text = typeof item === 'string' || typeof item === 'number';
        return [key, mask(inside(key), item, !isPath && (hidden || (text && isSensitive(key))))];
      }),
    );
  }
  if (value === undefined || value === null) return value;
  if (hidden && !branches.every((branch) => branch.type === 'boolean')) return MASK;
  return typeof value === 'string' ? maskText(value) : value;
}

function isMarked(schema: JsonSchema): boolean {
  return schema.writeOnly === true;
}

function isSensitive(part: PathPart): boolean {
  return typeof part === 'string' && SENSITIVE_KEY.test(part);
}
