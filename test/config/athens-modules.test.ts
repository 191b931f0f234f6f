import { expect } from 'chai';
import fc from 'fast-check';
import { parseDownloadFile } from '../../src/config/athens-download-mode.ts';
import { parseAthensFilter } from '../../src/config/athens-filter.ts';
import { type ModuleEntry, mergeModules } from '../../src/config/athens-modules.ts';
import { matchesModulePattern, parseVersionRange } from '../../src/gomod/module-pattern.ts';

const ELSEWHERE = { mode: 'redirect', fetch: ['elsewhere'] };
const RUNS = 2_000;

/** What happens to a module: all that two configurations can differ in. */
interface Outcome {
  readonly denied: boolean;
  readonly mode: string;
  readonly direct: boolean;
}

interface Line {
  readonly sign: string;
  readonly path: string;
  readonly qualifier: string;
}

interface Block {
  readonly pattern: string;
  readonly mode: string;
}

// The three places as Athens asks them: a tree of path elements, blocks in order, GOPRIVATE.
function inAthens(
  lines: readonly Line[],
  blocks: readonly Block[],
  direct: readonly string[],
  [module, version]: readonly [string, string | undefined],
): Outcome {
  const elements = module.split('/');
  let sign = lines.findLast(({ path }) => path === '')?.sign ?? '+';
  for (let depth = 1; depth <= elements.length; depth += 1) {
    const path = elements.slice(0, depth).join('/');
    const rule = lines.findLast((line) => line.path === path);
    if (rule === undefined) continue;
    // Athens refuses the list as well where some versions are refused: that is left out.
    const listed = rule.sign === '+' || rule.qualifier === '';
    if (version === undefined ? listed : fits(version, rule.qualifier)) sign = rule.sign;
  }
  if (sign === '-') return { denied: true, mode: '', direct: false };
  if (sign === 'D') return { denied: false, mode: 'redirect', direct: false };
  const block = blocks.find(({ pattern }) => matchesModulePattern(pattern, module));
  const isDirect = direct.some((pattern) => matchesModulePattern(pattern, module));
  return { denied: false, mode: block?.mode ?? 'sync', direct: isDirect };
}

function fits(version: string, qualifier: string): boolean {
  if (qualifier === '') return true;
  const numbers = (text: string): number[] =>
    text
      .replace(/^[~^<]?v/, '')
      .split('.')
      .map(Number);
  const [v, q] = [numbers(version), numbers(qualifier)] as const;
  const [major = 0, minor = 0, patch = 0] = v;
  const [qMajor = 0, qMinor = 0, qPatch = 0] = q;
  const above = minor > qMinor || (minor === qMinor && patch >= qPatch);
  switch (qualifier.charAt(0)) {
    case '~':
      return major === qMajor && minor === qMinor && patch >= qPatch;
    case '^':
      return major === qMajor && above;
    case '<':
      return (
        major < qMajor || (major === qMajor && (!above || (minor === qMinor && patch === qPatch)))
      );
    default:
      return q.every((number, at) => v[at] === number);
  }
}

function here(
  entries: readonly ModuleEntry[],
  [module, version]: readonly [string, string | undefined],
): Outcome {
  const entry = entries.find(
    ({ match, versions }) =>
      matchesModulePattern(match, module) &&
      (versions === undefined || (version !== undefined && parseVersionRange(versions)(version))),
  );
  return {
    denied: entry?.deny !== undefined,
    mode: entry?.deny === undefined ? (entry?.mode ?? 'sync') : '',
    direct: entry?.private === true,
  };
}

