import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import type { Body } from '../../src/body.ts';
import { SystemClock } from '../../src/clock.ts';
import { type ErrorKind, kindOf, ProxyError } from '../../src/errors.ts';
import type { Fetched, FetchRequest } from '../../src/fetchers/fetcher.ts';
import { type HeaderLine, HeaderList } from '../../src/headers.ts';
import { Metrics } from '../../src/metrics.ts';

/** A GET, or what `more` makes of it. */
export function ask(
  path: string,
  lines: readonly HeaderLine[] = [],
  more: Partial<FetchRequest> = {},
): FetchRequest {
  return {
    method: 'GET',
    path,
    publicUrl: `http://www.example.com${path}`,
    headers: new HeaderList(lines),
    ...more,
  };
}

/** Clock, counters and name that every fetcher over HTTP is made with. */
export function base(name = 'site'): { name: string; clock: SystemClock; metrics: Metrics } {
  return { name, clock: new SystemClock(), metrics: new Metrics() };
}

/** All bytes of a body. */
export async function read(body: Body): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of body as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Status and text of an answer. */
export async function readText(fetched: Fetched): Promise<readonly [number, string]> {
  return [fetched.status, (await read(fetched.body)).toString('latin1')];
}

/** The error that `promise` fails with; it must be a `ProxyError` of this kind. */
export async function failure(promise: Promise<unknown>, kind: ErrorKind): Promise<ProxyError> {
  let thrown: unknown;
  try {
    await promise;
  } catch (error) {
    thrown = error;
  }
  expect(thrown, 'nothing was thrown, or no ProxyError').to.be.instanceOf(ProxyError);
  expect(kindOf(thrown)).to.equal(kind);
  return thrown as ProxyError;
}

/** Resolves once `test` holds; fails after 2 s. */
export async function until(test: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 2_000;
  while (!(await test())) {
    if (performance.now() > end) throw new Error(`never came true: ${test}`);
    await delay(2);
  }
}
