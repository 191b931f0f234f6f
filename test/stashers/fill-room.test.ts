import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { expect } from 'chai';
import { HeaderList } from '../../src/headers.ts';
import { Metrics } from '../../src/metrics.ts';
import { Fill } from '../../src/stashers/fill.ts';
import { SpoolFolder } from '../../src/stashers/spool-folder.ts';
import { filesBelow } from '../support/audit-store.ts';
import { tempFolder } from '../support/temp-folder.ts';

const MIB = 1024 * 1024;

describe('Fill that waits for room', () => {
  it('makes no file before there is room for it, and holds the origin back meanwhile', async () => {
    await using temp = await tempFolder();
    const folder = new SpoolFolder(temp.path, 256 * MIB);
    const bytes = randomBytes(8 * MIB);
    let given = 0;
    const origin = Readable.from(
      (function* pieces() {
        for (; given < bytes.length; given += 64 * 1024)
          yield bytes.subarray(given, given + 64 * 1024);
      })(),
    );
    const near = Promise.withResolvers<void>();
    const far = Promise.withResolvers<void>();
    const fetched = { status: 200, headers: new HeaderList([]), body: origin, source: 'test' };
    const one = new Fill(fetched, { folder, metrics: new Metrics(), maxBytes: 100 * MIB });
    one.waitForRoom(near.promise);
    one.waitForRoom(far.promise);
    near.resolve();
    const whole = buffer(one.openForClient());
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await filesBelow(temp.path)).to.deep.equal([]);
    expect(given).to.be.within(1, 4 * MIB);
    // Refused or not, it goes on.
    far.reject(new Error('no room'));
    expect((await whole).equals(bytes)).to.equal(true);
    expect((await one.sealed).size).to.equal(bytes.length);
    expect(await filesBelow(temp.path)).to.have.length(1);
    one.release();
  });
});
