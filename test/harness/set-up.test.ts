import { lookup } from 'node:dns';
import { lookup as lookupPromise } from 'node:dns/promises';
import { connect } from 'node:net';
import { expect } from 'chai';
import { request } from 'undici';
import { Random } from '../support/random.ts';
import { skipUnless } from '../support/skip.ts';

const code = (error: unknown): unknown => (error as NodeJS.ErrnoException).code;

describe('test set-up', () => {
  before(function (this: Mocha.Context) {
    const open = process.env['CAJE_TEST_NETWORK'] !== undefined;
    skipUnless(this, !open, 'CAJE_TEST_NETWORK allows look-ups', { exempt: true });
  });

  it('refuses to look up a name outside loopback, whoever asks', async () => {
    const byCallback = new Promise((resolve) => lookup('caje.example', resolve));
    expect(code(await byCallback)).to.equal('ENOTFOUND');
    expect(code(await lookupPromise('caje.example').catch((error: unknown) => error))).to.equal(
      'ENOTFOUND',
    );
    const socket = connect(80, 'caje.example');
    expect(code(await new Promise((resolve) => socket.once('error', resolve)))).to.equal(
      'ENOTFOUND',
    );
    const failure = await request('http://caje.example/').catch((error: unknown) => error);
    expect(code(failure)).to.equal('ENOTFOUND');
    expect(String(failure)).to.include('tests stay on loopback');
  });

  it('looks up localhost and takes addresses as they are', async () => {
    expect((await lookupPromise('localhost')).address).to.be.oneOf(['127.0.0.1', '::1']);
    expect((await lookupPromise('127.0.0.2')).address).to.equal('127.0.0.2');
  });
});

describe('seeded random numbers', () => {
  it('are the same for the same seed and others for another', () => {
    const draw = (seed: number): number[] => {
      const random = new Random(seed);
      return [
        random.uint32(),
        random.integer(1, 6),
        random.fork().uint32(),
        random.bytes(3).length,
      ];
    };
    expect(draw(1)).to.deep.equal(draw(1));
    expect(draw(1)).to.not.deep.equal(draw(2));
  });

  it('stay within their bounds and reach both ends', () => {
    const random = new Random();
    const drawn = Array.from({ length: 2000 }, () => random.integer(3, 7));
    expect(Math.min(...drawn)).to.equal(3);
    expect(Math.max(...drawn)).to.equal(7);
    expect(new Set(random.shuffle([1, 2, 3, 4]))).to.deep.equal(new Set([1, 2, 3, 4]));
    expect(() => random.pick([])).to.throw('nothing to pick');
  });
});

describe('skipUnless', () => {
  const context = {
    skip(): never {
      throw new Error('skipped');
    },
  } as unknown as Mocha.Context;
  const { write } = process.stdout;
  let before: string | undefined;
  let printed = '';

  beforeEach(() => {
    before = process.env['CI'];
    printed = '';
    // What is skipped here as an example must not look like a real skip in the report.
    process.stdout.write = (text: string | Uint8Array): boolean => {
      printed += String(text);
      return true;
    };
  });

  afterEach(() => {
    process.stdout.write = write;
    if (before === undefined) delete process.env['CI'];
    else process.env['CI'] = before;
  });

  it('goes on where the condition holds', () => {
    expect(() => skipUnless(context, true, 'no reason')).to.not.throw();
  });

  it('skips with its reason on a machine of a person', () => {
    delete process.env['CI'];
    expect(() => skipUnless(context, false, 'no go')).to.throw('skipped');
    expect(printed).to.equal('      skipped: no go\n');
  });

  it('fails with CI=true unless it is exempt', () => {
    process.env['CI'] = 'true';
    expect(() => skipUnless(context, false, 'no go')).to.throw(
      'cannot be skipped with CI=true: no go',
    );
    expect(() => skipUnless(context, false, 'an example', { exempt: true })).to.throw('skipped');
  });
});
