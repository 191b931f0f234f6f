/** What one listener bears. Sizes in bytes, times in milliseconds. */
export interface HttpLimits {
  /** Request line and field lines together; more is 431. */
  readonly headerBytes: number;
  /** Field lines of a request; more is 431, never cut silently. */
  readonly headerFields: number;
  /** Request target; more is 414. */
  readonly targetBytes: number;
  /** From the first byte, or from the connection, to the end of the fields; longer is 408. */
  readonly headerTimeoutMs: number;
  /** Until the fields and the body of a request are in; longer is 408. Answers may take any time. */
  readonly requestTimeoutMs: number;
  /** A connection without a request is closed after it. */
  readonly idleTimeoutMs: number;
  /** Connections beyond it are answered 503. */
  readonly connections: number;
}

/** What holds where the configuration says nothing. */
export const DEFAULT_HTTP_LIMITS: HttpLimits = {
  headerBytes: 16 * 1024,
  headerFields: 100,
  targetBytes: 8 * 1024,
  headerTimeoutMs: 15_000,
  requestTimeoutMs: 30_000,
  idleTimeoutMs: 65_000,
  connections: 10_000,
};
