import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { ConfigError } from '../../src/config/config-error.ts';
import { TempConfig } from './temp-config.ts';

const FIXTURES = join(import.meta.dirname, '../fixtures/config');
const RUNS = 150;

const texts = ['good', 'bad'].flatMap((folder) =>
  readdirSync(join(FIXTURES, folder)).map((file) =>
    readFileSync(join(FIXTURES, folder, file), 'utf8'),
  ),
);

/** A file of the corpus with a piece of it replaced by another piece, or by noise. */
const damaged = fc
  .tuple(
    fc.constantFrom(...texts),
    fc.nat(400),
    fc.nat(20),
    fc.oneof(
      fc.string(),
      fc.constantFrom(
        'null',
        '[]',
        '{}',
        '\n',
        ': ',
        '- ',
        '*a',
        '${',
        '1e9',
        '~',
        '"',
        '\t',
        '<<: ',
      ),
      fc.constantFrom('rules', 'storage', 'constructor', '__proto__', 'toString', '0'),
    ),
  )
  .map(([text, at, length, piece]) => text.slice(0, at) + piece + text.slice(at + length));

describe('a damaged configuration', () => {
  let temp: TempConfig;
  before(async () => {
    temp = await TempConfig.create();
  });
  after(async () => {
    await temp[Symbol.asyncDispose]();
  });

  it('is taken or refused with a place, never anything else', async () => {
    await fc.assert(
      fc.asyncProperty(damaged, async (text) => {
        await temp.write('caje.yaml', text);
        const error: unknown = await temp.load().then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
        if (error === undefined) return;
        expect(error, error instanceof Error ? error.stack : undefined).to.be.instanceOf(
          ConfigError,
        );
        for (const issue of (error as ConfigError).issues) {
          expect(issue.line, issue.message).to.be.a('number');
          expect(issue.message).to.match(/\S/).and.not.include('undefined');
        }
      }),
      { numRuns: RUNS },
    );
  }).timeout(30_000);
});
