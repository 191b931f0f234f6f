import { buffer } from 'node:stream/consumers';
import type { Clock } from '../clock.ts';
import { messageOf } from '../errors.ts';
import type { Health } from './backend.ts';
import type { S3Connection } from './s3-connection.ts';
import type { S3Keys } from './s3-keys.ts';
import type { S3Objects } from './s3-objects.ts';

const LIMIT_MS = 900;
/** A full store may still take a line: it is offered more than that, but not often. */
const FULL_BYTES = 1024 * 1024;
const FULL_EVERY_MS = 10_000;

/** Where health looks. */
export interface S3HealthOptions {
  readonly connection: S3Connection;
  readonly objects: S3Objects;
  readonly keys: S3Keys;
  readonly clock: Clock;
}

/**
 * Whether a bucket can be used: lists it, and writes, reads and deletes a small object the first time and for as long as one of
 * these is refused, so that a right that is missing is known before a body needs it and one that came back is seen without any.
 */
export class S3Health {
  readonly #options: S3HealthOptions;
  #wellAt = Number.NEGATIVE_INFINITY;
  #isTried = false;
  #trying: Promise<void> | undefined;
  #offeredAt = Number.NEGATIVE_INFINITY;

  constructor(options: S3HealthOptions) {
    this.#options = options;
  }

  /** Never throws, takes at most a second. */
  async look(): Promise<Health> {
    const { connection, objects, keys, clock } = this.#options;
    const now = clock.monotonic();
    if (!connection.mayProbe) return { problem: connection.problem };
    if (connection.problem === undefined && now - this.#wellAt < LIMIT_MS) return {};
    const late = AbortSignal.timeout(LIMIT_MS);
    this.#trying ??= this.#tryRights().finally(() => {
      this.#trying = undefined;
    });
    // What takes longer goes on, so that nothing is left, and is seen by the next look.
    const failures = await Promise.allSettled([
      objects.check(keys.bodies, LIMIT_MS),
      Promise.race([this.#trying.catch(() => undefined), aborted(late)]),
    ]);
    if (connection.problem !== undefined) return { problem: connection.problem };
    const failed = failures[0];
    if (failed.status === 'rejected') return { problem: messageOf(failed.reason) };
    this.#wellAt = now;
    return {};
  }

  async #tryRights(): Promise<void> {
    const { connection, objects, keys } = this.#options;
    const isRefused = (['read', 'write', 'delete'] as const).some((right) =>
      connection.refuses(right),
    );
    const { isFull } = connection;
    if (this.#isTried && !isRefused && !isFull) return;
    if (isFull) {
      const now = this.#options.clock.monotonic();
      if (now - this.#offeredAt < FULL_EVERY_MS) return;
      this.#offeredAt = now;
    }
    const bytes = isFull ? Buffer.alloc(FULL_BYTES) : Buffer.from('\n');
    await objects.put(keys.probe, bytes, false, {});
    const read = objects.get(keys.probe, undefined, undefined, {}).then(buffer);
    await Promise.allSettled([read]);
    await objects.delete(keys.probe);
    this.#isTried = true;
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted)
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
}
