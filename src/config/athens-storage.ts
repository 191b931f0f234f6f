import { type AthensDraft, asIs } from './athens-draft.ts';
import type { AthensSettings } from './athens-settings.ts';

const TYPES = ['memory', 'disk', 's3', 'minio', 'mongo', 'gcp', 'azureblob', 'external'] as const;

const LAYOUT = 'a folder of its own, by digest; caje import ROOT takes over what Athens kept';
const BUCKET = 'keys begin with caje/: bodies lie by digest here, not in the layout of Athens';
const BACKEND = 's3';

/** Writes where bodies and the manifest lie. */
export function draftStorage(settings: AthensSettings, draft: AthensDraft): void {
  const type = settings.choice('StorageType', TYPES) ?? 'memory';
  switch (type) {
    case 'memory':
      draft.put(['storage'], { local: { type: 'memory' } });
      return;
    case 'disk': {
      const root = settings.text('Storage.Disk.RootPath');
      if (root === undefined) settings.refuse('Storage.Disk.RootPath', 'a folder');
      draft.put(['data'], `${asIs(root ?? '').replace(/\/+$/, '')}/caje`);
      draft.partly(['data'], LAYOUT);
      return;
    }
    case 's3':
      draftS3(settings, draft);
      return;
    case 'minio':
      draftMinio(settings, draft);
      return;
    default:
      settings.note('StorageType', `there is no backend for ${type}: bodies lie in ./data`);
  }
}

function draftS3(settings: AthensSettings, draft: AthensDraft): void {
  const key = (name: string): string => `Storage.S3.${name}`;
  const text = (name: string): string | undefined => settings.text(key(name));
  const [endpoint, region, bucket] = [text('Endpoint'), text('Region'), text('Bucket')];
  if (bucket === undefined) settings.refuse(key('Bucket'), 'the name of a bucket');
  if (region === undefined) settings.refuse(key('Region'), 'a region');
  const byDefault = settings.flag(key('UseDefaultConfiguration')) === true;
  const own = !byDefault && text('Key') !== undefined && text('Secret') !== undefined;
  for (const name of ['CredentialsEndpoint', 'AwsContainerCredentialsRelativeURI']) {
    if (text(name) === undefined) continue;
    settings.note(key(name), 'where containers find credentials is left to the AWS SDK');
  }
  if (byDefault)
    for (const name of ['Key', 'Secret', 'Token'].filter((one) => text(one) !== undefined))
      settings.note(key(name), 'UseDefaultConfiguration leaves credentials to the AWS SDK');
  draftBucket(draft, {
    ...(endpoint !== undefined && { endpoint: asIs(endpoint) }),
    region: asIs(region ?? ''),
    bucket: asIs(bucket ?? ''),
    prefix: 'caje/',
    ...(settings.flag(key('ForcePathStyle')) === true && { forcePathStyle: true }),
    ...(own && {
      credentials: {
        accessKeyId: settings.secret(key('Key'), 'AWS_ACCESS_KEY_ID'),
        secretAccessKey: settings.secret(key('Secret'), 'AWS_SECRET_ACCESS_KEY'),
        ...(text('Token') !== undefined && {
          sessionToken: settings.secret(key('Token'), 'AWS_SESSION_TOKEN'),
        }),
      },
    }),
  });
}

function draftMinio(settings: AthensSettings, draft: AthensDraft): void {
  const required = (name: string): string => {
    const text = settings.text(`Storage.Minio.${name}`);
    if (text === undefined) settings.refuse(`Storage.Minio.${name}`, 'a text');
    return text ?? '';
  };
  const scheme = settings.flag('Storage.Minio.EnableSSL') === true ? 'https' : 'http';
  required('Key');
  required('Secret');
  const region = settings.text('Storage.Minio.Region');
  draftBucket(draft, {
    endpoint: `${scheme}://${asIs(required('Endpoint'))}`,
    ...(region !== undefined && { region: asIs(region) }),
    bucket: asIs(required('Bucket')),
    prefix: 'caje/',
    forcePathStyle: true,
    credentials: {
      accessKeyId: settings.secret('Storage.Minio.Key', 'ATHENS_MINIO_ACCESS_KEY_ID'),
      secretAccessKey: settings.secret('Storage.Minio.Secret', 'ATHENS_MINIO_SECRET_ACCESS_KEY'),
    },
  });
}

function draftBucket(draft: AthensDraft, options: Readonly<Record<string, unknown>>): void {
  draft.put(['storage', BACKEND], { type: 's3', ...options });
  draft.partly(['storage', BACKEND], BUCKET);
  draft.put(['stashers'], { keep: { type: 'store', backend: BACKEND } });
}
