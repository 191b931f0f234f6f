import { join } from 'node:path';
import {
  type Bench,
  type Comparison,
  median,
  numberOf,
  type Row,
  ratio,
  type Settings,
  tempFolder,
} from './support/bench.ts';
import { downloadThrough, goSetting, graphModules } from './support/go-command.ts';
import { goGraphFolder } from './support/go-graph.ts';
import { startGoPeers } from './support/go-peers.ts';
import { laySumdb, sumdbName } from './support/go-sumdb.ts';
import { cpuSecondsFor } from './support/settle.ts';
import { startNginx } from './support/start-nginx.ts';
import { startScript } from './support/start-script.ts';
import { warmUpGo } from './support/warm-up-go.ts';

const COLD_TARGET = 1.1;
const CPU_TARGET = 3;
/** Once cold, then warm. */
const WARM_UPS = 4;

interface Download {
  readonly seconds: number[];
  readonly cpu: number[];
  /** That reached the origin. */
  readonly requests: number[];
}

interface Asked {
  /** Of the proxy. */
  readonly pid: number;
  readonly url: string;
  readonly originUrl: string;
  /** GOSUMDB. Absent: off. */
  readonly sumdb: string | undefined;
}

interface Measured {
  readonly name: string;
  readonly cold: Download;
  readonly warm: Download;
}

/** What one latency of the origin gave. */
interface Setting {
  readonly latency: number;
  readonly direct: Download;
  readonly plain: Download;
  readonly peers: readonly Measured[];
}

/** The go command downloads a whole graph through each proxy. */
export const goDownload: Bench = {
  name: 'go-download',
  question:
    'Seconds of `go mod download all` of 170 modules (180 MB) with an empty module cache in memory: from the registry itself, through caje and nginx proxy_cache cold and warm, and from a plain file server; CPU seconds of the proxy (until it has settled) and requests that reach the registry. The registry answers after each of the latencies, in ms. Nodes have served the whole graph four times before, at another path. With sumdb on there is no go.sum, and the checksum database is asked through the proxy.',
  settings: { rounds: '3', latencies: '0,10', sumdb: 'off' },
  run,
};

async function run(settings: Settings): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const modules = await goGraphFolder();
  const sumdb = settings['sumdb'] === 'on' ? await sumdbName() : undefined;
  if (sumdb !== undefined) await laySumdb(modules);
  const folder = stack.use(await tempFolder()).path;
  const origin = stack.use(await startScript('go-folder', [modules]));
  const latencies = (settings['latencies'] ?? '').split(',').map(Number);
  const rounds = numberOf(settings, 'rounds');
  const runs = latencies.length * rounds;
  const peers = await startGoPeers(
    { folder, originUrl: origin.url, runs: runs + 1, unverified: true, sumdb },
    stack,
  );
  for (const peer of peers) {
    if (peer.name.startsWith('caje')) await warmUpGo(await peer.empty(runs), modules, WARM_UPS);
  }
  const server = `\n    location / { root ${modules}; }`;
  const plain = stack.use(await startNginx({ folder: join(folder, 'plain'), server }));
  const results = latencies.map(
    (latency): Setting => ({
      latency,
      direct: noDownload(),
      plain: noDownload(),
      peers: peers.map(({ name }) => ({ name, cold: noDownload(), warm: noDownload() })),
    }),
  );
  const asked = { originUrl: origin.url, sumdb: sumdb && (await goSetting('GOSUMDB')) };
  let next = 0;
  for (let round = 0; round < rounds; round++) {
    for (const setting of results) {
      await tell(origin.url, `latency/${setting.latency}`);
      const own = next++;
      await add(setting.direct, { ...asked, pid: origin.pid, url: `${origin.url}/${own}` });
      await add(setting.plain, { ...asked, pid: plain.pid, url: plain.url });
      for (const [index, peer] of peers.entries()) {
        const measured = setting.peers[index] as Measured;
        const url = await peer.empty(own);
        const through = { ...asked, pid: peer.pid, url };
        await add(measured.cold, through);
        await add(measured.warm, through);
      }
    }
  }
  const count = await graphModules();
  return results.flatMap((setting) => rowsOf(setting, count));
}

/** One download through a proxy, and what it cost. */
async function add(download: Download, { pid, url, originUrl, sumdb }: Asked): Promise<void> {
  const before = await tell(originUrl, 'count');
  const cpu = await cpuSecondsFor(pid, async () => {
    download.seconds.push(await downloadThrough(url, sumdb));
  });
  download.cpu.push(cpu);
  download.requests.push((await tell(originUrl, 'count')) - before);
}

/** Gives the number of requests so far. */
async function tell(originUrl: string, what: string): Promise<number> {
  return Number(await (await fetch(`${originUrl}/${what}`)).text());
}

function noDownload(): Download {
  return { seconds: [], cpu: [], requests: [] };
}

function rowsOf({ latency, direct, plain, peers }: Setting, count: number): Row[] {
  const of = (figure: string): string => `${figure}, ${latency} ms`;
  const nginx = peers.find(({ name }) => name === 'nginx');
  const rows: Row[] = [
    {
      peer: 'registry, asked directly',
      figure: of('s cold'),
      rounds: direct.seconds,
      note: `${count} modules, ${median(direct.requests)} requests`,
    },
    {
      peer: 'nginx, plain files',
      figure: of('s warm'),
      rounds: plain.seconds,
      cpuSeconds: sum(plain.cpu),
    },
  ];
  for (const { name, cold, warm } of peers) {
    const target = <T>(value: T): { target?: T } => (name === 'caje' ? { target: value } : {});
    rows.push({
      peer: name,
      figure: of('s cold'),
      rounds: cold.seconds,
      comparison: {
        what: '× direct',
        value: ratio(cold.seconds, direct.seconds),
        // A registry without any latency is nobody's.
        ...(latency > 0 && target({ atMost: COLD_TARGET })),
      },
    });
    rows.push({
      peer: name,
      figure: of('s warm'),
      rounds: warm.seconds,
      comparison: { what: '× plain files', value: ratio(warm.seconds, plain.seconds) },
    });
    rows.push(cpuRow(name, of('CPU s cold'), cold, nginx?.cold, {}));
    rows.push(cpuRow(name, of('CPU s warm'), warm, nginx?.warm, target({ atMost: CPU_TARGET })));
    rows.push({
      peer: name,
      figure: of('requests cold'),
      rounds: cold.requests,
      comparison: {
        what: '× direct',
        value: Math.max(...cold.requests) / Math.max(...direct.requests),
        ...target({ atMost: 1 }),
      },
    });
    rows.push({
      peer: name,
      figure: of('requests warm'),
      rounds: warm.requests,
      comparison: {
        what: 'at most',
        value: Math.max(...warm.requests),
        ...target({ atMost: 0 }),
      },
    });
  }
  return rows;
}

/** The clock that counts CPU time has ticks of 10 ms, so sums of all rounds are compared. */
function cpuRow(
  peer: string,
  figure: string,
  { cpu }: Download,
  nginx: Download | undefined,
  target: Pick<Comparison, 'target'>,
): Row {
  const row: Row = { peer, figure, rounds: cpu, cpuSeconds: sum(cpu) };
  if (peer === 'nginx' || nginx === undefined) return row;
  const value = sum(cpu) / sum(nginx.cpu);
  return { ...row, comparison: { what: '× nginx', value, ...target } };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
