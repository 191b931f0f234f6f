/**
 * Bodies up to this many bytes are kept whole in memory while they arrive and lie in the node-local database afterwards:
 * they never touch a file of their own.
 */
export const SMALL_BODY: number = 64 * 1024;
