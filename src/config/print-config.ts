import { stringify } from 'yaml';
import { formatDuration, formatSize } from '../values.ts';
import type { ComponentTypes } from './component-schema.ts';
import { configJsonSchema } from './config-schema.ts';
import type { JsonSchema } from './json-schema.ts';
import { branchesOf, isMapping } from './json-schema.ts';
import type { LoadedConfig } from './load-config.ts';
import { maskConfig } from './mask-config.ts';
import { COMMON_RULE_KEYS } from './rule-schema.ts';

/** One key that the configuration knows. */
export interface ConfigKey {
  /** `storage.NAME(disk).maxBytes`, `rules[].host`: NAME for any name, the component's type in parentheses. */
  readonly key: string;
  /** As it would be written. Absent: no default. */
  readonly defaultValue?: unknown;
  readonly required: boolean;
}

/** Every key with its value or default as YAML, secrets masked. Without secrets it can be loaded again. */
export function printConfig({ effective, schema }: LoadedConfig): string {
  return stringify(maskConfig(schema, effective), { lineWidth: 0 });
}

/** A table of every default with its key, one line each. */
export function printDefaults(types: ComponentTypes): string {
  const rows = configKeys(types).filter((row) => row.defaultValue !== undefined);
  const width = Math.max(0, ...rows.map((row) => row.key.length));
  return rows.map((row) => `${row.key.padEnd(width)}  ${textOf(row.defaultValue)}\n`).join('');
}

/** Every key that holds a value, in order of the schema. */
export function configKeys(types: ComponentTypes): readonly ConfigKey[] {
  const keys = new Map<string, ConfigKey>();
  collect(configJsonSchema(types), '', false, keys);
  return [...keys.values()];
}

function collect(
  schema: JsonSchema,
  key: string,
  required: boolean,
  into: Map<string, ConfigKey>,
): void {
  if (schema.writeOnly === true) {
    into.set(key, { key, required });
    return;
  }
  for (const branch of branchesOf(schema, undefined)) {
    const kind = branch.properties?.['type']?.const ?? branch.properties?.['protocol']?.const;
    const here = typeof kind === 'string' && key !== '' ? `${key}(${kind})` : key;
    for (const [name, property] of Object.entries(branch.properties ?? {})) {
      if (property.const !== undefined && (name === 'type' || name === 'protocol')) {
        into.set(`${key}.${name}`, { key: `${key}.${name}`, required: true });
        continue;
      }
      const shared = key === 'rules[]' && COMMON_RULE_KEYS.includes(name);
      const inside = here === '' ? name : `${shared ? key : here}.${name}`;
      collect(property, inside, branch.required?.includes(name) ?? false, into);
    }
    if (typeof branch.additionalProperties === 'object') {
      collect(branch.additionalProperties, `${here}.NAME`, false, into);
    } else if (branch.items !== undefined && branch.items.type !== 'string') {
      collect(branch.items, `${here}[]`, false, into);
    } else if (branch.properties === undefined && !into.has(key)) {
      into.set(key, { key, defaultValue: inUnits(schema), required });
    }
  }
}

/** A default given in bytes or milliseconds as a person would write it. */
function inUnits({ default: value, examples }: JsonSchema): unknown {
  const unitOf = Array.isArray(examples) ? examples[0] : undefined;
  if (typeof value !== 'number') return value;
  if (unitOf === '20GiB') return formatSize(value);
  return unitOf === '30s' ? formatDuration(value) : value;
}

/** A default as the table and the documentation show it. */
export function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(', ');
  return isMapping(value) || value === '' ? JSON.stringify(value) : String(value);
}
