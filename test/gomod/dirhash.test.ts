import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { dirHash, goModHash, inspectGoMod } from '../../src/gomod/dirhash.ts';
import { pieces } from '../support/pieces.ts';

const sha = (text: string | Buffer): string => createHash('sha256').update(text).digest('hex');

describe('Hashes of go.sum', () => {
  it('are over one line per file in the order of the names’ bytes', () => {
    const files = ['b', 'a/b', 'a', 'a-b', '\xef\xbc\xa1', '\xf0\xa0\x80\x80'].map((name) => ({
      name,
      sha256: sha(name),
    }));
    const lines = ['a', 'a-b', 'a/b', 'b', '\xef\xbc\xa1', '\xf0\xa0\x80\x80']
      .map((name) => `${sha(name)}  ${name}\n`)
      .join('');
    const expected = createHash('sha256').update(lines, 'latin1').digest('base64');
    expect(dirHash(files)).to.equal(`h1:${expected}`);
    expect(dirHash([...files].reverse())).to.equal(`h1:${expected}`);
  });

  it('of no file are that of nothing', () => {
    expect(dirHash([])).to.equal('h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=');
  });

  it('of a go.mod are those that the client knows', async () => {
    // As it stands in the go.sum of many a program, for golang.org/x/text v0.3.0.
    const content = Buffer.from('module golang.org/x/text\n');
    expect(goModHash(content)).to.equal('h1:NqM8EUOU14njkJ3fqMW+pc6Ldnwhi/IjpwHt7yyuwOQ=');
    for (const size of [1, 7, 100]) {
      const inspector = inspectGoMod();
      for (const piece of pieces(content, size)) expect(inspector.write(piece)).to.equal(undefined);
      inspector.abort();
      expect(await inspector.end()).to.deep.equal({ h1: goModHash(content) });
    }
  });

  it('of a go.mod care for neither its content nor its length', async () => {
    const piece = Buffer.alloc(1024 * 1024, 0xff);
    const whole = createHash('sha256');
    const inspector = inspectGoMod();
    for (let i = 0; i < 17; i++) {
      inspector.write(piece);
      whole.update(piece);
    }
    const h1 = dirHash([{ name: 'go.mod', sha256: whole.digest('hex') }]);
    expect(await inspector.end()).to.deep.equal({ h1 });
  });
});
