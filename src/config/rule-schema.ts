import { z } from 'zod';
import type { ComponentType } from '../component.ts';
import { MAX_TAG_LENGTH } from '../manifest/entry-tags.ts';
import { FILL_MODES, NETWORK_MODES } from '../protocol/fill-modes.ts';
import { duration, httpUrl } from '../values.ts';
import type { ComponentTypes, OpenSchema } from './component-schema.ts';
import {
  componentName,
  optionsJsonSchema,
  parseInto,
  typesOf,
  withFixedKeys,
} from './component-schema.ts';
import type { Rule } from './config.ts';
import type { JsonSchema } from './json-schema.ts';
import { branchesOf, isMapping } from './json-schema.ts';
import { hostPattern, pathPattern } from './patterns.ts';

type CommonRule = Omit<Rule, 'protocol' | 'options'>;

const FETCH_ERROR = 'expected the name of a fetcher or a list of names such as [near, site]';

function commonRule(): z.ZodObject {
  return z.strictObject({
    name: componentName(),
    host: hostPattern().optional(),
    path: pathPattern().prefault('/*'),
    strip: z.boolean().default(false),
    fetch: z
      .union([z.string().min(1), z.array(z.string().min(1)).min(1)], { error: FETCH_ERROR })
      .transform((names) => [names].flat()),
    namespace: componentName().optional(),
    stash: z.string().min(1).default('keep'),
    mode: z.enum(FILL_MODES).default('sync'),
    network: z.enum(NETWORK_MODES).default('online'),
    validator: validatorSchema().optional(),
    freshness: z.enum(['strict', 'rfc']).default('strict'),
    fallthrough: z.literal('any').optional(),
    private: z.boolean().default(false),
    pin: pinSchema().default(false),
    preserveHost: z.boolean().default(false),
    honorClientReload: z.boolean().default(true),
    cookies: z.enum(['bypass', 'ignore']).default('bypass'),
    tags: z.enum(['forward', 'strip']).default('forward'),
    ranges: z.enum(['forward', 'whole']).default('forward'),
  });
}

function pinSchema(): z.ZodType<Rule['pin']> {
  const tag = z.string().min(1).max(MAX_TAG_LENGTH);
  return z.union([z.boolean(), z.strictObject({ tags: z.array(tag).min(1) })]);
}

function validatorSchema(): z.ZodType<Rule['validator']> {
  return z
    .strictObject({
      url: httpUrl(),
      timeout: duration().prefault('5s'),
      cache: duration().prefault('5m'),
      onError: z.enum(['deny', 'allow']).default('deny'),
    })
    .transform(({ url, timeout, cache, onError }) => ({
      url,
      timeoutMs: timeout,
      cacheMs: cache,
      onError,
    }));
}

/** Keys that every rule has, whatever its protocol. */
export const COMMON_RULE_KEYS: readonly string[] = Object.keys(commonRule().shape);

/** One rule: keys common to all, and those of the protocol it names. */
export function ruleSchema(types: ComponentTypes): OpenSchema<Rule> {
  const common = commonRule();
  const protocols = typesOf('protocol', types);
  const ownKeysOf = new Map(protocols.map((type) => [type, ownKeys(type)]));
  return z
    .unknown()
    .transform((input, context): Rule => {
      if (!isMapping(input)) {
        context.issues.push({ code: 'invalid_type', expected: 'object', input });
        return z.NEVER;
      }
      const { protocol: name, ...keys } = input;
      const protocol = protocols.find((candidate) => candidate.type === name);
      if (protocol === undefined) {
        const values = protocols.map((candidate) => candidate.type);
        context.issues.push({ code: 'invalid_value', values, input: name, path: ['protocol'] });
      }
      const own = protocol === undefined ? undefined : ownKeysOf.get(protocol);
      const isCommon = (key: string): boolean => Object.hasOwn(common.shape, key);
      const shared = parseInto(common, pick(keys, isCommon), context) as CommonRule;
      if (protocol === undefined) return z.NEVER;
      const rest = pick(keys, (key) => own?.has(key) === true || !isCommon(key));
      const options = parseInto(protocol.options, rest, context);
      return { ...shared, protocol: protocol.type, options };
    })
    .meta({ componentKind: 'protocol' });
}

/** Every form that a rule may take. */
export function ruleJsonSchema(types: ComponentTypes): JsonSchema {
  const common = z.toJSONSchema(commonRule(), { io: 'input' }) as JsonSchema;
  return {
    anyOf: typesOf('protocol', types).map((type) => {
      const keys = { ...common.properties, protocol: { const: type.type } };
      return withFixedKeys(optionsJsonSchema(type), keys, ['protocol', ...(common.required ?? [])]);
    }),
  };
}

function ownKeys(type: ComponentType): Set<string> {
  const branches = branchesOf(optionsJsonSchema(type), undefined);
  return new Set(branches.flatMap((branch) => Object.keys(branch.properties ?? {})));
}

function pick(
  keys: Readonly<Record<string, unknown>>,
  wanted: (key: string) => boolean,
): Record<string, unknown> {
  return Object.fromEntries(Object.entries(keys).filter(([key]) => wanted(key)));
}
