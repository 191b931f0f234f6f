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

/** A log whose level can be set while it is in use. */
export interface LevelLogger extends Logger {
  /** From now on for it and every child. */
  setLevel(level: LogLevel): void;
}

/** JSON lines on standard error. Fields that may hold credentials are masked. */
export function createLogger(level: LogLevel = 'info'): LevelLogger {
  // pino gives a child its parent's level once, when it is made.
  const children = new Set<WeakRef<{ level: string }>>();
  const log = pino(
    {
      level,
      onChild: (child) => void children.add(new WeakRef(child)),
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: {
        paths: ['authorization', 'cookie', '*.authorization', '*.cookie', 'token'],
        censor: '***',
      },
    },
    pino.destination({ dest: 2, sync: false }),
  );
  return Object.assign(log, {
    setLevel: (next: LogLevel): void => {
      log.level = next;
      for (const ref of children) {
        const child = ref.deref();
        if (child === undefined) children.delete(ref);
        else child.level = next;
      }
    },
  });
}

/** A log that says nothing: for tests and one-shot commands. */
export const silentLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLogger,
};
