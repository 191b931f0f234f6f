import { TARGETED_FIELDS } from './targeted-control.ts';

/** What becomes of an answer that sets a cookie: not kept, kept without the field, or kept with it and given to everybody. */
export type SetCookieMode = 'bypass' | 'strip' | 'store';

/** What a rule of `protocol: http` says beside what every rule says. */
export interface HttpSettings {
  readonly setCookie: SetCookieMode;
  /** Fields that speak to this cache before Cache-Control does, the weightiest first, RFC 9213. */
  readonly targets: readonly string[];
  /** True: Cache-Status names what an answer is kept under. */
  readonly statusKey: boolean;
  /** `ignore`: languages that a client takes alike, in whatever order, select the same variant. */
  readonly languageOrder: 'heed' | 'ignore';
  /** Milliseconds past its lifetime that an answer stands in for an origin that cannot be reached; 0: only as it allows itself. */
  readonly staleOnDisconnectMs: number;
}

/** Where a rule says nothing. */
export const HTTP_SETTINGS: HttpSettings = {
  setCookie: 'bypass',
  targets: TARGETED_FIELDS,
  languageOrder: 'heed',
  statusKey: false,
  staleOnDisconnectMs: 0,
};
