import { createHash } from 'node:crypto';
import type { Clock } from './clock.ts';
import { blobOpener } from './cluster-parts.ts';
import type { ComponentRegistry } from './component-registry.ts';
import type { Config } from './config/config.ts';
import { ProxyError } from './errors.ts';
import type { ControlHandler } from './http/control-socket.ts';
import type { OpenBlob } from './http/peer-blob.ts';
import type { TrustCheck } from './http/public-address.ts';
import { trustCheck } from './http/public-address.ts';
import { type Rule, RuleRouter, type RuleSource } from './http/rule-router.ts';
import { Leases } from './leases.ts';
import type { Manifest } from './manifest/manifest.ts';
import { type BuiltRule, buildRules, type RuleContext } from './rule-set.ts';
import type { Backend } from './storage/backend.ts';

/** The rules of one configuration with all that was made for them. */
export interface RuleEdition {
  readonly config: Config;
  readonly rules: readonly BuiltRule[];
  /** Its leases are those of the whole edition. */
  readonly router: RuleRouter;
  readonly trusts: TrustCheck;
  readonly components: ComponentRegistry;
  readonly openBlob: OpenBlob;
  /** Commands of the control socket that work on these rules. */
  readonly handlers: Readonly<Record<string, ControlHandler>>;
  /** The rule of that name. Throws `internal` where there is none. */
  build(rule: Pick<BuiltRule['config'], 'name'>): Promise<BuiltRule>;
}

/** What every edition is made with. */
export interface EditionParts extends Omit<RuleContext, 'components' | 'leases' | 'editions'> {
  /** Holds the stores, which no reload exchanges. */
  readonly components: ComponentRegistry;
  readonly manifest: Pick<Manifest, 'isReferenced'>;
  readonly handlers: (edition: Omit<RuleEdition, 'handlers'>) => RuleEdition['handlers'];
}

/** What is written in a configuration, by section. */
type Tree = Readonly<Record<string, unknown>>;

/** Bodies that were read to their end may still be on their way to a store. Milliseconds without any user. */
const QUIET_MS = 1_000;

/**
 * The rules in force. Each request, fill and command goes by the edition it began under to its end; one that is replaced is closed
 * after its last user.
 */
export class RuleEditions implements RuleSource, AsyncDisposable {
  readonly #parts: EditionParts;
  readonly #clock: Clock;
  readonly #storesInUse: ReadonlySet<string>;
  readonly #closing = new AbortController();
  readonly #retiring = new Set<Promise<void>>();
  #edition: RuleEdition;

  private constructor(parts: EditionParts, first: RuleEdition) {
    this.#parts = parts;
    this.#clock = parts.clock;
    this.#edition = first;
    this.#storesInUse = new Set(parts.components.made<Backend>('backend').map(([name]) => name));
  }

  /** Makes the first one; `tree`: what its configuration says as written. Throws what a component throws while it is made. */
  static async open(config: Config, tree: Tree, parts: EditionParts): Promise<RuleEditions> {
    return new RuleEditions(parts, await makeEdition(config, tree, parts));
  }

  get edition(): RuleEdition {
    return this.#edition;
  }

  get current(): RuleRouter {
    return this.#edition.router;
  }

  /** Makes another edition beside the one in force. Throws what a component throws, `invalid` where only a restart would do; nothing stays open then. */
  async make(config: Config, tree: Tree): Promise<RuleEdition> {
    const made = await makeEdition(config, tree, this.#parts);
    const fresh = this.#parts.components
      .made<Backend>('backend')
      .find(([name]) => !this.#storesInUse.has(name));
    if (fresh === undefined) return made;
    await made.components[Symbol.asyncDispose]();
    // Upkeep, health and quotas are set up for the stores in use when the node starts.
    throw new ProxyError(
      'invalid',
      'rule-editions.make',
      `storage.${fresh[0]} was in no use when the node started: start it again to keep anything there`,
    );
  }

  /** From now on this one is in force. */
  put(edition: RuleEdition): void {
    const former = this.#edition;
    this.#edition = edition;
    const retiring = this.#retire(former);
    this.#retiring.add(retiring);
    void retiring.then(() => this.#retiring.delete(retiring));
  }

  /** Names of the commands, the same in every edition. */
  get commands(): readonly string[] {
    return Object.keys(this.#edition.handlers);
  }

  /** A command of whichever edition is in force when it is called, which stays open until it has ended. */
  command(name: string): ControlHandler {
    return async (input, options) => {
      const { router, handlers } = this.#edition;
      const lease = router.leases.take();
      // Whoever left may never have asked for the first item; what still fetches for it counts by itself.
      options.signal?.addEventListener('abort', () => lease[Symbol.dispose](), { once: true });
      try {
        const output = await handlers[name]?.(input, options);
        if (isStream(output)) return releasing(output, lease);
        lease[Symbol.dispose]();
        return output;
      } catch (error) {
        lease[Symbol.dispose]();
        throw error;
      }
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#retiring);
    await this.#edition.components[Symbol.asyncDispose]();
  }

  async #retire({ router, components }: RuleEdition): Promise<void> {
    const { signal } = this.#closing;
    const closing = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    const { leases } = router;
    do {
      await Promise.race([leases.idle(), closing]);
      await this.#clock.sleep(QUIET_MS, { signal }).catch(() => {});
    } while (leases.count > 0 && !signal.aborted);
    await components[Symbol.asyncDispose]();
  }
}

async function makeEdition(config: Config, tree: Tree, parts: EditionParts): Promise<RuleEdition> {
  const components = parts.components.withConfig(config);
  const leases = new Leases();
  try {
    const editions = editionNames(config, tree);
    const rules = await buildRules(config.rules, { ...parts, components, leases, editions });
    const working = rules.flatMap(({ rule }): Rule[] => (rule ? [rule] : []));
    const backends = parts.components.made<Backend>('backend').map(([, backend]) => backend);
    const edition = {
      ...{ config, rules, components },
      router: new RuleRouter(working, leases),
      trusts: trustCheck(config.trustedProxies),
      openBlob: blobOpener({ manifest: parts.manifest, backends, rules }),
      build: async ({ name }: { readonly name: string }) => ruleNamed(rules, name),
    };
    return { ...edition, handlers: parts.handlers(edition) };
  } catch (error) {
    await components[Symbol.asyncDispose]();
    throw error;
  }
}

/** Tells rules of one name apart that ask or keep in different ways, so that what runs for one is not shared with the other. */
function editionNames(config: Config, tree: Tree): ReadonlyMap<string, string> {
  const { rules, fetchers, stashers } = tree;
  return new Map(
    config.rules.map(({ name }, at) => {
      const written = [Array.isArray(rules) ? rules[at] : undefined, fetchers, stashers];
      const hash = createHash('sha256').update(JSON.stringify(written)).digest('hex');
      return [name, hash.slice(0, 12)];
    }),
  );
}

function ruleNamed(rules: readonly BuiltRule[], name: string): BuiltRule {
  const found = rules.find(({ config }) => config.name === name);
  if (found !== undefined) return found;
  throw new ProxyError('internal', 'rule-editions.rule', `rule ${name} was not made`);
}

function isStream(output: unknown): output is AsyncIterable<unknown> {
  return typeof output === 'object' && output !== null && Symbol.asyncIterator in output;
}

async function* releasing(items: AsyncIterable<unknown>, lease: Disposable): AsyncGenerator {
  using _ = lease;
  yield* items;
}
