import { readdir } from 'node:fs/promises';

/** What a row is run with. */
export interface SoakRun {
  /** How many cases to try. */
  readonly cases: number;
  /** All chance in the row comes from it, so that it can be replayed. */
  readonly seed: number;
  /** Says what was seen, such as which case went wrong and how. */
  log(line: string): void;
}

/** What came of it. */
export interface SoakResult {
  readonly passed: number;
  readonly cases: number;
}

/** One kind of fault, tried often. The tests run `quick` cases of it, `npm run soak` runs `full`. */
export interface SoakRow {
  /** Such as `F-02`. */
  readonly id: string;
  /** What must hold, as a sentence. */
  readonly title: string;
  readonly quick: number;
  readonly full: number;
  /** Milliseconds that the quick cases may take. Absent: 120,000. */
  readonly quickMs?: number | undefined;
  /** Why it cannot be run on this machine, such as a refused ptrace. Absent result: it can. */
  obstacle?(): Promise<string | undefined>;
  /** Throws only where the row itself cannot be tried; a case that fails is counted. */
  run(run: SoakRun): Promise<SoakResult>;
}

const folder = new URL('rows/', import.meta.url);

/** Every row that a file in `rows` exports as `rows`, by id. Throws for a file without, and for an id used twice. */
export async function loadRows(): Promise<readonly SoakRow[]> {
  const names = await readdir(folder).catch(() => []);
  const rows = new Map<string, SoakRow>();
  for (const name of names.filter((file) => file.endsWith('.ts'))) {
    const module = (await import(new URL(name, folder).href)) as { rows?: readonly SoakRow[] };
    if (module.rows === undefined) throw new Error(`rows/${name} exports no rows`);
    for (const row of module.rows) {
      if (rows.has(row.id)) throw new Error(`rows/${name}: ${row.id} is there twice`);
      rows.set(row.id, row);
    }
  }
  const byId = new Intl.Collator('en', { numeric: true });
  return [...rows.values()].sort((a, b) => byId.compare(a.id, b.id));
}
