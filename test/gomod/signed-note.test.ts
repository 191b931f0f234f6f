import { expect } from 'chai';
import { ProxyError } from '../../src/errors.ts';
import { openNote, parseVerifierKey } from '../../src/gomod/signed-note.ts';
import { SumdbFault } from '../../src/gomod/sumdb-fault.ts';
import { sumdbKey } from '../../src/gomod/sumdb-keys.ts';
import { goMissing, goSetting } from '../support/go-command.ts';
import { skipUnless } from '../support/skip.ts';
import { sumdbSigner } from '../support/sumdb.ts';

const NAME = 'sums.example.org/sumdb';
const TEXT = 'first line\n\nünïcode line\n';

describe('keys of checksum databases', () => {
  const { key } = sumdbSigner(NAME);
  const [, hash = '', base64 = ''] = /^[^+]+\+([^+]+)\+(.*)$/.exec(key) ?? [];

  it('are read from name+hash+key', () => {
    const read = parseVerifierKey(key);
    expect([read.name, read.hash]).to.deep.equal([NAME, Number.parseInt(hash, 16)]);
    expect(sumdbKey(key).hash).to.equal(read.hash);
  });

  const otherAlgorithm = Buffer.from(base64, 'base64');
  otherAlgorithm[0] = 2;
  const malformed: Readonly<Record<string, string>> = {
    nothing: '',
    'no key': `${NAME}+${hash}`,
    'no name': `+${hash}+${base64}`,
    'a name with a space': `sums example+${hash}+${base64}`,
    'a short hash': `${NAME}+${hash.slice(1)}+${base64}`,
    'a hash that is none': `${NAME}+zzzzzzzz+${base64}`,
    'the hash of another': `${NAME}+${sumdbSigner(NAME).key.split('+')[1]}+${base64}`,
    'another name': `other.example.org+${hash}+${base64}`,
    'an empty key': `${NAME}+${hash}+`,
    'no base64': `${NAME}+${hash}+${base64.slice(0, -1)}!`,
    'a cut key': `${NAME}+${hash}+${base64.slice(0, -4)}`,
    'another algorithm': `${NAME}+${hash}+${otherAlgorithm.toString('base64')}`,
  };
  for (const [what, text] of Object.entries(malformed)) {
    it(`are refused with ${what}`, () => {
      expect(() => parseVerifierKey(text))
        .to.throw(ProxyError, /is no key of a checksum database: /)
        .with.property('kind', 'invalid');
    });
  }

  it('are not known by a name that the go command does not know', () => {
    expect(() => sumdbKey('sums.example.org'))
      .to.throw(ProxyError, /no key is known .*"sums\.example\.org": give it as name\+hash\+key/)
      .with.property('kind', 'invalid');
  });

  it('are known by the name that the go command has without further setting', function () {
    const missing = goMissing();
    skipUnless(this, missing === undefined, missing ?? '');
    const name = goSetting('GOSUMDB');
    skipUnless(this, /^[^+\s]+$/.test(name) && name !== 'off', 'GOSUMDB is no bare name', {
      exempt: true,
    });
    expect(sumdbKey(name).name).to.equal(name);
    expect(() => sumdbKey(`${name}.example.org`)).to.throw(/no key is known/);
  });
});

describe('signed notes', () => {
  const signer = sumdbSigner(NAME);
  const key = parseVerifierKey(signer.key);
  const other = sumdbSigner('other.example.org');
  const open = (note: string | Buffer): string => openNote(Buffer.from(note), key).toString();

  it('give the text that the key signed', () => {
    expect(open(`${TEXT}\n${signer.sign(TEXT)}\n`)).to.equal(TEXT);
  });

  it('may be signed by others too, and twice', () => {
    const lines = [
      other.sign('something else\n'),
      signer.sign(TEXT),
      signer.sign(TEXT),
      other.sign(TEXT),
    ];
    expect(open(`${TEXT}\n${lines.join('\n')}\n`)).to.equal(TEXT);
  });

  const signed = signer.sign(TEXT);
  const many = Array.from({ length: 100 }, () => other.sign(TEXT)).join('\n');
  const sameName = sumdbSigner(NAME);
  const refused: Readonly<Record<string, readonly [note: string | Buffer, why: RegExp]>> = {
    nothing: ['', /malformed/],
    'no signature': [TEXT, /malformed/],
    'an empty signature block': [`${TEXT}\n`, /malformed/],
    'no newline at the end': [`${TEXT}\n${signed}`, /malformed/],
    'no blank line': [`first line\n${signed}\n`, /malformed/],
    'a control character': [`a\tb\n\n${signer.sign('a\tb\n')}\n`, /malformed/],
    'broken UTF-8': [Buffer.from(`${TEXT}\n${signed}\n`).fill(0xff, 0, 1), /malformed/],
    'the signature of another only': [`${TEXT}\n${other.sign(TEXT)}\n`, /no signature of the key/],
    'a key of the same name': [`${TEXT}\n${sameName.sign(TEXT)}\n`, /no signature of the key/],
    'the signature of another text': [`${TEXT}\n${signer.sign('other\n')}\n`, /signature is wrong/],
    'first a wrong signature': [
      `${TEXT}\n${signer.sign('other\n')}\n${signed}\n`,
      /signature is wrong/,
    ],
    'a line that is no signature': [`${TEXT}\n${signed}\nhello\n`, /line of the note is malformed/],
    'a line without base64': [`${TEXT}\n${signed}\n— name \n`, /line of the note is malformed/],
    'a line with three words': [`${TEXT}\n${signed} x\n`, /line of the note is malformed/],
    'a signature of no bytes': [
      `${TEXT}\n${signed}\n— name AAAAAA==\n`,
      /line of the note is malformed/,
    ],
    'too many signatures': [`${TEXT}\n${many}\n${signed}\n`, /too many signatures/],
  };
  for (const [what, [note, why]] of Object.entries(refused)) {
    it(`are refused with ${what}`, () => {
      expect(() => open(note))
        .to.throw(SumdbFault, why)
        .with.property('kind', 'integrity');
    });
  }
});
