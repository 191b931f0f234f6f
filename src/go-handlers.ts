import { populate } from './go-populate-handler.ts';
import type { GoParts } from './go-rules.ts';
import { populateInput } from './go-schemas.ts';
import type { ControlHandler } from './http/control-socket.ts';
import { parseInput } from './operator-input.ts';

/** The commands for Go modules by name: `populate`. */
export function createGoHandlers(parts: GoParts): Readonly<Record<string, ControlHandler>> {
  return {
    populate: (input, options) => populate(parts, parseInput(populateInput, input), options),
  };
}
