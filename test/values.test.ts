import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { z } from 'zod';
import { kindOf } from '../src/errors.ts';
import {
  bytesOf,
  duration,
  formatDuration,
  formatSize,
  httpUrl,
  parseDuration,
  parseSize,
  readSecret,
  secret,
  size,
  sizeOrPercentage,
} from '../src/values.ts';

describe('sizes and durations', () => {
  it('are read with binary and decimal units', () => {
    const sizes: Record<string, number> = {
      '0': 0,
      '512': 512,
      '64KiB': 65_536,
      '1.5 MiB': 1_572_864,
      '20GiB': 21_474_836_480,
      '10MB': 10_000_000,
      '1kB': 1000,
      '1.1MB': 1_100_000,
    };
    for (const [text, bytes] of Object.entries(sizes))
      expect(parseSize(text), text).to.equal(bytes);
    const spans: Record<string, number> = {
      '0': 0,
      '500ms': 500,
      '30s': 30_000,
      '1.5s': 1500,
      '2m': 120_000,
      '1h': 3_600_000,
      '7d': 604_800_000,
    };
    for (const [text, ms] of Object.entries(spans)) expect(parseDuration(text), text).to.equal(ms);
  });

  it('are refused in any other form', () => {
    const sizes = [
      '',
      '20 apples',
      '1gib',
      '1K',
      '-1',
      '1e3',
      '0.5B',
      '1,5MiB',
      '９KiB',
      '99999999TiB',
      'constructor',
    ];
    for (const text of sizes) expect(parseSize(text), text).to.equal(undefined);
    const spans = ['', '30', '30 seconds', '1M', '-1s', '1h30m', '0.5ms', 'toString'];
    for (const text of spans) expect(parseDuration(text), text).to.equal(undefined);
  });

  it('come back from how they are printed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 50 }), (value) => {
        expect(parseSize(formatSize(value))).to.equal(value);
        expect(parseDuration(formatDuration(value))).to.equal(value);
      }),
    );
    expect([formatSize(65_536), formatDuration(90_000), formatDuration(0)]).to.deep.equal([
      '64KiB',
      '90s',
      '0ms',
    ]);
  });

  it('say what is expected, with an example', () => {
    expect(size().safeParse('20 apples').error?.issues[0]?.message).to.equal(
      'expected a size such as 20GiB, 10MB, 64KiB or a number of bytes',
    );
    expect(size().safeParse({}).error?.issues[0]?.message).to.include('such as 20GiB');
    expect(duration().safeParse('soon').error?.issues[0]?.message).to.include('such as 500ms, 30s');
    expect(duration().safeParse(-1).success).to.equal(false);
  });

  it('keep a JSON Schema and defaults as a person writes them', () => {
    const schema = z.strictObject({
      max: size().prefault('20GiB'),
      wait: duration().prefault('30s'),
    });
    expect(schema.parse({})).to.deep.equal({ max: 21_474_836_480, wait: 30_000 });
    expect(z.toJSONSchema(schema, { io: 'input' }).properties?.['max']).to.deep.equal({
      type: ['string', 'number'],
      examples: ['20GiB', '64KiB'],
      default: '20GiB',
    });
  });
});

describe('sizeOrPercentage', () => {
  it('is bytes, or a share of what is known later', () => {
    expect(bytesOf(sizeOrPercentage().parse('1KiB'), 0)).to.equal(1024);
    expect(bytesOf(sizeOrPercentage().parse('5%'), 1000)).to.equal(50);
    expect(bytesOf(sizeOrPercentage().parse('0.5 %'), 1000)).to.equal(5);
  });

  it('is at most the whole', () => {
    expect(sizeOrPercentage().safeParse('101%').error?.issues[0]?.message).to.equal(
      'expected a size such as 1GiB or a percentage such as 5%',
    );
  });
});

describe('httpUrl', () => {
  it('takes plain http and https URLs only', () => {
    expect(httpUrl().parse('https://www.example.com/a').href).to.equal('https://www.example.com/a');
    const wrong = [
      '127.0.0.1:3000',
      'ftp://a',
      'http://u:p@a',
      'http://a?b',
      'http://a#b',
      'http://',
      '/a',
    ];
    for (const text of wrong) expect(httpUrl().safeParse(text).success, text).to.equal(false);
  });
});

describe('secret', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'caje-secret-'));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  it('is a text or the path of a file', async () => {
    expect(secret().parse('abc')).to.deep.equal({ kind: 'inline', value: 'abc' });
    await writeFile(join(folder, 'token'), 'line one\n');
    const parsed = secret().parse({ file: 'token' });
    expect(parsed).to.deep.equal({ kind: 'file', path: 'token' });
    expect(await readSecret(parsed, folder)).to.equal('line one');
    expect(await readSecret({ kind: 'inline', value: ' x ' }, folder)).to.equal(' x ');
  });

  it('is never empty', () => {
    for (const wrong of ['', 5, {}, null]) {
      expect(secret().safeParse(wrong).error?.issues[0]?.message).to.equal(
        'expected a text that is not empty, or { file: PATH }',
      );
    }
  });

  it('wants the path where a file is named', () => {
    expect(secret().safeParse({ file: '' }).error?.issues[0]?.message).to.equal(
      'expected the path of a file',
    );
  });

  it('names the file that cannot be read or is empty', async () => {
    await writeFile(join(folder, 'empty'), '\n');
    for (const [file, why] of [
      ['none', 'ENOENT'],
      ['empty', 'is empty'],
    ]) {
      const error: unknown = await readSecret({ kind: 'file', path: file ?? '' }, folder).catch(
        (e: unknown) => e,
      );
      expect(kindOf(error)).to.equal('invalid');
      expect(String(error))
        .to.include(join(folder, file ?? ''))
        .and.include(why);
    }
  });
});
