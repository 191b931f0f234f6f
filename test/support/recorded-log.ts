import type { Logger, LogLevel } from '../../src/log.ts';

/** One line that was logged. */
export interface LogLine {
  readonly level: Exclude<LogLevel, 'silent'>;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

/** A log that keeps what it is told, with the fields of the logs above it. */
export class RecordedLog implements Logger {
  readonly lines: LogLine[];
  readonly #common: object;

  constructor(lines: LogLine[] = [], common: object = {}) {
    this.lines = lines;
    this.#common = common;
  }

  debug(fields: object, message: string): void {
    this.#note('debug', fields, message);
  }

  info(fields: object, message: string): void {
    this.#note('info', fields, message);
  }

  warn(fields: object, message: string): void {
    this.#note('warn', fields, message);
  }

  error(fields: object, message: string): void {
    this.#note('error', fields, message);
  }

  child(fields: object): Logger {
    return new RecordedLog(this.lines, { ...this.#common, ...fields });
  }

  #note(level: LogLine['level'], fields: object, message: string): void {
    this.lines.push({ level, message, fields: { ...this.#common, ...fields } });
  }
}
