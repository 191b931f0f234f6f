/** What may become of a request for something that is not kept, in the words of the configuration. */
export const FILL_MODES = ['sync', 'async', 'redirect', 'async_redirect', 'none'] as const;

/**
 * What becomes of a request for something that is not kept: `sync` fetches while the client reads along; `async` answers
 * 404 and fetches behind; `redirect` sends the client to the upstream and keeps nothing; `async_redirect` does both;
 * `none` answers 404 and fetches nothing. What is kept is served in every mode. After Athens' download modes.
 */
export type FillMode = (typeof FILL_MODES)[number];

/** When the upstream is asked, in the words of the configuration. */
export const NETWORK_MODES = ['online', 'fallback', 'offline'] as const;

/**
 * When the upstream is asked: `online` whenever what is kept is stale; `fallback` too, and what is kept stands in where the
 * upstream fails; `offline` never. After Athens' network modes.
 */
export type NetworkMode = (typeof NETWORK_MODES)[number];
