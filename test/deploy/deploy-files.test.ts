import { existsSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { parse as parseToml } from 'smol-toml';
import { parse as parseYaml } from 'yaml';
import { runCaje } from '../support/run-caje.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { environmentOf, given, readDockerfile, type Stage } from './dockerfile.ts';

const ROOT = join(import.meta.dirname, '../..');
const text = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** Keys that LiteFS 0.5 takes; it refuses any other. */
const LITEFS_KEYS: Readonly<Record<string, readonly string[]>> = {
  '': ['fuse', 'data', 'exit-on-error', 'lease', 'exec', 'http', 'log'],
  fuse: ['dir', 'allow-other', 'debug'],
  data: ['dir', 'compress', 'retention', 'retention-monitor-interval'],
  lease: [
    'type',
    'candidate',
    'promote',
    'hostname',
    'advertise-url',
    'consul',
    'reconnect-delay',
    'demote-delay',
  ],
};

interface Fly {
  readonly app: string;
  readonly primary_region: string;
  readonly build: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string>>;
  readonly files: readonly { readonly guest_path: string }[];
  readonly mounts: readonly { readonly destination: string }[];
  readonly http_service: {
    readonly internal_port: number;
    readonly checks: readonly { readonly path: string }[];
    readonly auto_stop_machines: string;
    readonly auto_start_machines: boolean;
  };
  readonly checks: Readonly<Record<string, { readonly port: number; readonly path: string }>>;
}

interface LiteFs {
  readonly fuse: { readonly dir: string; readonly 'allow-other': boolean };
  readonly data: { readonly dir: string };
  readonly lease: Readonly<Record<string, unknown>>;
  readonly exec: readonly { readonly cmd: string; readonly 'if-candidate'?: boolean }[];
}

interface Service {
  readonly build?: { readonly target: string };
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly depends_on?: Readonly<Record<string, unknown>>;
  readonly secrets?: readonly string[];
}

interface ClusterFile {
  readonly listen: { readonly public: string; readonly peer: string };
  readonly cluster: { readonly token: { readonly file: string } };
}

const stages = readDockerfile(text('Dockerfile'));
const fly = parseToml(text('fly.toml')) as unknown as Fly;
const cluster = parseYaml(text('deploy/cluster.yaml')) as ClusterFile;
const litefsText = text('deploy/litefs.yml').replaceAll(/\$\{[^}]*\}/g, 'x');
const litefs = parseYaml(litefsText) as LiteFs;
const compose = parseYaml(
  text('deploy/compose.yaml').replaceAll(/\$\{(\w+):\?[^}]*\}/g, 'http://127.0.0.1:9/$1'),
  { merge: true },
) as { readonly services: Readonly<Record<string, Service>>; readonly secrets: object };
const portOf = (address: string): number => Number(/:(\d+)$/.exec(address)?.[1]);
const PUBLIC = portOf(cluster.listen.public);
const PEER = portOf(cluster.listen.peer);
/** What the places set that run the image; Fly and its bucket, or compose. */
const PLACE = {
  AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:9',
  AWS_REGION: 'auto',
  BUCKET_NAME: 'caje',
  AWS_ACCESS_KEY_ID: 'id',
  AWS_SECRET_ACCESS_KEY: 'secret',
  ORIGIN_URL: 'http://127.0.0.1:9',
  GOPROXY: 'http://127.0.0.1:9/go',
};

function stage(name: string): Stage {
  const found = stages.find((one) => one.name === name);
  if (found === undefined) throw new Error(`the Dockerfile has no stage ${name}`);
  return found;
}

