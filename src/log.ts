import { pino } from 'pino';

/** What a part of caje may say to the operator: a set of fields, then one short sentence. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  /** The same log with fields that each line carries. */
  child(fields: object): Logger;
}

/** How much is said. `silent`: nothing. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** JSON lines on standard error. Fields that may hold credentials are masked. */
export function createLogger(level: LogLevel = 'info'): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: {
        paths: ['authorization', 'cookie', '*.authorization', '*.cookie', 'token'],
        censor: '***',
      },
    },
    pino.destination({ dest: 2, sync: false }),
  );
}

/** A log that says nothing: for tests and one-shot commands. */
export const silentLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLogger,
};
