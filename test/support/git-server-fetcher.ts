import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Clock, SystemClock } from '../../src/clock.ts';
import type { ServiceKey } from '../../src/component.ts';
import { ProxyError } from '../../src/errors.ts';
import { FETCH_LIMIT, FetchLimit } from '../../src/fetchers/fetch-limit.ts';
import type { GoVcsFetcher } from '../../src/fetchers/go-vcs-fetcher.ts';
import { goVcsType } from '../../src/fetchers/go-vcs-type.ts';
import { Metrics } from '../../src/metrics.ts';
import { RecordedLog } from './recorded-log.ts';

/** A go-vcs fetcher made by its type, with what it was given. */
export interface VcsPlace extends AsyncDisposable {
  readonly fetcher: GoVcsFetcher;
  readonly dataDir: string;
  readonly log: RecordedLog;
  readonly metrics: Metrics;
  /** Paths of all files and folders that its jobs have now, relative to `dataDir`. */
  files(): readonly string[];
}

/** How a fetcher is made. */
export interface VcsPlaceOptions {
  readonly dataDir: string;
  /** As a configuration has them. */
  readonly options?: object | undefined;
  /** What its process's environment says besides; '' for nothing. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly clock?: Clock | undefined;
}

/** Makes one. */
export async function vcsPlace(place: VcsPlaceOptions): Promise<VcsPlace> {
  const { dataDir, options = {}, clock = new SystemClock() } = place;
  const log = new RecordedLog();
  const metrics = new Metrics();
  const limit = new FetchLimit({ concurrent: 64, clock, metrics });
  const before = { ...process.env };
  Object.assign(process.env, place.env);
  try {
    const fetcher = await (goVcsType.create(goVcsType.options.parse(options), {
      name: 'vcs',
      clock,
      log,
      metrics,
      dataDir,
      baseDir: dataDir,
      nodeId: 'caje-0000000000000000',
      component: async () => {
        throw new ProxyError('invalid', 'test', 'there is no other component');
      },
      service: <S>(key: ServiceKey<S>): S => {
        if ((key as ServiceKey<unknown>) !== FETCH_LIMIT)
          throw new ProxyError('internal', 'test', 'there is no other service');
        return limit as S;
      },
    }) as Promise<GoVcsFetcher>);
    return {
      fetcher,
      dataDir,
      log,
      metrics,
      files: () => filesBelow(join(dataDir, 'go-vcs')),
      [Symbol.asyncDispose]: async () => await fetcher[Symbol.asyncDispose](),
    };
  } finally {
    for (const name of Object.keys(place.env ?? {})) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  }
}

/** Command lines of processes that run in a folder or name it. */
export function processesOf(folder: string): readonly string[] {
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid)
    .flatMap((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
        const where = readlinkSync(`/proc/${pid}/cwd`);
        return line.includes(folder) || where.startsWith(folder) ? [line] : [];
      } catch {
        return [];
      }
    });
}

/** Resolves once `test` holds; fails after 15 s, since programs begin slowly on a busy machine. */
export async function eventually(test: () => boolean): Promise<void> {
  const end = performance.now() + 15_000;
  while (!test()) {
    if (performance.now() > end) throw new Error(`never came true: ${test}`);
    await delay(5);
  }
}

function filesBelow(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { recursive: true }).map(String);
  } catch {
    return [];
  }
}
