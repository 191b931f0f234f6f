import { expect } from 'chai';
import { PurgeTimes } from '../../src/protocol/purge-times.ts';

const subject = (key: string) => ({ namespace: 'web', rule: 'site', key });

describe('PurgeTimes', () => {
  it('knows the last purge of what fits, and none of anything else', () => {
    const times = new PurgeTimes();
    times.note(({ key }) => key === 'a', 1);
    times.note(({ key }) => key.startsWith('a'), 2);
    times.note(({ key }) => key === 'b', 3);
    expect(times.latest(subject('a'))).to.equal(2);
    expect(times.latest(subject('b'))).to.equal(3);
    expect(times.latest(subject('c'))).to.equal(undefined);
  });

  it('takes everything for purged with what it can no longer tell apart', () => {
    const times = new PurgeTimes();
    for (let at = 0; at < 1_500; at++) times.note(({ key }) => key === String(at), at);
    expect(times.latest(subject('1499'))).to.equal(1499);
    expect(times.latest(subject('3'))).to.equal(499);
    expect(times.latest(subject('other'))).to.equal(499);
  });
});
