import { request } from 'undici';
import type { HeaderLine } from '../../src/headers.ts';
import { HeaderList } from '../../src/headers.ts';
import type { Entry } from '../../src/manifest/entry.ts';
import type { RuleSettings } from '../../src/protocol/rule.ts';
import { protocolOf, rule, startEdge } from '../support/edge.ts';
import type { Behaviour } from '../support/oracle-behaviour.ts';
import { oracleBytes } from '../support/oracle-bytes.ts';
import { openPull, type PullPlace } from './pull-place.ts';

/** What a client of the edge got. */
export interface RangedAnswer {
  readonly status: number;
  readonly headers: HeaderList;
  readonly body: Buffer;
}

/** A protocol over a real origin and store, behind a real edge. */
export interface RangedPlace extends AsyncDisposable {
  readonly place: PullPlace;
  /** From now on the origin answers the target so, on top of heeding ranges; `number`: of its requests for the target. */
  serve(target: string, behave: (number: number) => Behaviour): void;
  /** A whole answer. Rejects when its body breaks off. */
  get(target: string, headers?: Readonly<Record<string, string>>): Promise<RangedAnswer>;
  /** Like `get`, once everything that it left behind is done. */
  settled(target: string, headers?: Readonly<Record<string, string>>): Promise<RangedAnswer>;
  /** The bytes that the origin has for the target now. */
  bytes(target: string): Buffer;
  /** Range and If-Range of each request that the origin saw for the target; '' where there was none. */
  seen(target: string): readonly (readonly [range: string, ifRange: string])[];
  parts(target: string): Promise<readonly Entry[]>;
}

/** Bytes of every body of the place's origin. */
export const SIZE: number = 1000;

/** Opens a place whose origin heeds ranges. */
export async function openRanged(settings: Partial<RuleSettings> = {}): Promise<RangedPlace> {
  await using stack = new AsyncDisposableStack();
  const place = stack.use(await openPull({ settings }));
  const served = new Map<string, (number: number) => Behaviour>();
  place.behave = ({ key }, number) => ({ ranges: true, size: SIZE, ...served.get(key)?.(number) });
  const protocol = protocolOf(
    async ({ target, method, headers }, { signal }) =>
      await place.ask(target, { method, headers: headers.lines, signal }),
  );
  const edge = stack.use(await startEdge({ rules: [rule(protocol)] }));
  const rest = stack.move();
  const ranged: RangedPlace = {
    place,
    serve: (target, behave) => void served.set(target, behave),
    async get(target, headers = {}) {
      const answer = await request(edge.url + target, { headers });
      const lines = Object.entries(answer.headers).map(
        ([name, value]): HeaderLine => [name, String(value)],
      );
      const body = Buffer.from(await answer.body.arrayBuffer());
      return { status: answer.statusCode, headers: new HeaderList(lines), body };
    },
    async settled(target, headers) {
      const answer = await ranged.get(target, headers);
      await place.settled();
      return answer;
    },
    bytes: (target) => {
      const { seed } = place.origin;
      return oracleBytes({ seed, key: target, version: place.origin.version(target) }, SIZE);
    },
    seen: (target) =>
      place.origin.seen
        .filter(({ key }) => key === target)
        .map(({ rawHeaders }) => {
          const headers = HeaderList.fromRaw(rawHeaders);
          return [headers.get('range') ?? '', headers.get('if-range') ?? ''] as const;
        }),
    parts: async (target) => (await place.entries(target)).filter(({ status }) => status === 206),
    [Symbol.asyncDispose]: async () => await rest.disposeAsync(),
  };
  return ranged;
}

/** What an answer is, in short: status, Content-Range, X-Cache. */
export function inShort({ status, headers }: RangedAnswer): readonly unknown[] {
  return [status, headers.get('content-range'), headers.get('x-cache')];
}
