import { readlinkSync } from 'node:fs';
import { constants, setPriority } from 'node:os';

/** Gives way to the other threads: for a worker whose result nobody waits for as clients wait for bytes. Linux alone can; elsewhere nothing changes. */
export function yieldToOthers(): void {
  try {
    const thread = Number(/\/task\/(\d+)$/.exec(readlinkSync('/proc/thread-self'))?.[1]);
    if (Number.isInteger(thread)) setPriority(thread, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // Not there, or not allowed: the thread is as good as any other.
  }
}
