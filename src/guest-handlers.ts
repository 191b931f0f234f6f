import type { ControlHandler } from './http/control-socket.ts';
import { batchRequest, purgeShipped } from './manifest/primary-schemas.ts';
import type { PrimaryService } from './manifest/primary-service.ts';
import { parseInput } from './operator-input.ts';

/** `manifest-batch` and `manifest-purge`: what a process beside this node, such as `populate --watch`, has to write. */
export function createGuestHandlers({
  peers,
}: {
  readonly peers: Pick<PrimaryService, 'batchHere' | 'purgeHere'>;
}): Readonly<Record<string, ControlHandler>> {
  return {
    'manifest-batch': async (input) => await peers.batchHere(parseInput(batchRequest, input)),
    'manifest-purge': async (input) => await peers.purgeHere(parseInput(purgeShipped, input)),
  };
}
