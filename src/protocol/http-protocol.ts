import type { CallOptions } from '../body.ts';
import { messageOf, ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { FlightSubject } from '../stashers/fills.ts';
import type { Supply } from './arrival.ts';
import { httpKey } from './http-key.ts';
import { HttpResource } from './http-resource.ts';
import { HTTP_SETTINGS, type HttpSettings } from './http-settings.ts';
import { invalidatedKeys } from './invalidation.ts';
import type { Protocol, ProtocolRequest, ProtocolResponse } from './protocol.ts';
import type { Purger } from './purger.ts';
import { judgeRequest } from './request-directives.ts';
import type { RuleParts } from './rule.ts';

/** Namespace of the manifest that plain HTTP uses unless the rule names its own. */
export const HTTP_NAMESPACE: string = 'web';

/** A caching reverse proxy for any GET, RFC 9111; other methods pass through and make what they changed go away. */
export class HttpProtocol implements Protocol {
  readonly name: string;
  readonly #parts: RuleParts;
  readonly #purger: Purger;
  readonly #log: Logger;
  readonly #http: HttpSettings;

  constructor(
    parts: RuleParts,
    purger: Purger,
    log: Logger,
    settings: HttpSettings = HTTP_SETTINGS,
  ) {
    this.name = parts.settings.name;
    this.#parts = parts;
    this.#purger = purger;
    this.#log = log;
    this.#http = settings;
  }

  async handle(request: ProtocolRequest, options: CallOptions): Promise<ProtocolResponse> {
    const response = await this.#answer(request, options);
    if (!this.#http.statusKey) return response;
    return { ...response, report: { ...response.report, key: httpKey(request.publicUrl) } };
  }

  async #answer(request: ProtocolRequest, options: CallOptions): Promise<ProtocolResponse> {
    const { settings, fetcher, stasher, pullThrough } = this.#parts;
    const judgement = judgeRequest(request.headers, {
      honorClientReload: settings.honorClientReload,
      cookies: settings.cookies,
      profile: settings.freshness,
    });
    const onlyIfCached = request.onlyIfCached || judgement.onlyIfCached;
    const { network } = settings;
    const keeps = request.toKeep === true && settings.mode !== 'none';
    const mode = keeps ? 'sync' : settings.mode;
    const { signal } = options;
    const { peer, interim } = request;
    await this.#parts.validator?.check({ Method: request.method, Url: request.publicUrl });
    const supply: Supply = { fetcher, stasher, onlyIfCached, peer, mode, network, signal, interim };
    const rule = { ...settings, ...this.#http };
    const resource = new HttpResource(this.#subject(request), request, rule, judgement);
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return await this.#pass(request, resource, supply);
    if (judgement.bypass !== undefined) {
      if (onlyIfCached)
        throw new ProxyError(
          'timeout',
          'http-protocol.handle',
          'the request goes past the cache, and only what is kept was asked for',
        );
      return await pullThrough.forward(resource, supply, 'bypass');
    }
    const response = await pullThrough.answer(resource, supply);
    // What a validator may yet refuse has to be asked about each time.
    return this.#parts.validator ? { ...response, replay: undefined } : response;
  }

  #subject(request: ProtocolRequest): FlightSubject {
    const { name, namespace = HTTP_NAMESPACE, edition } = this.#parts.settings;
    return { namespace, key: httpKey(request.publicUrl), rule: name, edition };
  }

  async #pass(
    request: ProtocolRequest,
    resource: HttpResource,
    supply: Supply,
  ): Promise<ProtocolResponse> {
    if (supply.onlyIfCached)
      throw new ProxyError('timeout', 'http-protocol.handle', 'only what is kept was asked for');
    const response = await this.#parts.pullThrough.forward(resource, supply, 'method');
    const keys = invalidatedKeys(
      request.method,
      response.status,
      request.publicUrl,
      response.headers,
    );
    // RFC 9111 §4.4. What is answered from here is gone at once; nobody waits for it to be durable.
    for (const key of keys) {
      this.#purger
        .invalidate(resource.subject.namespace, key, this.name)
        .catch((error: unknown) =>
          this.#log.warn({ err: messageOf(error), key }, 'an invalidation is late'),
        );
    }
    return response;
  }
}
