import { hash } from 'node:crypto';

/** Bytes of the hash that make the weight: all that a number holds exactly. */
const WEIGHT_BYTES = 6;

/**
 * The members in the order in which they are responsible for a key, the owner first (highest random weight, Thaler and Ravishankar 1998):
 * the same on every node that knows the same ids, and one that goes leaves the order of the others as it was.
 */
export function rendezvous<Member extends { readonly id: string }>(
  members: readonly Member[],
  key: string,
): Member[] {
  const weighed = members.map((member) => ({ member, weight: weightOf(member.id, key) }));
  weighed.sort((a, b) => b.weight - a.weight || (a.member.id < b.member.id ? -1 : 1));
  return weighed.map(({ member }) => member);
}

function weightOf(id: string, key: string): number {
  return hash('sha256', `${id}\n${key}`, 'buffer').readUIntBE(0, WEIGHT_BYTES);
}
