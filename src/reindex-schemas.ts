import { z } from 'zod';

/** What `reindex` takes. */
export interface ReindexInput {
  /** Storage whose notes are read. Absent: those of all rules. */
  readonly from?: string | undefined;
  /** Node whose notes are read. Absent: this one's. */
  readonly node?: string | undefined;
  /** True: nothing is changed. */
  readonly dryRun: boolean;
  /** True: also where there is a manifest with entries; what it says counts before the notes. */
  readonly force: boolean;
  /** Bodies looked for at once. */
  readonly concurrency: number;
}

/** One body that noted rows name, as it was found. */
export interface ReindexRow {
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  /** Rule of the rows. */
  readonly rule: string;
  /** How many there are. */
  readonly answers: number;
  /** `missing`: the store of the rule does not have it, or with another length. */
  readonly outcome: 'there' | 'missing';
}

/** One line of `reindex --json`. */
export const reindexRow: z.ZodType<ReindexRow> = z.object({
  digest: z.string(),
  size: z.int().min(0),
  rule: z.string(),
  answers: z.int().min(1),
  outcome: z.enum(['there', 'missing']),
});

/** What the notes held. */
export interface ReindexNotes {
  /** Bodies that noted rows name: as many rows come. */
  readonly bodies: number;
  /** Lines that were damaged, cut or of an unknown form, and were left out. */
  readonly damaged: number;
  /** Storages of which no whole picture was there, only changes or parts. */
  readonly partial: readonly string[];
}

/** What became of a rebuilt manifest. */
export interface ReindexResult {
  /** Where the manifest lies that was there before. Absent: there was none. */
  readonly aside?: string | undefined;
}
