import { z } from 'zod';
import type { ComponentKind, ComponentType } from '../component.ts';
import type { ValueSchema } from '../values.ts';
import type { ComponentConfig, Components } from './config.ts';
import type { JsonSchema } from './json-schema.ts';
import { isMapping } from './json-schema.ts';
import { NAME_PATTERN } from './patterns.ts';

/** Component types, built in and from plug-ins. */
export type ComponentTypes = readonly ComponentType[];

const NAME_ERROR = 'expected a name of letters, digits, - and _ that begins with a letter';

/** A name of a component, a rule or a token. */
export function componentName(): z.ZodString {
  return z.string({ error: NAME_ERROR }).regex(NAME_PATTERN, { error: NAME_ERROR });
}

/** A section of named components, each told apart by `type:`. */
export function componentSection(
  kind: ComponentKind,
  types: ComponentTypes,
): z.ZodType<Components, Record<string, unknown> | undefined> {
  const known = typesOf(kind, types);
  const component = z
    .unknown()
    .transform((input, context): Omit<ComponentConfig, 'name'> => {
      if (!isMapping(input)) {
        context.issues.push({ code: 'invalid_type', expected: 'object', input });
        return z.NEVER;
      }
      const { type: typeName, ...rest } = input;
      const type = known.find((candidate) => candidate.type === typeName);
      if (type === undefined) {
        const values = known.map((candidate) => candidate.type);
        context.issues.push({ code: 'invalid_value', values, input: typeName, path: ['type'] });
        return z.NEVER;
      }
      const options = parseInto(type.options, rest, context);
      return { type: type.type, options };
    })
    .meta({ componentKind: kind });
  return z
    .record(componentName(), component)
    .transform(
      (entries): Components =>
        new Map(Object.entries(entries).map(([name, entry]) => [name, { name, ...entry }])),
    )
    .prefault({});
}

/** Parses with a component's own schema and reports its issues where they belong. */
export function parseInto(
  schema: z.ZodType,
  input: unknown,
  context: z.core.$RefinementCtx,
): unknown {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  for (const issue of result.error.issues) {
    context.issues.push({ ...issue, input } as z.core.$ZodRawIssue);
  }
  return z.NEVER;
}

/** The types of one kind. */
export function typesOf(kind: ComponentKind, types: ComponentTypes): ComponentTypes {
  return types.filter((type) => type.kind === kind);
}

/** A type's options as JSON Schema; what JSON Schema cannot say is left open. */
export function optionsJsonSchema(type: ComponentType): JsonSchema {
  const { $schema: _, ...schema } = z.toJSONSchema(type.options, {
    io: 'input',
    unrepresentable: 'any',
  }) as JsonSchema;
  return schema;
}

/** The options with one more key, which tells them apart from those of other types. */
export function withFixedKeys(
  schema: JsonSchema,
  keys: Readonly<Record<string, JsonSchema>>,
  required: readonly string[],
): JsonSchema {
  const alternatives = schema.anyOf ?? schema.oneOf;
  if (alternatives !== undefined && schema.properties === undefined) {
    return { anyOf: alternatives.map((alternative) => withFixedKeys(alternative, keys, required)) };
  }
  return {
    ...schema,
    type: 'object',
    properties: { ...keys, ...schema.properties, ...fixedOf(keys) },
    required: [...new Set([...required, ...(schema.required ?? [])])],
  };
}

/** Every form that a component of a kind may take. */
export function componentJsonSchema(kind: ComponentKind, types: ComponentTypes): JsonSchema {
  return {
    anyOf: typesOf(kind, types).map((type) =>
      withFixedKeys(optionsJsonSchema(type), { type: { const: type.type } }, ['type']),
    ),
  };
}

function fixedOf(keys: Readonly<Record<string, JsonSchema>>): Record<string, JsonSchema> {
  return Object.fromEntries(
    Object.entries(keys).filter(([, schema]) => schema.const !== undefined),
  );
}

/** A schema whose input is anything: what is wrong is said by the code behind it. */
export type OpenSchema<Output> = ValueSchema<Output, unknown>;
