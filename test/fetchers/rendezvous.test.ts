import { expect } from 'chai';
import { rendezvous } from '../../src/fetchers/rendezvous.ts';

const members = ['a', 'b', 'c', 'd', 'e'].map((id) => ({ id }));
const keys = Array.from({ length: 5_000 }, (_, number) => `web\nhttp://www.example.com/${number}`);

const idsOf = (list: readonly { readonly id: string }[]): string[] => list.map(({ id }) => id);

describe('rendezvous', () => {
  it('gives each key all members, in an order that does not depend on theirs', () => {
    for (const key of keys.slice(0, 100)) {
      const order = idsOf(rendezvous(members, key));
      expect([...order].sort()).to.deep.equal(idsOf(members));
      expect(idsOf(rendezvous(members.toReversed(), key))).to.deep.equal(order);
    }
  });

  it('shares keys evenly', () => {
    const owned = new Map<string, number>();
    for (const key of keys) {
      const id = rendezvous(members, key)[0]?.id ?? '';
      owned.set(id, (owned.get(id) ?? 0) + 1);
    }
    for (const { id } of members) expect(owned.get(id)).to.be.within(850, 1150);
  });

  it('moves the keys of a member that goes, and no others', () => {
    const left = members.filter(({ id }) => id !== 'c');
    for (const key of keys.slice(0, 500)) {
      const before = idsOf(rendezvous(members, key));
      expect(idsOf(rendezvous(left, key))).to.deep.equal(before.filter((id) => id !== 'c'));
    }
  });

  it('has nobody to ask where there is none', () => {
    expect(rendezvous([], 'key')).to.deep.equal([]);
  });
});