async function printed(env: Readonly<Record<string, string>>): Promise<string> {
  await using folder = await tempFolder();
  const file = join(folder.path, 'cluster.yaml');
  const secret = join(folder.path, 'peer');
  await mkdir(dirname(secret), { recursive: true });
  await writeFile(secret, 'a secret of the cluster');
  await writeFile(file, text('deploy/cluster.yaml').replaceAll(cluster.cluster.token.file, secret));
  const { code, stdout, stderr } = await runCaje(['config', 'print', '--config', file], {
    env: { ...PLACE, ...env },
  });
  expect([code, stderr]).to.deep.equal([0, '']);
  return stdout.replaceAll(folder.path, '');
}

describe('the files that deploy caje', function () {
  this.timeout(30_000);

  it('copy into the image what is there and is not ignored', () => {
    const ignored = text('.dockerignore').split('\n').filter(Boolean);
    const copied = stages.flatMap(({ instructions }) =>
      instructions
        .filter(({ name, text: of }) => name === 'COPY' && !of.startsWith('--from'))
        .flatMap(({ text: of }) => of.split(/\s+/).slice(0, -1)),
    );
    expect(copied).to.include.members(['package.json', 'package-lock.json', 'bin', 'src']);
    for (const path of copied) {
      expect(existsSync(join(ROOT, path)), path).to.equal(true);
      expect(ignored, path).not.to.include(path.split('/')[0]);
    }
    for (const needed of ['.git', '**/node_modules']) expect(ignored).to.include(needed);
  });

  it('run caje as a user of its own, also where LiteFS mounts as root', () => {
    expect(given(stages, stage('node'), 'USER').at(-1)).to.equal('caje');
    expect(given(stages, stage('node'), 'CMD').at(-1)).to.equal('["caje", "serve"]');
    expect(given(stages, stage('cluster'), 'CMD').at(-1)).to.equal('["litefs", "mount"]');
    const own = litefs.exec.filter(({ cmd }) => /\bcaje (migrate|serve)\b/.test(cmd));
    expect(own).to.have.lengthOf(2);
    for (const { cmd } of own)
      expect(cmd).to.match(/^setpriv --reuid=caje --regid=caje --init-groups caje /);
    expect(litefs.fuse['allow-other']).to.equal(true);
    expect(given(stages, stage('node'), 'RUN').join()).to.contain('useradd --system --user-group');
  });

  it('name commands that there are, migration first and only where it can write', async () => {
    const { stdout } = await runCaje(['--help']);
    const commands = litefs.exec.map(({ cmd }) => /\bcaje (\w+)$/.exec(cmd)?.[1]);
    expect(commands).to.deep.equal([undefined, 'migrate', 'serve']);
    for (const command of commands.slice(1))
      expect(stdout).to.match(new RegExp(`^ +${command}\\b`, 'm'));
    expect(litefs.exec.map((one) => one['if-candidate'])).to.deep.equal([
      undefined,
      true,
      undefined,
    ]);
  });

  it('agree on ports, paths and secrets', () => {
    expect(PUBLIC).to.equal(8080);
    expect(fly.http_service.internal_port).to.equal(PUBLIC);
    expect(Object.values(fly.checks).map(({ port }) => port)).to.deep.equal([PUBLIC]);
    expect(portOf(fly.env['CAJE_CLUSTER__DNS'] ?? '')).to.equal(PEER);
    expect(fly.env['CAJE_CLUSTER__DNS']).to.equal(`${fly.app}.internal:${PEER}`);
    const advertised = String(text('deploy/litefs.yml').match(/advertise-url: "(.*)"/)?.[1]);
    expect(fly.env['CAJE_MANIFEST__LITEFS__PRIMARY']).to.equal(
      advertised.replace('${FLY_MACHINE_ID}', '{hostname}').replace('${FLY_APP_NAME}', fly.app),
    );
    expect(text('deploy/litefs.yml')).to.contain('hostname: "${FLY_MACHINE_ID}"');
    expect(fly.files.map(({ guest_path }) => guest_path)).to.deep.equal([
      cluster.cluster.token.file,
    ]);
    const [volume] = fly.mounts;
    const env = environmentOf(stages, stage('cluster'));
    expect(dirname(env['CAJE_MANIFEST__PATH'] ?? '')).to.equal(litefs.fuse.dir);
    for (const path of [litefs.data.dir, env['CAJE_DATA'] ?? ''])
      expect(path).to.match(new RegExp(`^${volume?.destination}/`));
    expect(litefs.exec[0]?.cmd.endsWith(` ${env['CAJE_DATA']}`)).to.equal(true);
    expect(given(stages, stage('cluster'), 'EXPOSE').join(' ')).to.equal(`${PUBLIC} ${PEER} 20202`);
    expect(String(litefs.lease['advertise-url'])).to.match(/:20202$/);
    expect(existsSync(join(ROOT, fly.build['dockerfile'] ?? ''))).to.equal(true);
    expect(stage(fly.build['build-target'] ?? '').base).to.equal('node');
  });

  it('keep machines running, and let one region alone hold the lease', () => {
    expect([
      fly.http_service.auto_stop_machines,
      fly.http_service.auto_start_machines,
    ]).to.deep.equal(['off', false]);
    expect(fly.env['PRIMARY_REGION']).to.equal(fly.primary_region);
    expect(text('deploy/litefs.yml')).to.contain('candidate: ${FLY_REGION == PRIMARY_REGION}');
    // A region is named nowhere else: what is deployed is the same everywhere.
    const named = text('fly.toml')
      .split('\n')
      .filter((line) => line.includes(`"${fly.primary_region}"`));
    expect(named).to.have.lengthOf(2);
  });

  it('use only keys that LiteFS knows', () => {
    for (const [section, known] of Object.entries(LITEFS_KEYS)) {
      const value = (section === '' ? litefs : litefs[section as 'fuse']) as object;
      expect(known, section).to.include.members(Object.keys(value));
    }
    expect(litefs.lease['type']).to.equal('consul');
  });

  it('C8: give two regions the same configuration, which is right as it is', async () => {
    const env = { ...environmentOf(stages, stage('cluster')), ...fly.env };
    const own = Object.fromEntries(Object.entries(env).filter(([name]) => name !== 'CAJE_CONFIG'));
    const [one, two] = await Promise.all([
      printed({ ...own, FLY_REGION: 'fra', FLY_MACHINE_ID: '1' }),
      printed({ ...own, FLY_REGION: 'syd', FLY_MACHINE_ID: '2' }),
    ]);
    expect(one).to.equal(two);
    expect(one).to.contain('/litefs/manifest.db').and.to.contain(`${fly.app}.internal:${PEER}`);
  });

  it('compose three nodes, a store, and nothing that is not there', async () => {
    const { services } = compose;
    const nodes = Object.entries(services).filter(([, { build }]) => build !== undefined);
    expect(nodes.map(([name]) => name)).to.deep.equal(['caje1', 'caje2', 'caje3']);
    const outside = nodes.map(([, { ports }]) => ports?.[0]?.split(':'));
    for (const [host, , inside] of outside as string[][])
      expect([host, inside]).to.deep.equal(['127.0.0.1', String(PUBLIC)]);
    expect(new Set(outside.map((parts) => parts?.[1])).size).to.equal(3);
    for (const [name, { build, depends_on, secrets, environment = {} }] of nodes) {
      expect(stage(build?.target ?? '').name, name).to.equal('node');
      expect(Object.keys(services)).to.include.members(Object.keys(depends_on ?? {}));
      expect(secrets).to.deep.equal(Object.keys(compose.secrets));
      const primary = environment['CAJE_CLUSTER__PRIMARY'] ?? '';
      expect(primary).to.equal(`http://caje1:${PEER}`);
      const { CAJE_CONFIG: path = '', ...env } = environment;
      expect(given(stages, stage('node'), 'COPY')).to.include(`deploy/cluster.yaml ${path}`);
      const effective = await printed({ ...environmentOf(stages, stage('node')), ...env });
      expect(effective).to.contain(primary).and.to.contain('journal');
    }
  });
});
