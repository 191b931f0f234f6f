import { expect } from 'chai';
import { MirrorClaim } from '../../src/manifest/mirror-claim.ts';
import { holdLock } from '../support/hold-lock.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

describe('MirrorClaim', () => {
  let folder: TempFolder;
  beforeEach(async () => {
    folder = await tempFolder();
  });
  afterEach(async () => await folder[Symbol.asyncDispose]());

  const nameOf = ({ path }: MirrorClaim): string => path.slice(folder.path.length + 1);

  it('gives each process a copy of its own, and the first again when it is free', async () => {
    const first = new MirrorClaim(folder.path);
    using second = new MirrorClaim(folder.path);
    expect([first, second].map(nameOf)).to.deep.equal([
      'manifest-mirror.db',
      'manifest-mirror-2.db',
    ]);
    first[Symbol.dispose]();
    {
      await using _other = await holdLock(`${folder.path}/manifest-mirror.db-claim`);
      using third = new MirrorClaim(folder.path);
      expect(nameOf(third)).to.equal('manifest-mirror-3.db');
    }
    using again = new MirrorClaim(folder.path);
    expect(nameOf(again)).to.equal('manifest-mirror.db');
  });

  it('says so where there are more processes than copies', () => {
    using claims = new DisposableStack();
    for (let count = 0; count < 9; count++) claims.use(new MirrorClaim(folder.path));
    expect(() => new MirrorClaim(folder.path)).to.throw('9 processes have copies');
  });
});
