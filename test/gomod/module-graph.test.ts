import { expect } from 'chai';
import type { ModuleVersion, Replacement } from '../../src/gomod/go-mod-file.ts';
import { ModuleGraph } from '../../src/gomod/module-graph.ts';

const version = (name: string): ModuleVersion => {
  const [module = '', tag = ''] = name.split('@');
  return { module, version: tag };
};
const versions = (names: readonly string[]): ModuleVersion[] => names.map(version);

/** Files by version: the line of the language, then what they require. */
type Files = Readonly<Record<string, readonly [go: string | undefined, ...requires: string[]]>>;

interface Main {
  readonly pruned?: boolean;
  readonly roots: readonly string[];
  readonly replaces?: readonly Replacement[];
  readonly excludes?: readonly string[];
}

/** Walks a whole graph and gives what was read, in order, and what is selected. */
function walk(files: Files, main: Main): { read: string[]; selected: string[] } {
  const { pruned = true, roots, replaces = [], excludes = [] } = main;
  const graph = new ModuleGraph({ pruned, replaces, excludes: versions(excludes) });
  const queue = [...graph.addRoots(versions(roots))];
  const read: string[] = [];
  for (let at = 0; at < queue.length; at += 1) {
    const one = queue[at] as ModuleVersion;
    const name = `${one.module}@${one.version}`;
    read.push(name);
    const [go, ...requires] = files[name] ?? ['1.24'];
    queue.push(...graph.read(one, { go, requires: versions(requires) }));
  }
  const selected = graph.selected().map((one) => `${one.module}@${one.version}`);
  return { read, selected };
}

describe('ModuleGraph', () => {
  const files: Files = {
    'a@v1.0.0': ['1.24', 'b@v1.0.0'],
    'b@v1.0.0': ['1.24', 'c@v1.0.0'],
    'c@v1.0.0': ['1.24', 'd@v1.0.0'],
    'old@v1.0.0': ['1.16', 'b@v1.0.0'],
  };

  it('follows a pruned module one step', () => {
    expect(walk(files, { roots: ['a@v1.0.0'] }).read).to.deep.equal(['a@v1.0.0', 'b@v1.0.0']);
  });

  it('follows a module from before pruning all the way, whatever stands below it', () => {
    const all = ['old@v1.0.0', 'b@v1.0.0', 'c@v1.0.0', 'd@v1.0.0'];
    expect(walk(files, { roots: ['old@v1.0.0'] }).read).to.deep.equal(all);
  });

  it('goes on below a module that was first met where nothing below it counted', () => {
    const { read } = walk(files, { roots: ['a@v1.0.0', 'old@v1.0.0'] });
    expect(read).to.have.members(['a@v1.0.0', 'old@v1.0.0', 'b@v1.0.0', 'c@v1.0.0', 'd@v1.0.0']);
  });

  it('follows everything for a main module from before pruning', () => {
    const main = { pruned: false, roots: ['a@v1.0.0'] };
    expect(walk(files, main).read).to.deep.equal(['a@v1.0.0', 'b@v1.0.0', 'c@v1.0.0', 'd@v1.0.0']);
  });

  it('reads each version once though modules require each other', () => {
    const round: Files = {
      'a@v1.0.0': [undefined, 'b@v1.0.0'],
      'b@v1.0.0': [undefined, 'a@v1.1.0'],
      'a@v1.1.0': [undefined, 'b@v1.0.0'],
    };
    const { read, selected } = walk(round, { roots: ['a@v1.0.0'] });
    expect(read).to.deep.equal(['a@v1.0.0', 'b@v1.0.0', 'a@v1.1.0']);
    expect(selected).to.deep.equal(['a@v1.1.0', 'b@v1.0.0']);
  });

  it('reads what replaces a module, nothing for a folder, nothing that is excluded', () => {
    const { read, selected } = walk(files, {
      roots: ['a@v1.0.0', 'x@v1.0.0', 'y@v1.0.0', 'z@v1.0.0', 'z@v1.1.0'],
      replaces: [
        { module: 'x', by: version('fork@v2.0.0') },
        { module: 'y', version: 'v1.0.0', by: { folder: '../y' } },
        { module: 'z', version: 'v1.1.0', by: version('zz@v1.0.0') },
      ],
      excludes: ['b@v1.0.0'],
    });
    expect(read).to.deep.equal(['a@v1.0.0', 'fork@v2.0.0', 'z@v1.0.0', 'zz@v1.0.0']);
    expect(selected).to.deep.equal(['a@v1.0.0', 'fork@v2.0.0', 'zz@v1.0.0']);
  });

  it('gives up on a graph without end', () => {
    const graph = new ModuleGraph({ pruned: false, replaces: [], excludes: [] });
    graph.addRoots(versions(['a@v1.0.0']));
    const requires = Array.from({ length: 60_000 }, (_, at) => version(`a@v1.0.${at + 1}`));
    expect(() => graph.read(version('a@v1.0.0'), { requires })).to.throw(
      /more than 50000 versions/,
    );
  });
});
