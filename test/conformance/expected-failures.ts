import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { TestOutcome } from './outcomes.ts';

/** The ways to run a rule that are measured. */
export const PROFILES = ['rfc', 'strict'] as const;
export type Profile = (typeof PROFILES)[number];

/** Why a test is known not to pass, by its id. */
export type ExpectedFailures = ReadonlyMap<string, string>;

const REASONS = z.array(
  z.strictObject({ reason: z.string().min(10), tests: z.array(z.string()).min(1) }),
);
const FILE = z.strictObject({ rfc: REASONS, strict: REASONS });

/** What is known not to pass in a profile. Throws where a test is named twice, or has no reason. */
export async function expectedFailures(profile: Profile): Promise<ExpectedFailures> {
  const file = new URL('expected-failures.json', import.meta.url);
  const listed = FILE.parse(JSON.parse(await readFile(file, 'utf8')))[profile];
  const expected = new Map<string, string>();
  for (const { reason, tests } of listed) {
    for (const id of tests) {
      if (expected.has(id)) throw new Error(`${id} is expected to fail twice in ${profile}`);
      expected.set(id, reason);
    }
  }
  return expected;
}

/** Where outcomes and expectation differ, one line for each test; checks have no right answer and are left out. */
export function surprises(
  outcomes: readonly TestOutcome[],
  expected: ExpectedFailures,
): readonly string[] {
  const lines: string[] = [];
  for (const { id, kind, outcome, message = 'no message' } of outcomes) {
    if (kind === 'check') continue;
    if (outcome === 'pass' && expected.has(id)) lines.push(`${id} passes, but is listed`);
    if (outcome !== 'pass' && !expected.has(id))
      lines.push(`${id} (${kind}) does not pass: ${outcome}, ${message}`);
  }
  const ids = new Set(outcomes.map(({ id }) => id));
  for (const id of expected.keys()) if (!ids.has(id)) lines.push(`${id} is listed, but no test`);
  return lines;
}
