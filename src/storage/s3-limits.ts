/** How long the store may take, in milliseconds. Tries that follow a failed one are part of it. */
export interface S3Limits {
  /** Until a connection stands. */
  readonly connectMs: number;
  /** Until a call without a body of its own is answered, or the body asked for begins. */
  readonly answerMs: number;
  /** Without a byte of a body, in either direction. */
  readonly idleMs: number;
  /** Until a copy on the server, or the joining of parts, is done. */
  readonly copyMs: number;
}

/** The usual time limits. */
export const S3_LIMITS: S3Limits = {
  connectMs: 5_000,
  answerMs: 10_000,
  idleMs: 30_000,
  copyMs: 300_000,
};