const element = fc.constantFrom('a', 'b', 'ab');
const glob = fc.constantFrom('a', 'b', 'ab', '*');
const path = fc.array(element, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
const pattern = fc.array(glob, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
const version = fc.tuple(fc.nat(1), fc.nat(2), fc.nat(2)).map((parts) => `v${parts.join('.')}`);
const qualifier = fc.oneof(
  { weight: 3, arbitrary: fc.constant('') },
  version,
  version.map((text) => text.replace(/\.\d$/, '')),
  fc.tuple(fc.constantFrom('~', '^', '<'), version).map((parts) => parts.join('')),
);
const line = fc.record({
  sign: fc.constantFrom('+', '-', 'D'),
  path: fc.oneof({ weight: 6, arbitrary: path }, { weight: 1, arbitrary: fc.constant('') }),
  qualifier,
});
const block = fc.record({ pattern, mode: fc.constantFrom('sync', 'async', 'none') });

describe('rules of Athens for modules', () => {
  it('decide the same when they are one list', () => {
    fc.assert(
      fc.property(
        fc.array(line, { maxLength: 5 }),
        fc.array(block, { maxLength: 3 }),
        fc.array(pattern, { maxLength: 2 }),
        fc.tuple(path, fc.option(version, { nil: undefined })),
        (written, blocks, direct, asked) => {
          // A rule for every module has no qualifiers.
          const lines = written.map((one) => (one.path === '' ? { ...one, qualifier: '' } : one));
          const file = lines.map((one) => `${one.sign} ${one.path} ${one.qualifier}`).join('\n');
          const hcl = blocks.map((one) => `download "${one.pattern}" { mode = "${one.mode}" }`);
          const { entries, unclear } = mergeModules({
            filter: parseAthensFilter(file).rules,
            blocks: parseDownloadFile(`mode = "sync"\n${hcl.join('\n')}`).blocks.map(
              ({ pattern: match, mode }) => ({ match, mode }),
            ),
            direct: { patterns: direct, otherwise: direct, entry: { private: true } },
            elsewhere: ELSEWHERE,
          });
          expect(unclear).to.deep.equal([]);
          expect(here(entries, asked)).to.deep.equal(inAthens(lines, blocks, direct, asked));
        },
      ),
      { numRuns: RUNS },
    );
  }).timeout(20_000);

  it('says of which patterns it cannot tell what both take', () => {
    const { unclear } = mergeModules({
      filter: [],
      blocks: [{ match: 'a*/x', mode: 'none' }],
      direct: { patterns: ['*b/x', 'ab/x'], otherwise: [], entry: { private: true } },
      elsewhere: ELSEWHERE,
    });
    expect(unclear).to.deep.equal([['a*/x', '*b/x']]);
  });
});

describe('a filter file of Athens', () => {
  it('takes comments, blank lines and paths with slashes around', () => {
    expect(parseAthensFilter('# all\n\n-\n+ /example.com/x/ v1.2.*,v2\n').rules).to.deep.equal([
      { sign: '+', path: 'example.com/x', versions: 'v1.2 || v2' },
      { sign: '-', path: '' },
    ]);
  });

  it('reads each qualifier as Athens compares it', () => {
    const { rules, compares } = parseAthensFilter('- a.b/x ~v1.2.3,^v1.2.3,^v0.2.0,<v3.0.0');
    expect(rules[0]?.versions).to.equal('~v1.2.3 || ^v1.2.3 || >=v0.2.0 <v1.0.0-0 || <=v3.0.0');
    expect(compares).to.equal(true);
  });

  it('leaves out what fits no version, and says so', () => {
    const { rules, useless } = parseAthensFilter('+ a.b/x\n- a.b/x ~v1.2');
    expect(rules).to.deep.equal([]);
    expect(useless).to.deep.equal([{ line: 2, qualifier: '~v1.2' }]);
  });

  for (const wrong of ['* a.b/x', '+ a.b/x v1 v2', '+a.b/x']) {
    it(`refuses ${wrong} with its line`, () => {
      expect(() => parseAthensFilter(`#\n${wrong}`)).to.throw(/^line 2: expected \+, - or D/);
    });
  }
});

describe('a download mode file of Athens', () => {
  it('reads comments, escapes, labels without quotes and blocks in order', () => {
    const file = parseDownloadFile(`# one
mode = "async_redirect" // two
/* three
   mode = "none" */
downloadURL = "http:\\u002f/a.b"
download "a.b/*" {
  mode = "sync"
}
download golang { mode = "redirect" downloadURL = "http://c.d" }
`);
    expect(file).to.deep.equal({
      mode: 'async_redirect',
      url: 'http://a.b',
      blocks: [
        { pattern: 'a.b/*', mode: 'sync', url: undefined },
        { pattern: 'golang', mode: 'redirect', url: 'http://c.d' },
      ],
    });
  });

  const wrong: Readonly<Record<string, RegExp>> = {
    '': /mode to be one of/,
    'mode = sync': /^line 1: expected a text in quotes, found "sync"/,
    'mode = "later"': /^line 1: expected mode to be one of .*, found "later"/,
    'mode = "sync"\ndownload "a" {': /^line 2: expected mode, downloadURL or }, .*found the end/,
    'mode = "sync"\ndownload "a" { }': /^line 2: expected mode to be one of/,
    'mode = "sync"\nmode = "none"': /^line 2: expected mode.*each once/,
    'mode = "sync"\nother = "x"': /^line 2: expected mode/,
    'mode = "${x}"': /without \${…}/,
    'mode = "sync"\n\n%': /^line 3: expected HCL/,
    'mode = "sync': /^line 1: expected HCL/,
  };
  for (const [text, message] of Object.entries(wrong)) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      expect(() => parseDownloadFile(text)).to.throw(message);
    });
  }
});
