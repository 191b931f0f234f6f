/**
 * What of a body survives once its row is written. `full`: it is on disk, and stays there when the power goes. `os`: the operating
 * system has it, so that it survives the process, and the power may take what was written last.
 */
export type Durability = 'full' | 'os';
