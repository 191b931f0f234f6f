import { setTimeout as delay } from 'node:timers/promises';
import { type Answer, expectOk, type KeepAliveClient } from './keep-alive-client.ts';

const ATTEMPTS = 5000;

/** Whether the answer came from the cache. */
export function isHit(answer: Answer): boolean {
  return /^x-cache: *hit/im.test(answer.head);
}

/** Throws when the answer did not come from the cache. */
export function expectHit(answer: Answer, path: string): void {
  expectOk(answer, path);
  if (!isHit(answer)) throw new Error(`${path} is no hit:\n${answer.head}`);
}

/** Asks until the answer comes from the cache: a body is kept behind the answer that brings it. */
export async function untilHit(client: KeepAliveClient, path: string): Promise<void> {
  for (let asked = 0; asked < ATTEMPTS; asked++) {
    if (isHit(expectOk(await client.get(path), path))) return;
    await delay(1);
  }
  throw new Error(`${path} was asked for ${ATTEMPTS} times and is not kept`);
}
