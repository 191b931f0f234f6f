import { expect } from 'chai';
import { readablePath } from '../../src/manifest/open-manifest.ts';

describe('readablePath', () => {
  const base = { path: '/mnt/manifest.db', nodeDatabasePath: '/data/node.db' };

  it("is the node's own copy on LiteFS, never the mount, and elsewhere the manifest itself", () => {
    expect(readablePath({ ...base, lock: 'litefs' })).to.equal('/data/manifest-mirror.db');
    for (const lock of ['local', 'peer', 'none', 'auto'] as const)
      expect(readablePath({ ...base, lock }), lock).to.equal('/mnt/manifest.db');
  });
});
