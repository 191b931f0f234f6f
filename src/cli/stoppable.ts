const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/**
 * Runs work that a first Ctrl-C or SIGTERM stops in order; a second one ends the process at once. True: it was stopped.
 * Throws what the work throws on its own.
 */
export async function stoppable(work: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  for (const name of SIGNALS) process.once(name, onSignal);
  try {
    await work(stop.signal);
    return false;
  } catch (error) {
    // However it shows: to a node's client, for one, as an answer that breaks off.
    if (stop.signal.aborted) return true;
    throw error;
  } finally {
    for (const name of SIGNALS) process.off(name, onSignal);
  }
}
