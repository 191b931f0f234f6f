import type { HeaderList } from '../headers.ts';
import { readTags } from '../manifest/entry-tags.ts';
import type { FlightSubject } from '../stashers/fills.ts';

/** Purges remembered; what is purged before the oldest of them is taken for purged with it, whatever it is. */
const MAX_PURGES = 1000;

/** When this process last learned of purges, so that no other node's older copy comes back in their place. */
export class PurgeTimes {
  readonly #purges: { readonly fits: (subject: FlightSubject) => boolean; readonly at: number }[] =
    [];
  #floor: number | undefined;

  /** A purge of what fits, at a time of the monotonic clock. */
  note(fits: (subject: FlightSubject) => boolean, at: number): void {
    this.#purges.push({ fits, at });
    if (this.#purges.length > MAX_PURGES) this.#floor = this.#purges.shift()?.at;
  }

  /** When an answer was last purged, by its fields. Absent: not that this process knows. */
  of(subject: FlightSubject): (answer: HeaderList) => number | undefined {
    return (answer) => this.latest({ ...subject, tags: readTags(answer).tags });
  }

  /** When it was last purged. Absent: not that this process knows. */
  latest(subject: FlightSubject): number | undefined {
    return this.#purges.findLast(({ fits }) => fits(subject))?.at ?? this.#floor;
  }
}
