import type { Rule } from './config/config.ts';
import type { Manifest } from './manifest/manifest.ts';
import type { Pins } from './storage/eviction.ts';

/**
 * Bodies that rows of rules with `pin: true` name, as the manifest and the configuration say now: a rule that gets or loses `pin`
 * gives or takes it for all that it kept before.
 */
export function pinnedBodies(
  manifest: Pick<Manifest, 'isReferenced'>,
  config: { readonly rules: readonly Pick<Rule, 'name' | 'pin'>[] },
): Pins {
  return {
    pinnedAmong: async (digests) => {
      const names = new Set(config.rules.flatMap(({ name, pin }) => (pin ? [name] : [])));
      if (names.size === 0) return new Set();
      const asked = digests.map(async (digest) =>
        (await manifest.isReferenced(digest, names).catch(() => true)) ? [digest] : [],
      );
      return new Set((await Promise.all(asked)).flat());
    },
  };
}
