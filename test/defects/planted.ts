/** A defect that somebody could make by mistake, and the tests that have to notice it. */
export interface Defect {
  /** What is wrong with it planted. */
  readonly name: string;
  /** The promise of docs/reliability.md that it breaks. */
  readonly breaks: string;
  /** From the root of the checkout. */
  readonly file: string;
  /** Text that stands in the file exactly once. */
  readonly find: string;
  readonly plant: string;
  /** What is handed to mocha: files, and at most one `--grep` with its pattern. */
  readonly tests: readonly string[];
}

/** The planted defects: each must be caught (reliability G-10). */
export const PLANTED: readonly Defect[] = [
  {
    name: 'the host is left out of the key',
    breaks: 'P3',
    file: 'src/protocol/http-key.ts',
    find: 'return address.origin + address.target;',
    plant: 'return address.target;',
    tests: ['test/protocol/http-key.test.ts'],
  },
  {
    name: 'the row is written before the body is kept',
    breaks: 'P2',
    file: 'src/stashers/store-stasher.ts',
    find: 'const stat = await this.#options.backend.put(stashable.body, options);',
    plant:
      'void this.#options.backend.put(stashable.body, options).catch(() => undefined); const stat = { ...(await stashable.body.sealed), modifiedAt: 0 };',
    tests: ['test/stashers/store-stasher.test.ts'],
  },
  {
    name: 'a body is renamed without having been synced',
    breaks: 'P5',
    file: 'src/storage/blob-folder.ts',
    find: '      if (this.#isSynced) await file.sync();\n    } finally {',
    plant: '    } finally {',
    tests: ['test/storage/durability.test.ts'],
  },
  {
    name: 'the folder of a body is not synced after the rename',
    breaks: 'P5',
    file: 'src/storage/blob-folder.ts',
    find: '    if (this.#isSynced) await this.#sync.run(folder);',
    plant: '',
    tests: ['test/storage/durability.test.ts'],
  },
  {
    name: 'a body shorter than announced passes for whole',
    breaks: 'P2',
    file: 'src/stashers/body-steps.ts',
    find: 'if (expectedSize !== undefined && size !== expectedSize)',
    plant: 'if (expectedSize !== undefined && size > expectedSize)',
    tests: ['test/stashers/fill.test.ts'],
  },
  {
    name: 'the promised digest of a body is not looked at',
    breaks: 'P1',
    file: 'src/stashers/body-steps.ts',
    find: 'if (promised === undefined || promised === digest) return;',
    plant: 'if (promised === undefined || promised !== "") return;',
    tests: ['test/stashers/fill.test.ts'],
  },
  {
    name: 'kept blocks are sent unchecked',
    breaks: 'P1',
    file: 'src/storage/verified-body.ts',
    find: 'if (verify && !isBlockIntact(block, blocks, index)) {',
    plant: 'if (verify && block.length === 0 && !isBlockIntact(block, blocks, index)) {',
    tests: ['test/storage/disk-backend.test.ts'],
  },
  {
    name: 'a request field named by Vary does not select',
    breaks: 'P3',
    file: 'src/protocol/vary.ts',
    find: 'if (variant !== entry.variant) continue;',
    plant: '',
    tests: ['test/protocol/vary.test.ts'],
  },
  {
    name: 'a fill that began before a purge is recorded after it',
    breaks: 'P11',
    file: 'src/manifest/purge-memory.ts',
    find: 'if (baseJid < (this.#keys.get(`${namespace}\\0${key}`) ?? 0)) return true;',
    plant: '',
    tests: [
      'test/contract',
      'test/manifest/sqlite-manifest.test.ts',
      'test/stashers/store-stasher.test.ts',
    ],
  },
  {
    name: 'a change sent twice is applied twice',
    breaks: 'P11',
    file: 'src/manifest/change-statements.ts',
    find: "if (applied !== undefined) return { outcome: 'committed', jid: applied, firstSeenAt };",
    plant: '',
    tests: ['test/manifest/sqlite-manifest.test.ts'],
  },
  {
    name: 'a lease that ran out still allows to write',
    breaks: 'P11',
    file: 'src/manifest/halt-queue.ts',
    find: 'if (this.#clock.monotonic() > deadline) {',
    plant: 'if (this.#clock.monotonic() < 0) {',
    tests: ['test/manifest/lock-processes.test.ts', '--grep', 'T-10'],
  },
  {
    name: 'fields that Connection names are handed on',
    breaks: 'P9',
    file: 'src/hop-by-hop.ts',
    find: 'if (!isHopByHop(name) && named?.has(name) !== true) kept.push(line);',
    plant: 'if (!isHopByHop(name)) kept.push(line);',
    tests: ['test/http/edge-requests.test.ts'],
  },
  {
    name: 'a private answer is kept',
    breaks: 'P3',
    file: 'src/protocol/freshness.ts',
    find: "if (directives.has('private')) return 'private';",
    plant: '',
    tests: ['test/protocol/freshness.test.ts'],
  },
  {
    name: 'any secret passes for a peer’s token',
    breaks: 'P10',
    file: 'src/http/peer-tokens.ts',
    find: 'if (timingSafeEqual(hash, shown) && secret !== undefined) found ??= name;',
    plant: 'if (hash.length === shown.length && secret !== undefined) found ??= name;',
    tests: ['test/http/peer-api.test.ts'],
  },
  {
    name: 'a body is evicted while it is read',
    breaks: 'P1',
    file: 'src/storage/eviction-ledger.ts',
    find: 'return this.#options.readers?.isRead(digest) === true;',
    plant: 'return this.#options.readers?.isRead(digest) === undefined;',
    tests: [
      'test/storage/memory-backend.test.ts',
      'test/storage/eviction.test.ts',
      'test/storage/tiered-quota.test.ts',
      'test/storage/s3-quota.test.ts',
    ],
  },
];
