import { expect } from 'chai';
import { readModuleList, type WantedModule } from '../../src/gomod/module-list.ts';

const LINES = 200_000;
const ALL = ['info', 'mod', 'zip'];

describe('readModuleList', () => {
  const read = async (...chunks: (string | Buffer)[]): Promise<WantedModule[]> => {
    async function* source(): AsyncGenerator<string | Buffer> {
      yield* chunks;
    }
    return await Array.fromAsync(readModuleList(source(), 'list'));
  };
  const failure = async (...chunks: string[]): Promise<string> => {
    try {
      await read(...chunks);
    } catch (error) {
      return (error as Error).message;
    }
    return 'none';
  };

  it('reads modules, comments and lines of go.sum, whatever the pieces they come in', async () => {
    const text = [
      '# what we need',
      'example.com/One@v1.2.3 # for the build',
      '',
      '\texample.com/two/v2 v2.0.0\r',
      'example.com/a v1.0.0 h1:abc=',
      'example.com/a v1.0.0/go.mod h1:def=',
      'golang.org/toolchain@v0.0.1-go1.26.0.linux-amd64',
    ].join('\n');
    const expected = [
      { module: 'example.com/One', version: 'v1.2.3', files: ALL },
      { module: 'example.com/two/v2', version: 'v2.0.0', files: ALL },
      { module: 'example.com/a', version: 'v1.0.0', files: ALL },
      { module: 'example.com/a', version: 'v1.0.0', files: ['info', 'mod'] },
      { module: 'golang.org/toolchain', version: 'v0.0.1-go1.26.0.linux-amd64', files: ALL },
    ];
    expect(await read(text)).to.deep.equal(expected);
    expect(await read(...text)).to.deep.equal(expected);
    expect(await read(Buffer.from(text))).to.deep.equal(expected);
  });

  for (const [text, words] of [
    ['\n\nexample.com/a', /^list:3: expected module@version instead of "example.com\/a"$/],
    ['example.com/a@master', /^list:1: "master" is not a version in full of example.com\/a$/],
    ['example.com/a@v2.0.0', /^list:1: "v2.0.0" is not a version in full/],
    ['../../etc/passwd@v1.0.0', /^list:1: "..\/..\/etc\/passwd": leading dot/],
    ['example.com/a v1.0.0 sha256:abc', /^list:1: expected module@version or a line of go.sum/],
    ['a b c d', /^list:1: expected/],
    [`example.com/a@v1.0.0\n${'x'.repeat(5000)}`, /^list:2: a line too long$/],
    [`${'x'.repeat(5000)}\n`, /^list:1: a line too long$/],
  ] as const) {
    it(`refuses ${JSON.stringify(text.slice(0, 40))} with its line`, async () => {
      expect(await failure(text)).to.match(words);
    });
  }

  it('holds no more than a line of a list without end', async () => {
    function* lines(): Generator<string> {
      for (let i = 0; i < LINES; i += 1000)
        yield Array.from({ length: 1000 }, (_, at) => `example.com/m@v1.${i + at}.0\n`).join('');
    }
    async function* source(): AsyncGenerator<string> {
      yield* lines();
    }
    let count = 0;
    const before = process.memoryUsage().rss;
    for await (const { module } of readModuleList(source(), 'list'))
      if (module === 'example.com/m') count += 1;
    expect(count).to.equal(LINES);
    expect(process.memoryUsage().rss - before).to.be.lessThan(100 * 2 ** 20);
  }).timeout(20_000);
});
