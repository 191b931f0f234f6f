import { expect } from 'chai';
import { isPruned, parseGoMod } from '../../src/gomod/go-mod-file.ts';

const FILE = `// what this is
module example.com/main // not a requirement

go 1.24.1
toolchain go1.26.0

require example.com/one v1.2.3
require (
	example.com/two/v2 v2.0.0-20240102030405-abcdefabcdef // indirect
	"example.com/quoted" \`v0.1.0\`
	example.com/old v3.0.0+incompatible
)

exclude (
	example.com/one v1.2.2
)

replace example.com/one => example.com/fork v1.9.0
replace (
	example.com/two/v2 v2.0.0 => ../two
	example.com/abs => /srv/abs
)

retract [v1.0.0, v1.0.5]
tool example.com/two/v2/cmd
godebug default=go1.21
something new
`;

describe('parseGoMod', () => {
  it('reads requirements, replacements and exclusions in all their forms', () => {
    expect(parseGoMod(FILE, { name: 'go.mod' })).to.deep.equal({
      module: 'example.com/main',
      go: '1.24.1',
      requires: [
        { module: 'example.com/one', version: 'v1.2.3' },
        { module: 'example.com/two/v2', version: 'v2.0.0-20240102030405-abcdefabcdef' },
        { module: 'example.com/quoted', version: 'v0.1.0' },
        { module: 'example.com/old', version: 'v3.0.0+incompatible' },
      ],
      replaces: [
        { module: 'example.com/one', by: { module: 'example.com/fork', version: 'v1.9.0' } },
        { module: 'example.com/two/v2', version: 'v2.0.0', by: { folder: '../two' } },
        { module: 'example.com/abs', by: { folder: '/srv/abs' } },
      ],
      excludes: [{ module: 'example.com/one', version: 'v1.2.2' }],
      uses: [],
    });
  });

  it('reads line ends of Windows and the folders of a workspace', () => {
    const { uses } = parseGoMod('go 1.24\r\nuse ./one\r\nuse (\r\n\t./two\r\n)\r\n', { name: 'w' });
    expect(uses).to.deep.equal(['./one', './two']);
  });

  it('passes over what a dependency says about others', () => {
    const text = 'module m\nreplace nonsense\nexclude\nrequire example.com/a v1.0.0\n';
    const { requires, replaces } = parseGoMod(text, { name: 'm', dependency: true });
    expect([requires, replaces]).to.deep.equal([
      [{ module: 'example.com/a', version: 'v1.0.0' }],
      [],
    ]);
  });

  for (const [text, words] of [
    ['\nrequire example.com/a', /^f:2: expected a module and its version$/],
    ['require example.com/a v1', /^f:1: "v1" is not a version in full/],
    ['require example.com/a master', /^f:1: "master" is not a version in full/],
    ['require ../a v1.0.0', /^f:1: "\.\.\/a": leading dot/],
    ['require a v1.0.0', /^f:1: "a": missing dot/],
    ['require (\nexample.com/a v1.0.0\n', /^f:3: the require block does not end$/],
    ['module "m', /^f:1: a quote that does not end$/],
    [')', /^f:1: unexpected \)$/],
    ['replace example.com/a => example.com/b', /^f:1: "example.com\/b" has no version$/],
    ['replace example.com/a', /^f:1: expected MODULE \[VERSION\] =>/],
  ] as const) {
    it(`refuses ${JSON.stringify(text)} with file and line`, () => {
      expect(() => parseGoMod(text, { name: 'f' })).to.throw(words);
    });
  }

  for (const [go, pruned] of [
    [undefined, false],
    ['1.16', false],
    ['1.17', true],
    ['1.21rc1', true],
    ['1.26.1', true],
    ['2', true],
    ['nonsense', false],
  ] as const) {
    it(`takes a file with go ${go} as ${pruned ? '' : 'not '}pruned`, () => {
      expect(isPruned({ go })).to.equal(pruned);
    });
  }
});
