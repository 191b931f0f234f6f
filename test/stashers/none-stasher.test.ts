import { expect } from 'chai';
import { NoneStasher } from '../../src/stashers/none-stasher.ts';
import { stashable } from '../contract/stasher.ts';
import { GrowingBody, incomingOf } from '../support/incoming.ts';
import { seededBytes } from '../support/seeded-bytes.ts';

describe('NoneStasher', () => {
  const stasher = new NoneStasher('pass');

  it('keeps nothing, has nothing to read and refuses nothing', async () => {
    const body = incomingOf(seededBytes(1000));
    expect(await stasher.stash(stashable('k', body))).to.equal(undefined);
    expect(stasher.bodies).to.equal(undefined);
    expect(stasher.refusing).to.equal(false);
    expect(body.opened, 'readers of the body').to.equal(0);
  });

  it('does not wait for a body, nor fail with one that is cut', async () => {
    const growing = new GrowingBody({ bytes: seededBytes(1000) });
    expect(await stasher.stash(stashable('k', growing))).to.equal(undefined);
    expect(await stasher.stash(stashable('k', growing.cut()))).to.equal(undefined);
  });
});
