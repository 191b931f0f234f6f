import type { Clock } from './clock.ts';
import type { ComponentContext, ComponentKind, ComponentType, ServiceKey } from './component.ts';
import { type ComponentConfig, type Config, SECTION_OF } from './config/config.ts';
import { messageOf, ProxyError } from './errors.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { NodeIdentity } from './node-identity.ts';

/** What components are made with, all of them alike. */
export interface RegistryOptions {
  readonly config: Config;
  readonly identity: NodeIdentity;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly types: readonly ComponentType[];
  readonly services: ReadonlyMap<ServiceKey<unknown>, unknown>;
  /** Where stores come from, which stay open when this one closes. Absent: they are made here. */
  readonly stores?: ComponentRegistry | undefined;
}

interface Made {
  readonly name: string;
  readonly value: unknown;
}

/** Makes each named component once, in order of use, and closes them last-made first. */
export class ComponentRegistry implements AsyncDisposable {
  readonly #options: RegistryOptions;
  readonly #making = new Map<string, Promise<unknown>>();
  /** What each component that is being made waits for. */
  readonly #waits = new Map<string, Set<string>>();
  readonly #made: Made[] = [];

  constructor(options: RegistryOptions) {
    this.#options = options;
  }

  /** One with the same stores, and fetchers, stashers and protocols of its own as this configuration has them. */
  withConfig(config: Config): ComponentRegistry {
    return new ComponentRegistry({ ...this.#options, config, stores: this });
  }

  /** A component of the configuration. Throws `invalid` for an unknown name or a circle, naming it. */
  async component<T>(kind: Exclude<ComponentKind, 'protocol'>, name: string): Promise<T> {
    return (await this.#get(kind, name, [])) as T;
  }

  /** Everything of a kind that was made so far, by name. */
  made<T>(kind: ComponentKind): readonly (readonly [name: string, made: T])[] {
    const prefix = `${kind} `;
    return this.#made.flatMap(({ name, value }) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), value as T] as const] : [],
    );
  }

  /** A protocol for one rule, with services that only it may ask for. */
  async protocol<T>(
    type: string,
    rule: string,
    options: unknown,
    extra: ReadonlyMap<ServiceKey<unknown>, unknown>,
  ): Promise<T> {
    const made = await this.#create('protocol', { name: rule, type, options }, [], extra);
    return made as T;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const made = this.#made.splice(0);
    // One that hands another on as its own is not the one that closes it.
    const own = made.filter(({ value }, at) => made.findIndex((one) => one.value === value) === at);
    for (const { name, value } of own.toReversed()) {
      if (!isDisposable(value)) continue;
      try {
        await value[Symbol.asyncDispose]();
      } catch (error) {
        this.#options.log.warn(
          { component: name, err: messageOf(error) },
          'a component did not close',
        );
      }
    }
  }

  async #get(kind: ComponentKind, name: string, path: readonly string[]): Promise<unknown> {
    const { stores } = this.#options;
    if (kind === 'backend' && stores) return await stores.component(kind, name);
    const id = `${kind} ${name}`;
    const asking = path.at(-1) ?? '';
    const circle = path.includes(id) ? [...path, id] : this.#wayTo(asking, [asking, id]);
    if (circle)
      throw new ProxyError('invalid', 'component-registry.get', `a circle: ${circle.join(' → ')}`);
    const config =
      kind === 'protocol' ? undefined : this.#options.config[SECTION_OF[kind]].get(name);
    if (!config) throw new ProxyError('invalid', 'component-registry.get', `there is no ${id}`);
    const waits = this.#waits.get(asking) ?? new Set();
    this.#waits.set(asking, waits.add(id));
    const making = this.#making.get(id) ?? this.#create(kind, config, [...path, id], new Map());
    this.#making.set(id, making);
    try {
      return await making;
    } finally {
      waits.delete(id);
    }
  }

  // Two that are made at the same time may wait for each other, which neither's own path shows.
  #wayTo(target: string, way: readonly string[]): readonly string[] | undefined {
    for (const next of this.#waits.get(way.at(-1) ?? '') ?? []) {
      const longer = [...way, next];
      const found = next === target ? longer : this.#wayTo(target, longer);
      if (found) return found;
    }
    return undefined;
  }

  async #create(
    kind: ComponentKind,
    config: ComponentConfig,
    path: readonly string[],
    extra: ReadonlyMap<ServiceKey<unknown>, unknown>,
  ): Promise<unknown> {
    const { types, services, identity, log, clock, metrics } = this.#options;
    const type = types.find(
      (candidate) => candidate.kind === kind && candidate.type === config.type,
    );
    if (!type)
      throw new ProxyError(
        'invalid',
        'component-registry.create',
        `there is no ${kind} type ${config.type}`,
      );
    const context: ComponentContext = {
      name: config.name,
      clock,
      metrics,
      log: log.child({ [kind]: config.name }),
      dataDir: identity.dataDir,
      baseDir: this.#options.config.baseDir,
      nodeId: identity.nodeId,
      component: async <T>(other: ComponentKind, name: string) =>
        (await this.#get(other, name, path)) as T,
      service: <T>(key: ServiceKey<T>) => {
        const service = extra.get(key) ?? services.get(key);
        if (service === undefined)
          throw new ProxyError(
            'internal',
            'component-registry.service',
            `there is no service ${key.description}`,
          );
        return service as T;
      },
    };
    const value = await type.create(config.options, context);
    this.#made.push({ name: `${kind} ${config.name}`, value });
    return value;
  }
}

function isDisposable(value: unknown): value is AsyncDisposable {
  return typeof value === 'object' && value !== null && Symbol.asyncDispose in value;
}
