import {
  type Bench,
  median,
  numberOf,
  type Row,
  type Settings,
  tempFolder,
} from './support/bench.ts';
import { startGoPeers } from './support/go-peers.ts';
import {
  readZipModulePath,
  type ZipModule,
  zipModulePath,
  zipModulePieces,
} from './support/go-zip-module.ts';
import { type Answer, expectOk, KeepAliveClient } from './support/keep-alive-client.ts';
import { cpuSecondsFor } from './support/settle.ts';
import { startScript } from './support/start-script.ts';

const SLASH = '/';
const WARM_UP = 200;
const SMALL: ZipModule = { bytes: 64 * 1024, bytesPerSecond: 0 };

interface Measured {
  readonly name: string;
  readonly alone: number[];
  /** Of the last client, one value per round; the others likewise. */
  readonly last: number[];
  readonly medianFirstByte: number[];
  readonly lastFirstByte: number[];
  readonly fetches: number[];
  cpu: number;
}

/** Many clients on one cold zip. */
export const goHerd: Bench = {
  name: 'go-herd',
  question:
    'Clients that ask at the same moment for one zip of 40 MB that the module proxy does not have, from a registry that sends 40 MB/s: fetches from the registry, the last byte of the last client beside that of a client alone, and when the bodies begin, also as a share of the time that the fill takes.',
  settings: { rounds: '3', clients: '32', bytes: '40000000', rate: '40000000' },
  run,
};

async function run(settings: Settings): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder()).path;
  const origin = stack.use(await startScript('go-zips'));
  const peers = await startGoPeers({ folder, originUrl: origin.url, runs: 1 }, stack);
  const module: ZipModule = {
    bytes: numberOf(settings, 'bytes'),
    bytesPerSecond: numberOf(settings, 'rate'),
  };
  const results = peers.map(
    ({ name }): Measured => ({
      name,
      alone: [],
      last: [],
      medianFirstByte: [],
      lastFirstByte: [],
      fetches: [],
      cpu: 0,
    }),
  );
  for (const peer of peers) {
    const url = await peer.empty(0);
    for (let at = 0; at < WARM_UP; at++) await askTogether(url, zipModulePath(SMALL, at, 'zip'), 1);
  }
  let next = 0;
  for (let round = 0; round < numberOf(settings, 'rounds'); round++) {
    for (const [index, peer] of peers.entries()) {
      const measured = results[index] as Measured;
      const url = await peer.empty(0);
      const [alone] = await askTogether(url, zipModulePath(module, next++, 'zip'), 1);
      measured.alone.push(alone?.lastByteMs ?? Number.NaN);
      const path = zipModulePath(module, next++, 'zip');
      measured.cpu += await cpuSecondsFor(peer.pid, async () => {
        const answers = await askTogether(url, path, numberOf(settings, 'clients'));
        const firstBytes = answers.map(({ firstByteMs }) => firstByteMs);
        measured.last.push(Math.max(...answers.map(({ lastByteMs }) => lastByteMs)));
        measured.medianFirstByte.push(median(firstBytes));
        measured.lastFirstByte.push(Math.max(...firstBytes));
      });
      measured.fetches.push(await fetchesOf(origin.url, path));
    }
  }
  return results.flatMap(rowsOf);
}

async function askTogether(url: string, path: string, count: number): Promise<Answer[]> {
  const asked = readZipModulePath(path);
  if (asked === undefined) throw new Error(`${path} is no zip`);
  const expected = Buffer.concat(zipModulePieces(asked.module, asked.version));
  const base = new URL(url).pathname;
  const full = (base === SLASH ? '' : base) + path;
  const check = (piece: Buffer, offset: number): void => {
    if (expected.compare(piece, 0, piece.length, offset, offset + piece.length) !== 0) {
      throw new Error(`${path} has wrong bytes from ${offset} on`);
    }
  };
  const clients = await Promise.all(
    Array.from({ length: count }, async () => await KeepAliveClient.connect(url)),
  );
  try {
    return await Promise.all(
      clients.map(async (client) => expectOk(await client.get(full, check), full)),
    );
  } finally {
    for (const client of clients) client.close();
  }
}

async function fetchesOf(originUrl: string, path: string): Promise<number> {
  const response = await fetch(`${originUrl}/counts`);
  const counts = (await response.json()) as Readonly<Record<string, number>>;
  return Object.entries(counts)
    .filter(([asked]) => asked.endsWith(path))
    .reduce((sum, [, count]) => sum + count, 0);
}

function rowsOf(measured: Measured): Row[] {
  const { name: peer, alone, last, medianFirstByte, lastFirstByte, fetches, cpu } = measured;
  const isCaje = peer === 'caje';
  const aloneMs = median(alone);
  const ofFill = '× the time of the fill';
  return [
    {
      peer,
      figure: 'ms to the last byte of the last client',
      rounds: last,
      cpuSeconds: cpu,
      comparison: {
        what: `× one client (${Math.round(aloneMs)} ms)`,
        value: median(last) / aloneMs,
      },
    },
    {
      peer,
      figure: 'ms to the first byte, median client',
      rounds: medianFirstByte,
      comparison: { what: ofFill, value: median(medianFirstByte) / aloneMs },
    },
    {
      peer,
      figure: 'ms to the first byte, last client',
      rounds: lastFirstByte,
      comparison: {
        what: ofFill,
        value: median(lastFirstByte) / aloneMs,
        // All are streamed: none waits until the zip is whole.
        ...(isCaje && { target: { atMost: 0.5 } }),
      },
    },
    {
      peer,
      figure: 'fetches from the registry',
      rounds: fetches,
      comparison: {
        what: 'at most',
        value: Math.max(...fetches),
        ...(isCaje && { target: { atMost: 1 } }),
      },
    },
  ];
}
