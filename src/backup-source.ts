import type { CallOptions } from './body.ts';
import type { HouseParts } from './house-parts.ts';
import type { BodyRow } from './house-schemas.ts';

/** What of a backup is read: a folder or a file. Its steps are taken in order, once. */
export interface BackupSource extends AsyncDisposable {
  /** Writes the manifest to a path where nothing lies. Throws `invalid` for what is no backup, `integrity` for damage. */
  manifest(to: string): Promise<void>;
  /** Puts the bodies that the rows of the manifest name into their stores. Throws `unavailable` when a store goes on refusing, `aborted`. */
  bodies(input: RestoreBodies, options: CallOptions): AsyncIterable<BodyRow>;
}

/** Where bodies go. */
export interface RestoreBodies {
  readonly parts: HouseParts;
  /** Path of the manifest whose rows name them. */
  readonly manifest: string;
  /** Bodies at once, where they can be had so. */
  readonly concurrency: number;
}
