import { expect } from 'chai';
import { SystemClock } from '../src/clock.ts';

const HOUR = 3_600_000;

describe('SystemClock', () => {
  let wall = 0;
  let steady = 0;
  const pass = (ms: number): void => {
    wall += ms;
    steady += ms;
  };
  const started = (): SystemClock => {
    wall = Date.UTC(2030, 0, 1);
    steady = 5_000;
    return new SystemClock(
      () => wall,
      () => steady,
    );
  };

  it('tells the time of the machine while nobody sets it', () => {
    const clock = started();
    for (const ms of [0, 1, 250, HOUR]) {
      pass(ms);
      expect([clock.now(), clock.ahead()]).to.deep.equal([wall, 0]);
    }
  });

  it('goes on as before where the machine’s clock is set back, and says by how much', () => {
    const clock = started();
    for (const back of [HOUR, 24 * HOUR, wall]) {
      const before = clock.now();
      wall -= back;
      expect(clock.now()).to.equal(before);
      pass(HOUR);
      expect(clock.now()).to.equal(before + HOUR);
      expect(clock.ahead()).to.equal(clock.now() - wall);
    }
  });

  it('is never behind the machine’s clock, and is with it again once that was set right', () => {
    const clock = started();
    const before = clock.now();
    wall -= HOUR;
    expect(clock.now()).to.equal(before);
    wall += HOUR;
    pass(10);
    expect([clock.now(), clock.ahead()]).to.deep.equal([wall, 0]);
    wall += 24 * HOUR;
    expect([clock.now(), clock.ahead()]).to.deep.equal([wall, 0]);
  });

  it('follows small corrections both ways', () => {
    const clock = started();
    for (const ms of [-400, 300, -900]) {
      wall += ms;
      expect([clock.now(), clock.ahead()]).to.deep.equal([wall, 0]);
    }
  });
});
