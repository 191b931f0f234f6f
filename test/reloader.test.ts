import { expect } from 'chai';
import type { Config } from '../src/config/config.ts';
import type { LogLevel } from '../src/log.ts';
import { Metrics } from '../src/metrics.ts';
import { Reloader, type ReloadSource } from '../src/reload.ts';
import { RecordedLog } from './support/recorded-log.ts';

type Tree = Readonly<Record<string, unknown>>;

/** A configuration of which nothing but these matters, as written and as read. */
function written(level: LogLevel, more: Tree = {}): { effective: Tree; config: Config } {
  const effective = { rules: [], log: { level, access: true }, cluster: { tokens: [] }, ...more };
  return { effective, config: { ...effective, source: 'caje.yaml' } as unknown as Config };
}

interface Place {
  readonly reloader: Reloader;
  readonly log: RecordedLog;
  readonly metrics: Metrics;
  /** What came into force, in order. */
  readonly inForce: Config[];
  /** How many were made and closed again. */
  abandoned: number;
  draining: boolean;
}

function placeWith(source: Pick<ReloadSource, 'load' | 'setLogLevel'>): Place {
  const start = written('info');
  const log = new RecordedLog();
  const metrics = new Metrics();
  const inForce: Config[] = [];
  const place: Place = {
    ...{ log, metrics, inForce, abandoned: 0, draining: false },
    reloader: new Reloader({
      ...{ config: start.config, log, metrics },
      source: { effective: start.effective, ...source },
      draining: () => place.draining,
      prepare: async (config) => ({
        rules: [],
        commit: () => void inForce.push(config),
        abandon: async () => {
          place.abandoned += 1;
        },
      }),
    }),
  };
  return place;
}

describe('Reloader', () => {
  it('leaves the level of the command line, and says so each time', async () => {
    const { reloader, inForce } = placeWith({ load: async () => written('debug') });
    for (let turn = 0; turn < 2; turn++)
      expect(await reloader.reload()).to.deep.include({ changed: [], restart: ['log.level'] });
    expect(inForce.map(({ log }) => log.level)).to.deep.equal(['info', 'info']);
  });

  it('sets the level where nothing else did', async () => {
    const set: LogLevel[] = [];
    const setLogLevel = (level: LogLevel): void => void set.push(level);
    const { reloader } = placeWith({ load: async () => written('debug'), setLogLevel });
    expect(await reloader.reload()).to.deep.include({ changed: ['log.level'], restart: [] });
    expect(set).to.deep.equal(['debug']);
  });

  it('does one after the other, each against what the last one brought', async () => {
    const order = [written('info', { drain: 1 }), written('info', { drain: 2 })];
    const { reloader, inForce } = placeWith({ load: async () => order.shift() ?? written('info') });
    const reports = await Promise.all([reloader.reload(), reloader.reload(), reloader.reload()]);
    expect(reports.map(({ changed }) => changed)).to.deep.equal([['drain'], ['drain'], ['drain']]);
    expect(inForce.map(({ drain }) => drain)).to.deep.equal([1, 2, undefined]);
  });

  it('brings nothing into force while the node stops, and closes what was made', async () => {
    const place = placeWith({ load: async () => written('debug') });
    place.draining = true;
    const refused = await place.reloader.reload().catch((error: unknown) => error);
    expect(refused).to.include({ kind: 'unavailable' });
    expect([place.inForce.length, place.abandoned]).to.deep.equal([0, 1]);
    expect(place.metrics.value('config_reloads_total', 'refused')).to.equal(1);
  });

  it('goes on after one that failed', async () => {
    let turn = 0;
    const { reloader, log } = placeWith({
      load: async () => {
        turn += 1;
        if (turn === 1) throw new Error('caje.yaml:3: rules: what is this?');
        return written('info', { drain: 1 });
      },
    });
    const failed = await reloader.reload().catch((error: unknown) => error);
    expect(failed).to.include({ kind: 'invalid' });
    expect(log.lines.at(-1)?.fields).to.deep.equal({ err: 'caje.yaml:3: rules: what is this?' });
    expect((await reloader.reload()).changed).to.deep.equal(['drain']);
  });
});
