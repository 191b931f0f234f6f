import type { Rule } from './config/config.ts';
import type { Manifest, RuleTag } from './manifest/manifest.ts';
import type { Pins } from './storage/eviction.ts';

/**
 * Bodies that rows of rules with `pin: true` name, or rows with a tag that their rule pins, as the manifest and the configuration
 * say now: a rule that gets or loses `pin` gives or takes it for all that it kept before.
 */
export function pinnedBodies(
  manifest: Pick<Manifest, 'isReferenced'>,
  config: { readonly rules: readonly Pick<Rule, 'name' | 'pin'>[] },
): Pins {
  return {
    pinnedAmong: async (digests) => {
      const { rules } = config;
      const names = new Set(rules.flatMap(({ name, pin }) => (pin === true ? [name] : [])));
      const tags = rules.flatMap(({ name, pin }) =>
        typeof pin === 'object' ? pin.tags.map((tag): RuleTag => [name, tag]) : [],
      );
      if (names.size === 0 && tags.length === 0) return new Set();
      const asked = digests.map(async (digest) =>
        (await manifest.isReferenced(digest, names, tags).catch(() => true)) ? [digest] : [],
      );
      return new Set((await Promise.all(asked)).flat());
    },
  };
}
