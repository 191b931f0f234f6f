/**
 * Fields that belong to one connection (RFC 9110 §7.6.1), with Host and Expect, which the sender decides and the
 * server side has answered. Lower case.
 */
export const CONNECTION_FIELDS: ReadonlySet<string> = new Set([
  'host',
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
]);

/** Fields that make a request conditional (RFC 9110 §13.1). Lower case. */
export const CONDITION_FIELDS: ReadonlySet<string> = new Set([
  'if-none-match',
  'if-modified-since',
  'if-match',
  'if-unmodified-since',
  'if-range',
]);

/** Fields that carry a person's or a program's credentials. Lower case. */
export const CREDENTIAL_FIELDS: ReadonlySet<string> = new Set([
  'authorization',
  'cookie',
  'proxy-authorization',
  'x-api-key',
  'x-auth-token',
  'x-amz-security-token',
  'private-token',
  'job-token',
  'deploy-token',
]);
