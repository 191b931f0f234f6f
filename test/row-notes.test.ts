import { join } from 'node:path';
import { expect } from 'chai';
import type { CallOptions } from '../src/body.ts';
import type { Rule } from '../src/config/config.ts';
import { ProxyError } from '../src/errors.ts';
import { silentLogger } from '../src/log.ts';
import { RowNotes } from '../src/row-notes.ts';
import { NoneStasher } from '../src/stashers/none-stasher.ts';
import type { Stasher } from '../src/stashers/stasher.ts';
import type { Note, Notes } from '../src/storage/notes.ts';
import { put } from './support/manifest-fixtures.ts';
import { type UpkeepPlace, upkeepPlace } from './support/upkeep-place.ts';

const NODE = 'caje-0123456789abcdef';

/** Notes of a disk that are written once they may be, and not where the caller gave up before. */
class SlowNotes implements Notes {
  readonly #notes: Notes;
  readonly writing = Promise.withResolvers<void>();
  readonly go = Promise.withResolvers<void>();
  /** Writes that fail. */
  failing = 0;

  constructor(notes: Notes) {
    this.#notes = notes;
  }

  async owners(options?: CallOptions): Promise<readonly string[]> {
    return await this.#notes.owners(options);
  }

  async list(owner: string, options?: CallOptions): Promise<readonly Note[]> {
    return await this.#notes.list(owner, options);
  }

  async read(owner: string, name: string, options?: CallOptions): Promise<Buffer | undefined> {
    return await this.#notes.read(owner, name, options);
  }

  async write(owner: string, name: string, bytes: Buffer, options?: CallOptions): Promise<void> {
    this.writing.resolve();
    await this.go.promise;
    if (this.failing-- > 0) throw new ProxyError('unavailable', 'test', 'away');
    await this.#notes.write(owner, name, bytes, options);
  }

  async remove(owner: string, name: string, options?: CallOptions): Promise<void> {
    await this.#notes.remove(owner, name, options);
  }
}

describe('notes of rows, when a node stops', () => {
  let place: UpkeepPlace;

  beforeEach(async () => {
    place = await upkeepPlace();
  });

  afterEach(async () => await place[Symbol.asyncDispose]());

  function begin(notes: Notes): RowNotes {
    const { backend, manifest, clock, folder } = place;
    const store = {
      ...{ name: 'local', notes },
      stat: backend.stat.bind(backend),
      open: backend.open.bind(backend),
    };
    const none = new NoneStasher('keep');
    const keep: Stasher = { ...none, stash: none.stash.bind(none), bodies: store };
    const rowNotes = new RowNotes({
      config: { rules: [{ name: 'site', stash: 'keep' } as Rule] },
      storage: {
        named: async () => await Promise.resolve(backend),
        stasher: async () => await Promise.resolve(keep),
      },
      ...{ manifest, clock, nodeId: NODE, log: silentLogger },
      path: join(folder, 'manifest.db'),
    });
    rowNotes.start();
    return rowNotes;
  }

  it('are written to their end where they are on their way', async () => {
    const notes = new SlowNotes(place.backend.notes);
    const rowNotes = begin(notes);
    await place.manifest.commit([put('a')]);
    void rowNotes.flush(10_000);
    await notes.writing.promise;
    const stopped = rowNotes[Symbol.asyncDispose]();
    notes.go.resolve();
    await stopped;
    expect(await place.backend.notes.list(NODE)).to.have.length(1);
  });

  it('are tried once more where they could not be written before', async () => {
    const notes = new SlowNotes(place.backend.notes);
    notes.failing = 1;
    notes.go.resolve();
    const rowNotes = begin(notes);
    await place.manifest.commit([put('a')]);
    expect(await rowNotes.flush(10_000)).to.equal(false);
    await rowNotes[Symbol.asyncDispose]();
    expect(await place.backend.notes.list(NODE)).to.have.length(1);
  });
});
