import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { steadyPort } from './steady-port.ts';
import { tempFolder } from './temp-folder.ts';

/** A real S3 server of the tests' own, on a loopback port and a temporary folder. */
export interface S3Server extends AsyncDisposable {
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
  /** Folder whose sub-folders are the buckets and whose files are the objects. */
  readonly dataFolder: string;
  /** Makes a bucket and gives its name. */
  createBucket(name?: string): Promise<string>;
  /** Removes an object behind everybody's back. */
  removeObject(bucket: string, key: string): Promise<void>;
  /** Keys of uploads that are open, the first thousand. */
  openUploads(bucket: string): Promise<string[]>;
  /** Ends the server; `start` brings it back with its data on the same port. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Stops the process where it stands: connections are taken, nothing is answered. */
  pause(): void;
  resume(): void;
  /** Ends the server and removes its data. */
  stop(): Promise<void>;
}

const ACCESS_KEY = 'test';
const SECRET_KEY = 'testtest';
const REGION = 'us-east-1';
const START_LIMIT_MS = 15_000;
const POLL_MS = 10;

/** Path of the server's program: CAJE_TEST_VERSITYGW, else as `scripts/provision` installs it, else on PATH. Absent: there is none. */
export function s3ServerProgram(): string | undefined {
  const named = process.env['CAJE_TEST_VERSITYGW'];
  if (named !== undefined && named !== '') return named;
  const provisioned = join(import.meta.dirname, '../../.provision/bin/versitygw');
  const onPath = (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => join(folder, 'versitygw'));
  return [provisioned, ...onPath].find((path) => existsSync(path));
}

/** Why tests on a real S3 server cannot run here. Absent: they can. */
export function s3ServerMissing(): string | undefined {
  if (s3ServerProgram() !== undefined) return undefined;
  return 'versitygw is not installed: run scripts/provision, or name it in CAJE_TEST_VERSITYGW';
}

/** Starts a server. Throws when there is no program or it does not answer within 15 seconds. */
export async function startS3Server(): Promise<S3Server> {
  const program = s3ServerProgram();
  if (program === undefined) throw new Error(s3ServerMissing());
  const folder = await tempFolder();
  const dataFolder = join(folder.path, 'data');
  await mkdir(dataFolder);
  const port = await steadyPort();
  const endpoint = `http://127.0.0.1:${port}`;
  let child: ChildProcess | undefined;
  let buckets = 0;
  const client = new S3Client({
    endpoint,
    region: REGION,
    forcePathStyle: true,
    credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY },
  });

  const start = async (): Promise<void> => {
    const args = [
      '--port',
      `127.0.0.1:${port}`,
      '--keep-alive',
      '--quiet',
      '--health',
      '/health',
      'posix',
      dataFolder,
    ];
    const env = { ...process.env, ROOT_ACCESS_KEY: ACCESS_KEY, ROOT_SECRET_KEY: SECRET_KEY };
    const started = spawn(program, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
    child = started;
    let said = '';
    started.stderr?.on('data', (text: Buffer) => {
      said = (said + text.toString()).slice(-2000);
    });
    const deadline = Date.now() + START_LIMIT_MS;
    while (!(await answers(`${endpoint}/health`))) {
      if (started.exitCode !== null || Date.now() > deadline) {
        started.kill('SIGKILL');
        throw new Error(`versitygw did not start: ${said}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  };
  const kill = async (): Promise<void> => {
    const running = child;
    child = undefined;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const gone = new Promise((resolve) => running.once('exit', resolve));
    running.kill('SIGKILL');
    await gone;
  };
  const stop = async (): Promise<void> => {
    client.destroy();
    await kill();
    await folder[Symbol.asyncDispose]();
  };

  await start();
  return {
    endpoint,
    accessKeyId: ACCESS_KEY,
    secretAccessKey: SECRET_KEY,
    region: REGION,
    dataFolder,
    createBucket: async (name = `bucket-${++buckets}`) => {
      await client.send(new CreateBucketCommand({ Bucket: name }));
      return name;
    },
    removeObject: async (Bucket, Key) => {
      await client.send(new DeleteObjectCommand({ Bucket, Key }));
    },
    openUploads: async (Bucket) => {
      const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket }));
      return Uploads.map(({ Key = '' }) => Key);
    },
    kill,
    start,
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url);
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}
