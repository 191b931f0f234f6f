import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import type { Notes } from '../../src/storage/notes.ts';

const OWN = 'caje-0123456789abcdef';
const OTHER = 'caje-fedcba9876543210';

/** One place for notes under the contract, and how its inside can be reached. */
export interface NotesFixture {
  readonly notes: Notes;
  /** Another way in to the same place, as after a restart. */
  again(): Promise<Notes>;
  /** Bodies that the backend lists. */
  listed(): Promise<readonly string[]>;
  /** Puts something there that caje did not make, below what all notes begin with. */
  plant(path: string, text: string): Promise<void>;
  /** What of that is still there. Absent: it is gone. */
  planted(path: string): Promise<string | undefined>;
  dispose(): Promise<void>;
}

/** What every place for notes promises. */
export function notesContract(name: string, make: () => Promise<NotesFixture>): void {
  describe(`${name} keeps notes`, () => {
    let fixture: NotesFixture;
    let notes: Notes;

    beforeEach(async () => {
      fixture = await make();
      ({ notes } = fixture);
    });

    afterEach(async () => await fixture?.dispose());

    const write = async (note: string, text: string, owner = OWN): Promise<void> =>
      await notes.write(owner, note, Buffer.from(text));

    it('gives back what was written, also to whoever comes later', async () => {
      await write('0-a', 'one');
      await write('0-b', '');
      expect((await notes.read(OWN, '0-a'))?.toString()).to.equal('one');
      const later = await fixture.again();
      expect((await later.read(OWN, '0-a'))?.toString()).to.equal('one');
      expect((await later.read(OWN, '0-b'))?.length).to.equal(0);
      expect(await later.list(OWN)).to.deep.equal([
        { name: '0-a', size: 3 },
        { name: '0-b', size: 0 },
      ]);
    });

    it('has nothing to say where there is nothing', async () => {
      expect(await notes.read(OWN, '0-a')).to.equal(undefined);
      expect(await notes.list(OWN)).to.deep.equal([]);
      expect(await notes.owners()).to.deep.equal([]);
      await notes.remove(OWN, '0-a');
    });

    it('replaces, removes, and lists in order of name', async () => {
      for (const note of ['0-c', '0-a', '0-b']) await write(note, note);
      await write('0-b', 'another text');
      await notes.remove(OWN, '0-a');
      expect(await notes.list(OWN)).to.deep.equal([
        { name: '0-b', size: 12 },
        { name: '0-c', size: 3 },
      ]);
      expect((await notes.read(OWN, '0-b'))?.toString()).to.equal('another text');
    });

    it('tells owners apart, and are no bodies', async () => {
      await write('0-a', 'mine');
      for (let at = 0; at < 5; at++) await write(`0-${at}`, 'theirs', OTHER);
      expect(await notes.owners()).to.deep.equal([OWN, OTHER]);
      expect((await notes.list(OWN)).map(({ name: note }) => note)).to.deep.equal(['0-a']);
      expect(await notes.list(OTHER)).to.have.length(5);
      await notes.remove(OTHER, '0-0');
      expect((await notes.read(OWN, '0-a'))?.toString()).to.equal('mine');
      expect(await fixture.listed()).to.deep.equal([]);
    });

    it('leaves alone what it did not make', async () => {
      const paths = [`${OWN}/Read Me.txt`, 'someone/0-a', 'stray'];
      for (const path of paths) await fixture.plant(path, 'not ours');
      await write('0-a', 'mine');
      expect(await notes.list(OWN)).to.deep.equal([{ name: '0-a', size: 4 }]);
      expect(await notes.owners()).to.deep.equal([OWN]);
      await notes.remove(OWN, '0-a');
      for (const path of paths) expect(await fixture.planted(path), path).to.equal('not ours');
    });

    it('takes a megabyte, and does nothing for who gave up', async () => {
      const large = Buffer.alloc(1024 * 1024, 'x');
      await notes.write(OWN, '0-a', large);
      expect((await notes.read(OWN, '0-a'))?.equals(large)).to.equal(true);
      const signal = AbortSignal.abort();
      const failure = await notes.write(OWN, '0-b', large, { signal }).catch(kindOf);
      expect(failure).to.equal('aborted');
      expect(await notes.read(OWN, '0-b')).to.equal(undefined);
    });
  });
}
