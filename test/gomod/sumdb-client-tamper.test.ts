import { expect } from 'chai';
import { SumdbClient } from '../../src/gomod/sumdb-client.ts';
import { recordHash } from '../../src/gomod/tlog.ts';
import { Random } from '../support/random.ts';
import { SumdbLog, SumdbServer, sumdbReader, sumdbSigner, sumOf } from '../support/sumdb.ts';
import {
  addExamples,
  exampleLog,
  exampleLookup,
  exampleModule,
  exampleSums,
  failureOf,
} from './sumdb-examples.ts';

/** One case: what the database does from now on; gives the record to ask for. */
type Attack = (scene: Scene) => number | Promise<number>;

interface Scene {
  readonly random: Random;
  readonly server: SumdbServer;
  readonly client: SumdbClient;
  /** The honest log, of 1 to 600 records. */
  readonly log: SumdbLog;
}

/** Milliseconds for the cases of one kind on a busy machine. */
const SLOW_MS = 60_000;
/** Cases of each kind; there are 16 kinds. */
const CASES = 30;

describe('SumdbClient against a database that lies', function () {
  this.timeout(SLOW_MS);

  const signer = sumdbSigner('sums.example.org');
  const stranger = sumdbSigner('sums.example.org');
  const random = new Random();
  let server: SumdbServer;

  before(async () => {
    server = await SumdbServer.start(new SumdbLog(signer));
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
  });

  const attacks: Readonly<Record<string, Attack>> = {
    'flips a byte of a look-up': (scene) => {
      spoilLookups(scene, (body) => flipped(body, scene.random));
      return someRecord(scene);
    },
    'flips a byte of a tree': (scene) => {
      spoilLookups(scene, (body) => {
        const start = body.indexOf('\n\n') + 2;
        return Buffer.concat([
          body.subarray(0, start),
          flipped(body.subarray(start), scene.random),
        ]);
      });
      return someRecord(scene);
    },
    'flips a byte of a tile': (scene) => {
      const victim = { left: scene.random.integer(0, tilesOf(scene.log.now) - 1) };
      scene.server.spoil = (path, body) => {
        if (!path.startsWith('/tile/') || !body || victim.left-- !== 0) return body;
        return flipped(body, scene.random);
      };
      return someRecord(scene);
    },
    'flips the same byte of a tile for ever': (scene) => {
      const id = someRecord(scene);
      const place = scene.random.integer(0, 1e6);
      const tile = scene.random.chance(0.5) ? '/tile/8/0/' : '/tile/8/';
      scene.server.spoil = (path, body) =>
        path.startsWith(tile) && body ? flippedAt(body, place % body.length, 0x40) : body;
      return id;
    },
    'cuts or lengthens a tile': (scene) => {
      const more = scene.random.bytes(scene.random.integer(1, 64));
      const cut = scene.random.chance(0.5);
      scene.server.spoil = (path, body) => {
        if (!path.startsWith('/tile/') || !body) return body;
        return cut
          ? body.subarray(0, body.length - Math.min(more.length, body.length))
          : Buffer.concat([body, more]);
      };
      return someRecord(scene);
    },
    'cuts a look-up': (scene) => {
      spoilLookups(scene, (body) => body.subarray(0, scene.random.integer(0, body.length - 1)));
      return someRecord(scene);
    },
    'signs with another key of the same name': (scene) => {
      const { log } = scene;
      const line = stranger.sign(log.signed().slice(0, log.signed().indexOf('\n\n') + 1));
      spoilLookups(scene, (body) => Buffer.from(`${unsigned(body)}${line}\n`));
      return someRecord(scene);
    },
    'drops the signature': (scene) => {
      const end = scene.random.pick(['', '\n', `${stranger.sign('x\n')}\n`]);
      spoilLookups(scene, (body) => Buffer.from(unsigned(body) + end));
      return someRecord(scene);
    },
    'gives a tree from before the record': (scene) => {
      const id = someRecord(scene);
      const size = scene.random.integer(0, id);
      spoilLookups(scene, (body) => Buffer.from(withoutTree(body) + scene.log.signed(size)));
      return id;
    },
    'signs something that is no tree': (scene) => {
      const text = scene.random.pick([
        'hello\n',
        'go.sum database tree\n',
        'go.sum database tree\n7\nAAAA\n',
      ]);
      spoilLookups(scene, (body) => Buffer.from(withoutTree(body) + scene.log.signText(text)));
      return someRecord(scene);
    },
    'gives a record another number': (scene) => {
      const id = someRecord(scene);
      const other = scene.random.pick([
        id + 1,
        Math.max(0, id - 1),
        id + scene.log.now,
        scene.random.integer(0, 1e9),
      ]);
      const wrong = other === id ? id + 1 : other;
      spoilLookups(scene, (body) => Buffer.from(body.toString().replace(/^\d+/, String(wrong))));
      return id;
    },
    'writes other sums into a record': (scene) => {
      const id = someRecord(scene);
      const { zip, mod } = exampleSums(id);
      const sum = scene.random.pick([zip, mod]);
      spoilLookups(scene, (body) => Buffer.from(body.toString().replace(sum, sumOf('other'))));
      return id;
    },
    'puts a record of its own into a tile': (scene) => {
      const { log } = scene;
      if (log.now < 300) addExamples(log, 300);
      // In a full tile, which only the tile above proves, or in the last one.
      const id = scene.random.chance(0.7) ? scene.random.integer(0, 255) : log.now - 1;
      const tile = `/tile/8/0/00${Math.floor(id / 256)}`;
      const text = log.entries[id]?.text.replace(exampleSums(id).zip, sumOf('other')) ?? '';
      const forged = recordHash(Buffer.from(text));
      scene.server.spoil = (path, body) => {
        if (path === exampleLookup(id)) return Buffer.from(`${id}\n${text}\n${log.signed()}`);
        if (path.startsWith(tile) && body) forged.copy(body, (id % 256) * forged.length);
        return body;
      };
      return id;
    },
    'gives the record of another module': (scene) => {
      addExamples(scene.log, scene.log.now + 1);
      const id = someRecord(scene);
      const other = (id + scene.random.integer(1, scene.log.now - 1)) % scene.log.now;
      scene.server.spoil = (path, body) =>
        path === exampleLookup(id) ? scene.log.answer(exampleLookup(other)) : body;
      return id;
    },
    'forks its log after it was seen': async (scene) => {
      const { log } = scene;
      const seen = log.now;
      const id = someRecord(scene);
      await scene.client.lookup(exampleModule(id), `v1.0.${id}`);
      const keep = scene.random.integer(0, seen - 1);
      const fork = log.fork(keep);
      // At least as long: of a log that only shrank the client could not tell more than that tiles are missing.
      addExamples(fork, scene.random.integer(seen, 650), 'forked\n');
      fork.dropsParts = scene.random.chance(0.5);
      scene.server.log = fork;
      // One that the client has not kept, on either side of the fork.
      const asked = scene.random.integer(0, fork.now - 1);
      return asked === id ? (id + 1) % fork.now : asked;
    },
    'forks its log for an earlier tree': async (scene) => {
      const { log } = scene;
      addExamples(log, log.now + 2);
      const last = log.now - 1;
      await scene.client.lookup(exampleModule(last), `v1.0.${last}`);
      const keep = scene.random.integer(0, last - 1);
      const fork = log.fork(keep);
      addExamples(fork, last, 'forked\n');
      const id = scene.random.integer(0, last - 1);
      spoilLookups(scene, () => fork.answer(exampleLookup(id)));
      return id;
    },
  };

  for (const [what, attack] of Object.entries(attacks)) {
    it(`believes none that ${what}, and pins nothing of it`, async () => {
      for (let i = 0; i < CASES; i++) {
        const log = exampleLog(signer, random.integer(1, random.pick([3, 300, 600])));
        log.dropsParts = random.chance(0.3);
        server.log = log;
        server.spoil = undefined;
        server.requests.length = 0;
        const client = new SumdbClient({ key: signer.key, read: sumdbReader(server.url) });
        const id = await attack({ random, server, client, log });
        const failure = await failureOf(client.lookup(exampleModule(id), `v1.0.${id}`));
        const about = `case ${i}, record ${id} of ${log.now}: ${failure.message}`;
        expect(failure, about).to.have.property('kind', 'integrity');
        expect(failure.message).to.match(
          /^example\.com\/Mod\d@v1\.0\.\d+: checksum database sums\.example\.org: [^\n]+$/,
        );
        server.log = log;
        server.spoil = undefined;
        const honest = id % log.now;
        const found = await client.lookup(exampleModule(honest), `v1.0.${honest}`);
        expect(found, about).to.deep.include(exampleSums(honest));
      }
    });
  }

  it('believes one of two logs that continue the same at the same time', async () => {
    const log = exampleLog(signer, 100);
    server.log = log;
    server.spoil = undefined;
    const client = new SumdbClient({ key: signer.key, read: sumdbReader(server.url) });
    await client.lookup(exampleModule(0), 'v1.0.0');
    const fork = log.fork(150);
    addExamples(log, 200);
    addExamples(fork, 250, 'forked\n');
    server.spoil = (path, body) =>
      path === exampleLookup(20) || path.endsWith('.p/250') ? fork.answer(path) : body;
    const both = await Promise.allSettled(
      [10, 20].map(async (id) => await client.lookup(exampleModule(id), `v1.0.${id}`)),
    );
    const failed = both.flatMap((one) => (one.status === 'rejected' ? [one.reason as Error] : []));
    expect(failed.map(({ message }) => /its log forked/.test(message))).to.deep.equal([true]);
  });

  it('says that a log forked, and goes on with the honest one when it grows', async () => {
    const log = exampleLog(signer, 300);
    server.log = log;
    server.spoil = undefined;
    const client = new SumdbClient({ key: signer.key, read: sumdbReader(server.url) });
    await client.lookup(exampleModule(299), 'v1.0.299');
    const fork = log.fork(10);
    addExamples(fork, 600, 'forked\n');
    server.log = fork;
    const failure = await failureOf(client.lookup(exampleModule(1), 'v1.0.1'));
    expect(failure.message).to.match(/its log forked: signed trees of 300 and 600 records/);
    // Tiles of the same names now have other contents.
    addExamples(log, 600);
    server.log = log;
    for (const id of [1, 400, 599])
      expect(await client.lookup(exampleModule(id), `v1.0.${id}`)).to.deep.include(exampleSums(id));
  });
});

function someRecord({ random, log }: Scene): number {
  return random.integer(0, log.now - 1);
}

/** Tiles that every look-up in a new client reads at least: the right edge. */
function tilesOf(size: number): number {
  return Math.max(1, (size % 256 === 0 ? 0 : 1) + (size >= 256 ? 1 : 0));
}

function spoilLookups({ server }: Scene, spoil: (body: Buffer) => Buffer | undefined): void {
  server.spoil = (path, body) => (path.startsWith('/lookup/') && body ? spoil(body) : body);
}

/** A look-up's answer up to where its tree begins. */
function withoutTree(body: Buffer): string {
  return body.toString('utf8', 0, body.indexOf('\n\n') + 2);
}

/** A look-up's answer up to where its signatures begin. */
function unsigned(body: Buffer): string {
  return body.toString('utf8', 0, body.lastIndexOf('\n\n') + 2);
}

function flipped(body: Buffer, random: Random): Buffer {
  return flippedAt(body, random.integer(0, body.length - 1), random.integer(1, 255));
}

function flippedAt(body: Buffer, place: number, mask: number): Buffer {
  const copy = Buffer.from(body);
  copy[place] = (copy[place] ?? 0) ^ mask;
  return copy;
}
