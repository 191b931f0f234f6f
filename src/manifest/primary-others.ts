import { lookup } from 'node:dns/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterSettings } from './writer-protocol.ts';

/** What of the settings names nodes. */
export type NamingSettings = Pick<ClusterSettings, 'primary' | 'others' | 'dns'>;

/** Longest wait for a name service. */
const LOOKUP_MS = 1000;

/** Peer listeners of the nodes that the configuration names, this one perhaps among them. */
export class NamedNodes {
  readonly #settings: NamingSettings;
  /** Of the name, as last found. */
  #addresses: readonly string[] = [];

  constructor(settings: NamingSettings) {
    this.#settings = settings;
  }

  /**
   * The configured primary first, then those listed and every address of the name as it is now, each once. While the name cannot be
   * looked up: as it was last. Never rejects.
   */
  async urls(): Promise<string[]> {
    const { primary, others, dns } = this.#settings;
    if (dns !== undefined) this.#addresses = (await addressesOf(dns)) ?? this.#addresses;
    return [...new Set([primary, ...others, ...this.#addresses])].filter(Boolean);
  }
}

/** Absent: the name is not known now. */
async function addressesOf({
  host,
  port,
  scheme,
}: NonNullable<NamingSettings['dns']>): Promise<string[] | undefined> {
  const asked = lookup(host, { all: true }).catch(() => undefined);
  const found = await Promise.race([asked, delay(LOOKUP_MS, undefined, { ref: false })]);
  return found?.map(({ address, family }) =>
    family === 6 ? `${scheme}://[${address}]:${port}` : `${scheme}://${address}:${port}`,
  );
}
