import fc from 'fast-check';
import { idOf } from '../../src/protocol/flight-id.ts';
import { httpKey } from '../../src/protocol/http-key.ts';

const text = fc.string({
  unit: fc.constantFrom('a', 'b', '/', '?', ':', '%', '.', '|', '@', '&', '=', '-'),
});
const host = fc.constantFrom('a', 'a.b', 'a:1', 'b', '[::1]', '[::1]:1', 'a-b', '1');
const HOST = /^[a-z0-9][a-z0-9.-]*(?::\d+)?$/;
const address = fc.record({ scheme: fc.constantFrom('http', 'https'), host, path: text });
// Names of namespaces and rules come from the configuration, which lets nothing but these in.
const name = fc.string({ unit: fc.constantFrom('a', 'b', '-', '_') });
const subject = fc.record({ namespace: name, rule: name, edition: name, key: text });

/**
 * Makes keys of pairs of addresses, and names of fetches of pairs of what they are for: two are the same only if every part is.
 * Gives the smallest pair for which that is wrong. Absent: there is none.
 */
export function collidingParts(runs: number, seed: number): string | undefined {
  const keyOf = (one: { scheme: string; host: string; path: string }): string =>
    httpKey(`${one.scheme}://${one.host}/${one.path}`);
  const holds = (same: boolean, one: object, other: object): boolean =>
    same === (JSON.stringify(Object.values(one)) === JSON.stringify(Object.values(other)));
  const properties = [
    fc.property(address, (one) => {
      // The same letters, parted one letter further on.
      const { scheme, host: name, path } = one;
      const moved = [`${name}${path.charAt(0)}`, path.slice(1)] as const;
      const other = { scheme, host: moved[0], path: moved[1] };
      return path === '' || !HOST.test(moved[0]) || keyOf(one) !== keyOf(other);
    }),
    fc.property(subject, fc.nat({ max: 2 }), (one, at) => {
      const parts = Object.values(one);
      const [left = '', right = ''] = parts.slice(at, at + 2);
      if (right === '' || /[^a-z_-]/.test(right.charAt(0))) return true;
      parts.splice(at, 2, left + right.charAt(0), right.slice(1));
      const [namespace = '', rule = '', edition = '', key = ''] = parts;
      return idOf(one) !== idOf({ namespace, rule, edition, key });
    }),
    fc.property(address, address, (one, other) => holds(keyOf(one) === keyOf(other), one, other)),
    fc.property(subject, subject, (one, other) => holds(idOf(one) === idOf(other), one, other)),
  ] as readonly fc.IProperty<unknown>[];
  for (const property of properties) {
    const { failed, counterexample } = fc.check(property, {
      numRuns: runs,
      seed,
    });
    if (failed) return JSON.stringify(counterexample);
  }
  return undefined;
}
