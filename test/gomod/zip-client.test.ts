import { Readable } from 'node:stream';
import { expect } from 'chai';
import { goModHash } from '../../src/gomod/dirhash.ts';
import { hashModuleZip } from '../../src/gomod/zip-hash.ts';
import type { ZipFindings } from '../../src/gomod/zip-verdict.ts';
import { GoClient, goMissing } from '../support/go-command.ts';
import { GoRegistry } from '../support/go-registry.ts';

import { pieces } from '../support/pieces.ts';
import { Random } from '../support/random.ts';
import { skipUnless } from '../support/skip.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { badZips, goodZips, plainZip, type ZipCase } from './zip-cases.ts';

/** What the go command says of one module. */
interface Downloaded {
  readonly Path: string;
  readonly Sum?: string;
  readonly GoModSum?: string;
  readonly Error?: string;
}

interface Compared {
  readonly found: ZipFindings;
  readonly client: Downloaded;
  readonly mod: Buffer;
}

const VERSION = 'v1.0.0';
const CUTS = 50;
const FLIPS = 200;

// Every verdict here is held against that of the real go command, which sees all zips in one run.
describe('Go module zips and the go command', function () {
  this.timeout(120_000);
  const random = new Random();
  const compared = new Map<string, Compared>();
  const good = goodZips();
  const bad = badZips();

  before(async function () {
    skipUnless(this, goMissing() === undefined, goMissing() ?? '');
    const cases: ZipCase[] = [...good, ...bad];
    for (let i = 0; i < CUTS; i++)
      cases.push({ title: `cut ${i}`, make: (prefix) => cut(plainZip(prefix), random) });
    for (let i = 0; i < FLIPS; i++)
      cases.push({ title: `flip ${i}`, make: (prefix) => flip(plainZip(prefix), random) });
    const reached = await compare(cases, random);
    for (const [title, one] of reached) compared.set(title, one);
  });

  const of = (title: string): Compared => {
    const one = compared.get(title);
    if (one === undefined) throw new Error(`nothing was compared for ${title}`);
    return one;
  };

  for (const { title } of good) {
    it(`agree on ${title}`, () => {
      const { found, client, mod } = of(title);
      expect(client.Error).to.equal(undefined);
      expect(found).to.deep.equal({ h1: client.Sum });
      expect(client.Sum).to.match(/^h1:/);
      expect(goModHash(mod)).to.equal(client.GoModSum);
    });
  }

  for (const { title } of bad) {
    it(`refuse ${title}`, () => {
      const { found, client } = of(title);
      expect(client.Error, 'the client').to.be.a('string');
      expect(found.problem, JSON.stringify(found)).to.be.a('string').and.not.include('\n');
      expect(found.unknown).to.equal(undefined);
    });
  }

  it(`refuse zips that were cut anywhere, seed ${random.seed}`, () => {
    for (let i = 0; i < CUTS; i++) {
      const { found, client } = of(`cut ${i}`);
      expect(client.Error).to.be.a('string');
      expect(found.problem).to.be.a('string');
    }
  });

  it(`agree on zips with one bit flipped, seed ${random.seed}`, () => {
    const untold: string[] = [];
    for (let i = 0; i < FLIPS; i++) {
      const { found, client } = of(`flip ${i}`);
      const both = `${i}: ${JSON.stringify(found)} and ${JSON.stringify(client)}`;
      if (found.unknown !== undefined) untold.push(found.unknown);
      else if (client.Error === undefined) expect(found, both).to.deep.equal({ h1: client.Sum });
      else expect(found.problem, both).to.be.a('string');
    }
    // A header that runs behind the end is all that is left open of so short a zip.
    expect(untold.length, untold.join('\n')).to.be.below(FLIPS / 20);
  });
});

async function compare(cases: readonly ZipCase[], random: Random): Promise<Map<string, Compared>> {
  await using folder = await tempFolder();
  await using registry = await GoRegistry.start();
  const env = { GOSUMDB: 'off', GONOSUMDB: '*' };
  const client = await GoClient.create({ folder: folder.path, proxy: registry.url, env });
  const found = new Map<string, Omit<Compared, 'client'> & { readonly title: string }>();
  for (const [i, { title, make }] of cases.entries()) {
    const module = `example.com/case${i}`;
    const zip = make(`${module}@${VERSION}/`);
    const mod = Buffer.from(`module ${module}\n`);
    registry.put(`/${module}/@v/${VERSION}.info`, JSON.stringify({ Version: VERSION }));
    registry.put(`/${module}/@v/${VERSION}.mod`, mod);
    registry.put(`/${module}/@v/${VERSION}.zip`, zip);
    const body = Readable.from(pieces(zip, random.integer(1, 100) * random.integer(1, 100)));
    found.set(module, {
      title,
      mod,
      found: await hashModuleZip(body, { module, version: VERSION }),
    });
  }
  const named = [...found.keys()].map((module) => `${module}@${VERSION}`);
  const { stdout } = await client.try(folder.path, 'mod', 'download', '-json', ...named);
  const compared = new Map<string, Compared>();
  for (const text of stdout.split(/(?<=^\})\n/m)) {
    if (text.trim() === '') continue;
    const answer = JSON.parse(text) as Downloaded;
    const one = found.get(answer.Path);
    if (one !== undefined) compared.set(one.title, { ...one, client: answer });
  }
  return compared;
}

function cut(zip: Buffer, random: Random): Buffer {
  return zip.subarray(0, random.integer(0, zip.length - 1));
}

function flip(zip: Buffer, random: Random): Buffer {
  const flipped = Buffer.from(zip);
  const at = random.integer(0, zip.length - 1);
  flipped[at] = (flipped[at] ?? 0) ^ (1 << random.integer(0, 7));
  return flipped;
}
