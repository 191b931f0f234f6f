import type { Entry } from './entry.ts';
import { readTags } from './entry-tags.ts';
import type { Purge } from './manifest.ts';

/** What decides whether a purge takes something that is kept, or may come to be. */
export interface Purgeable {
  readonly namespace: string;
  readonly key: string;
  readonly rule: string;
  /** Absent: not known yet, so that it may have any. */
  readonly tags?: ReadonlySet<string> | undefined;
}

/** Whether a purge takes it. */
export function takes(
  purge: Pick<Purge, 'kind' | 'value' | 'namespace'>,
  { namespace, key, rule, tags }: Purgeable,
): boolean {
  if (purge.namespace !== undefined && purge.namespace !== namespace) return false;
  switch (purge.kind) {
    case 'key':
      return key === purge.value;
    case 'prefix':
      return key.startsWith(purge.value);
    case 'rule':
      return rule === purge.value;
    case 'tag':
      return tags?.has(purge.value) ?? true;
    case 'all':
      return true;
  }
}

/** Whether a purge takes an entry. */
export function takesEntry(
  purge: Pick<Purge, 'kind' | 'value' | 'namespace'>,
  { namespace, key, rule, headers }: Pick<Entry, 'namespace' | 'key' | 'rule' | 'headers'>,
): boolean {
  // Only asked for where it counts: others need not look at the fields.
  const tags = purge.kind === 'tag' ? readTags(headers).tags : undefined;
  return takes(purge, { namespace, key, rule, tags });
}
