/** One instruction of a Dockerfile: `RUN`, and what it is given on one line. */
export interface Instruction {
  readonly name: string;
  readonly text: string;
}

/** What a Dockerfile makes between one FROM and the next. */
export interface Stage {
  /** `AS` name; its number where it has none. */
  readonly name: string;
  /** Image or stage that it begins from. */
  readonly base: string;
  readonly instructions: readonly Instruction[];
}

/** The stages of a Dockerfile in order. Comments and line ends within an instruction are gone. */
export function readDockerfile(text: string): readonly Stage[] {
  const lines = text
    .split('\n')
    .filter((line) => !/^\s*#/.test(line))
    .join('\n')
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const stages: (Stage & { instructions: Instruction[] })[] = [];
  for (const line of lines) {
    const [, name = '', rest = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
    if (name === 'FROM') {
      const [, base = '', as] = /^(\S+)(?:\s+AS\s+(\S+))?$/i.exec(rest) ?? [];
      stages.push({ name: as ?? String(stages.length), base, instructions: [] });
    } else stages.at(-1)?.instructions.push({ name, text: rest });
  }
  return stages;
}

/** What the instructions of this name are given, those of the stages it is based on first. */
export function given(stages: readonly Stage[], stage: Stage, name: string): readonly string[] {
  const base = stages.find((one) => one.name === stage.base);
  const before = base === undefined ? [] : given(stages, base, name);
  const own = stage.instructions.filter((one) => one.name === name).map(({ text }) => text);
  return [...before, ...own];
}

/** Environment of a stage's containers. */
export function environmentOf(
  stages: readonly Stage[],
  stage: Stage,
): Readonly<Record<string, string>> {
  const pairs = given(stages, stage, 'ENV').flatMap((text) => text.split(/\s+/));
  return Object.fromEntries(
    pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
}
