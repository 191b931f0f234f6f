import { z } from 'zod';
import type { ControlHandler } from './http/control-socket.ts';
import type { NodeState } from './manifest/primary-protocol.ts';
import type { PrimaryService } from './manifest/primary-service.ts';
import { parseInput } from './operator-input.ts';

/** What a node is among the others, as `caje primary` shows it. */
export interface PrimaryReport {
  readonly node: string;
  readonly role: NodeState['role'];
  /** How many promotions there were, as far as this node knows. */
  readonly term: number;
  /** The primary's name and peer listener; '' where they are not known. */
  readonly primary: string;
  readonly url: string;
  /** False: nothing is answered from rows yet. */
  readonly trusted: boolean;
  /** Nodes that follow this one; `positions`: number by namespace up to which each has everything. */
  readonly followers: readonly {
    readonly node: string;
    readonly url: string;
    /** Milliseconds since the epoch. */
    readonly seenAt: number;
    readonly positions: Readonly<Record<string, number>>;
  }[];
}

/** What `primary --json` and `primary promote --json` print. */
export const primaryReport: z.ZodType<PrimaryReport> = z.object({
  node: z.string(),
  role: z.enum(['primary', 'replica']),
  term: z.int(),
  primary: z.string(),
  url: z.string(),
  trusted: z.boolean(),
  followers: z.array(
    z.object({
      node: z.string(),
      url: z.string(),
      seenAt: z.int(),
      positions: z.record(z.string(), z.int()),
    }),
  ),
});

const promoteInput: z.ZodType<{ readonly url: string; readonly force: boolean }> = z.strictObject({
  url: z.union([z.literal(''), z.url({ protocol: /^https?$/ })]).default(''),
  force: z.boolean().default(false),
});

/** `primary` and `primary-promote`. */
export function createPrimaryHandlers({
  peers,
}: {
  readonly peers: PrimaryService;
}): Readonly<Record<string, ControlHandler>> {
  const report = (): PrimaryReport => {
    const { name, role, known, trusted } = peers.own;
    const primary = role === 'primary' ? name : known.node;
    const { term, url } = known;
    return { node: name, role, term, primary, url, trusted, followers: peers.followers };
  };
  return {
    primary: () => report(),
    'primary-promote': async (input) => {
      const { url, force } = parseInput(promoteInput, input);
      await peers.promote(url, force);
      return report();
    },
  };
}
