import { SumdbLog, type SumdbSigner, sumOf } from '../support/sumdb.ts';

/** Module of a record of the example log. */
export function exampleModule(id: number): string {
  return `example.com/Mod${id % 5}`;
}

/** Path of the look-up of a record of the example log. */
export function exampleLookup(id: number): string {
  return `/lookup/example.com/!mod${id % 5}@v1.0.${id}`;
}

/** Sums of a record of the example log. */
export function exampleSums(id: number): { readonly zip: string; readonly mod: string } {
  return { zip: sumOf(`zip ${id}`), mod: sumOf(`mod ${id}`) };
}

/** A log of so many records; record `id` is `exampleModule(id)` at `v1.0.<id>`, some with more lines. */
export function exampleLog(signer: SumdbSigner, records: number): SumdbLog {
  const log = new SumdbLog(signer);
  addExamples(log, records);
  return log;
}

/** Appends records until there are so many. */
export function addExamples(log: SumdbLog, records: number, note = ''): void {
  for (let id = log.entries.length; id < records; id++) {
    const { zip, mod } = exampleSums(id);
    const name = `${exampleModule(id)} v1.0.${id}`;
    log.add(
      exampleModule(id),
      `v1.0.${id}`,
      `${name} ${zip}\n${name}/go.mod ${mod}\n${note}${'more\n'.repeat(id % 4)}`,
    );
  }
}

/** What a promise is rejected with. Throws when it is not. */
export async function failureOf(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error('it should have failed');
}
