import {
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import type { Storage } from './storages.ts';

/** Keys of uploads that are open and of objects that are not published yet; none where the storage is not S3. */
export async function listUploads({ server, options, others }: Storage): Promise<string[]> {
  if (server === undefined) return [];
  const { bucket, ...connection } = structuredClone(
    others?.['far'] ?? options,
  ) as unknown as S3ClientConfig & {
    readonly bucket: string;
  };
  const client = new S3Client({ ...connection, region: server.region });
  try {
    const open = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    const all = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
    const staged = (all.Contents ?? []).filter(({ Key = '' }) => !/^(sha256|rows)\//.test(Key));
    return [...(open.Uploads ?? []), ...staged].map(({ Key = '' }) => Key);
  } finally {
    client.destroy();
  }
}
