import type { AthensDraft } from './athens-draft.ts';
import type { AthensSettings } from './athens-settings.ts';

const LOG_LEVELS: Readonly<Record<string, string>> = {
  trace: 'debug',
  debug: 'debug',
  info: 'info',
  warn: 'warn',
  warning: 'warn',
  error: 'error',
  fatal: 'error',
  panic: 'error',
};

const SHUTDOWN_SECONDS = 60;
const GUARDED = ['BasicAuthUser', 'BasicAuthPass', 'UnixSocket', 'TLSCertFile'];

/** Writes where the node listens, how it stops and what it logs; checks what says nothing to it. */
export function draftNode(settings: AthensSettings, draft: AthensDraft): void {
  draftListen(settings, draft);
  const seconds = settings.number('ShutdownTimeout') ?? SHUTDOWN_SECONDS;
  draft.put(['drain'], { grace: `${seconds}s` });
  draftLog(settings, draft);
  const flight = settings.choice('SingleFlightType', [
    'memory',
    'etcd',
    'redis',
    'redis-sentinel',
    'gcp',
    'azureblob',
  ]);
  if (flight !== undefined && flight !== 'memory')
    settings.note('SingleFlightType', 'nodes that share work ask each other as peers');
  const index = settings.choice('IndexType', ['none', 'memory', 'mysql', 'postgres']);
  if (index !== undefined && index !== 'none')
    settings.note('IndexType', 'the index is read from the manifest, which every node has');
}

function draftListen(settings: AthensSettings, draft: AthensDraft): void {
  const written = settings.text('Port') ?? ':3000';
  const [, host, digits = ''] = /^(?:(\[[^\]]+\]|[^:/]*):)?(\d{1,5})$/.exec(written) ?? [];
  if (digits === '' || Number(digits) > 65_535)
    settings.refuse('Port', 'a port such as 3000 or :3000');
  const guards = GUARDED.filter((toml) => settings.placeOf(toml) !== undefined);
  const open = host === undefined || host === '';
  if (guards.length > 0) {
    draft.put(['listen'], { public: `127.0.0.1:${digits}` });
    const names = guards.map((toml) => settings.placeOf(toml) ?? toml).join(', ');
    const text = `this machine alone, since the node has nothing in place of ${names}`;
    draft.partly(['listen', 'public'], text);
  } else {
    draft.put(['listen'], { public: `${open ? '0.0.0.0' : host}:${digits}` });
    if (open) draft.partly(['listen', 'public'], 'IPv4 alone; [::] takes both');
  }
}

function draftLog(settings: AthensSettings, draft: AthensDraft): void {
  const level = settings.text('LogLevel');
  const known = level === undefined ? undefined : LOG_LEVELS[level.trim().toLowerCase()];
  if (known !== undefined) draft.put(['log'], { level: known });
  else if (level !== undefined)
    settings.refuse('LogLevel', `one of ${Object.keys(LOG_LEVELS).join(', ')}`);
  if (settings.choice('LogFormat', ['json', 'plain']) === 'plain')
    settings.note('LogFormat', 'the log is JSON, one value a line');
  if (settings.text('CloudRuntime') === 'GCP')
    settings.note('CloudRuntime', 'names of log fields are the same everywhere');
}
