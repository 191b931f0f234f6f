/** As much of JSON Schema (draft 2020-12) as the configuration's own schema uses. */
export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | JsonSchema;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly allOf?: readonly JsonSchema[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly writeOnly?: boolean;
  readonly [keyword: string]: unknown;
}

/** A step into a map (its key) or a list (its index). */
export type PathPart = string | number;

/** A map of keys as YAML gives it, neither list nor null. */
export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value at a path. Absent: there is none. */
export function valueAt(tree: unknown, path: readonly PathPart[]): unknown {
  return path.reduce<unknown>((value, part) => {
    if (Array.isArray(value)) return typeof part === 'number' ? value[part] : undefined;
    return isMapping(value) && Object.hasOwn(value, part) ? value[part] : undefined;
  }, tree);
}

/** The alternatives that a value may still follow: those whose fixed keys (`type`, `protocol`) fit it. */
export function branchesOf(schema: JsonSchema, value: unknown): readonly JsonSchema[] {
  const alternatives = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (alternatives === undefined) return [schema];
  const all = alternatives.flatMap((alternative) => branchesOf(alternative, value));
  const fitting = fittingOf(all, value);
  return schema.writeOnly === true
    ? fitting.map((branch) => ({ ...branch, writeOnly: true }))
    : fitting;
}

/** The schemas that hold for the value at a path. Empty: the schema knows no such key. */
export function schemasAt(
  schema: JsonSchema,
  tree: unknown,
  path: readonly PathPart[],
): readonly JsonSchema[] {
  const [part, ...rest] = path;
  const branches = branchesOf(schema, tree);
  if (part === undefined) return branches;
  return branches.flatMap((branch) => {
    const child = childSchema(branch, part);
    return child === undefined ? [] : schemasAt(child, valueAt(tree, [part]), rest);
  });
}

/** The schema of one key or item. Absent: the key is not known. */
export function childSchema(schema: JsonSchema, part: PathPart): JsonSchema | undefined {
  if (typeof part === 'number') return schema.items;
  const { properties, additionalProperties } = schema;
  if (properties !== undefined && Object.hasOwn(properties, part)) return properties[part];
  return typeof additionalProperties === 'object' ? additionalProperties : undefined;
}

/** Whether the schema takes this type; a schema that names no type takes each. */
export function acceptsType(schema: JsonSchema, type: string): boolean {
  if (schema.const !== undefined) return schemaTypeOf(schema.const) === type;
  if (schema.enum !== undefined) return schema.enum.some((value) => schemaTypeOf(value) === type);
  return schema.type === undefined || [schema.type].flat().includes(type);
}

/** The value with the schema's defaults in the places that were left out. */
export function withDefaults(schema: JsonSchema, value: unknown): unknown {
  const present = value === undefined ? schema.default : value;
  if (present === undefined) return undefined;
  const branches = branchesOf(schema, present);
  if (Array.isArray(present)) {
    const items = branches.find((branch) => branch.items !== undefined)?.items;
    return items === undefined ? present : present.map((item) => withDefaults(items, item));
  }
  if (!isMapping(present)) return present;
  const filled: Record<string, unknown> = {};
  for (const branch of branches) {
    for (const key of new Set([...Object.keys(branch.properties ?? {}), ...Object.keys(present)])) {
      const child = childSchema(branch, key);
      const inside = child === undefined ? undefined : withDefaults(child, present[key]);
      if (inside !== undefined) filled[key] = inside;
    }
  }
  for (const [key, item] of Object.entries(present)) filled[key] ??= item;
  return filled;
}

/** A wrong value under another fixed key must not hide the alternative that `type` names. */
function fittingOf(branches: readonly JsonSchema[], value: unknown): readonly JsonSchema[] {
  if (!isMapping(value)) return branches;
  const fits = (branch: JsonSchema, keys: readonly string[]): boolean =>
    keys.every((key) => {
      const fixed = branch.properties?.[key]?.const;
      return fixed === undefined || !Object.hasOwn(value, key) || value[key] === fixed;
    });
  const whole = branches.filter((branch) => fits(branch, Object.keys(branch.properties ?? {})));
  if (whole.length > 0) return whole;
  const named = branches.filter((branch) => fits(branch, ['type', 'protocol']));
  return named.length > 0 ? named : branches;
}

function schemaTypeOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}
