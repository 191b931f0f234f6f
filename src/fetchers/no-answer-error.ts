import { ProxyError } from '../errors.ts';

/** A connection failed before one byte of an answer had come: the only failure that may be tried again. */
export class NoAnswerError extends ProxyError {}
