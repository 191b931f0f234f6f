import { type Command, InvalidArgumentError } from 'commander';
import { parseDuration } from '../values.ts';

/** What every command that works on a node takes. */
export interface OperatorOptions {
  /** Absent: CAJE_CONFIG, ./caje.yaml or the built-in default. */
  readonly config?: string | undefined;
  readonly json?: boolean | undefined;
}

/** Adds `--config` and `--json`. */
export function withOperatorOptions(command: Command): Command {
  return command
    .option('-c, --config <file>', 'configuration whose node or data folder is meant')
    .option('--json', 'for programs: one JSON value a line');
}

/** Reads an option that counts. Throws for anything but a whole number from 1. */
export function parseCount(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1)
    throw new InvalidArgumentError('expected a whole number from 1.');
  return number;
}

/** Reads a port; 0 takes a free one. */
export function parsePort(text: string): number {
  const number = Number(text);
  if (text.trim() === '' || !Number.isInteger(number) || number < 0 || number > 65_535)
    throw new InvalidArgumentError('expected a port from 0 to 65535.');
  return number;
}

/** Reads an option that picks something; nothing at all would pick everything. */
export function parseFilled(text: string): string {
  if (text === '') throw new InvalidArgumentError('expected a text that is not empty.');
  return text;
}

/** Reads a time such as `5s`, in milliseconds; at least one. */
export function parseTime(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms < 1)
    throw new InvalidArgumentError('expected a duration such as 500ms, 5s or 1m.');
  return ms;
}
