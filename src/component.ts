import type { z } from 'zod';
import type { Clock } from './clock.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';

/** The parts that a configuration names and a plug-in can add to. */
export type ComponentKind = 'fetcher' | 'backend' | 'stasher' | 'protocol';

/** Names a service of the node that a component may ask for, such as the node-local database. `T` is its type. */
export interface ServiceKey<T> {
  readonly description: string;
  /** Never there at run time: only carries the type. */
  readonly __service?: T;
}

/** What a component is given to be made with. */
export interface ComponentContext {
  /** As named in the configuration; for a protocol the rule's name. */
  readonly name: string;
  readonly clock: Clock;
  /** Carries the component's kind and name. */
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Absolute path of the folder that this node may write in. */
  readonly dataDir: string;
  /** Absolute path of the folder that relative paths in the configuration start from. */
  readonly baseDir: string;
  /** The node's own name in Via and CDN-Loop: `caje-` and 16 hex characters, made once per data folder. */
  readonly nodeId: string;
  /** Another named component; made on first use. Throws `invalid` for an unknown name or a circle. */
  component<T>(kind: ComponentKind, name: string): Promise<T>;
  /** A service of the node. Throws `internal` when the node has none by that key. */
  service<T>(key: ServiceKey<T>): T;
}

/**
 * One type of component: how the configuration spells it, which options it takes, and how it is made.
 * Built-in types and those of plug-ins are bound alike, under one multi-token.
 */
export interface ComponentType<Options = unknown, Made = unknown> {
  readonly kind: ComponentKind;
  /** The value of `type:` (for a protocol: of the rule's `protocol:`) in the configuration. */
  readonly type: string;
  /** The other keys, strict: unknown ones are refused with their line. */
  readonly options: z.ZodType<Options>;
  /** Names of components that these options refer to, checked before anything is made. Absent: none. */
  references?(options: Options): readonly { readonly kind: ComponentKind; readonly name: string }[];
  /** May open files or connections; whatever it opens is closed by the made object's `Symbol.asyncDispose`. */
  create(options: Options, context: ComponentContext): Made | Promise<Made>;
}

/** Keeps the option type tied to its schema while the list of types stays `ComponentType<unknown, …>`. */
export function componentType<Options, Made>(
  type: ComponentType<Options, Made>,
): ComponentType<unknown, Made> {
  return type as unknown as ComponentType<unknown, Made>;
}
