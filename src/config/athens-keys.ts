/** What a value is; in the environment each is a text, lists with `,` and assignments with `;` between. */
export type AthensKind = 'text' | 'number' | 'flag' | 'list' | 'assignments';

/** One setting of Athens v0.18 by its two names (its config.dev.toml and pkg/config). */
export interface AthensKey {
  /** In athens.toml, dotted. */
  readonly toml: string;
  /** Variables that stand over the file, the first one that is set counts. */
  readonly env: readonly string[];
  /** Absent: a text. */
  readonly kind?: AthensKind | undefined;
  /** Never shown. */
  readonly secret?: boolean | undefined;
  /** Only read where another setting has this value. */
  readonly where?: readonly [key: string, value: string] | undefined;
  /** Why nothing is carried over. Absent: something is. */
  readonly none?: string | undefined;
}

const HITS = 'hits never wait for fetches here; fills.concurrent bounds all fetches together';
const FRONT = 'the node answers plain HTTP: put a proxy that ends TLS in front of it';
const AUTH = 'the node asks clients for no password: put a proxy that does in front of it';
const TRACES = 'traces are not exported';
const LOCKS = 'one fetch per key needs no lock service; nodes ask each other as peers';
const BLOCK = 'there is no such backend';
const INDEX = '/index and /catalog are read from the manifest, which every node has';

/** All of them, in the order of config.dev.toml. */
export const ATHENS_KEYS: readonly AthensKey[] = [
  { toml: 'GoBinary', env: ['GO_BINARY_PATH'] },
  { toml: 'GoEnv', env: ['GO_ENV'], none: 'the node knows one environment' },
  { toml: 'GoBinaryEnvVars', env: ['ATHENS_GO_BINARY_ENV_VARS'], kind: 'assignments' },
  { toml: 'GoGetWorkers', env: ['ATHENS_GOGET_WORKERS'], kind: 'number' },
  {
    toml: 'GoGetDir',
    env: ['ATHENS_GOGET_DIR'],
    none: 'temporary folders lie in the data folder or where TMPDIR says',
  },
  {
    toml: 'ProtocolWorkers',
    env: ['ATHENS_PROTOCOL_WORKERS'],
    kind: 'number',
    none: HITS,
  },
  { toml: 'LogLevel', env: ['ATHENS_LOG_LEVEL'] },
  { toml: 'LogFormat', env: ['ATHENS_LOG_FORMAT'] },
  { toml: 'CloudRuntime', env: ['ATHENS_CLOUD_RUNTIME'] },
  {
    toml: 'EnablePprof',
    env: ['ATHENS_ENABLE_PPROF'],
    kind: 'flag',
    none: 'there is no profiling listener; node --inspect is the nearest',
  },
  { toml: 'PprofPort', env: ['ATHENS_PPROF_PORT'], none: 'there is no profiling listener' },
  { toml: 'FilterFile', env: ['ATHENS_FILTER_FILE'] },
  { toml: 'RobotsFile', env: ['ATHENS_ROBOTS_FILE'], none: 'there is no robots.txt' },
  {
    toml: 'Timeout',
    env: ['ATHENS_TIMEOUT'],
    kind: 'number',
    none: 'lists and storage have their own limits: timeouts of the fetchers',
  },
  { toml: 'StashTimeout', env: ['ATHENS_STASH_TIMEOUT'], kind: 'number' },
  { toml: 'StorageType', env: ['ATHENS_STORAGE_TYPE'] },
  { toml: 'TLSCertFile', env: ['ATHENS_TLSCERT_FILE'], none: FRONT },
  { toml: 'TLSKeyFile', env: ['ATHENS_TLSKEY_FILE'], none: FRONT },
  { toml: 'Port', env: ['ATHENS_PORT', 'PORT'] },
  { toml: 'UnixSocket', env: ['ATHENS_UNIX_SOCKET'], none: 'the node listens on TCP' },
  { toml: 'GlobalEndpoint', env: ['ATHENS_GLOBAL_ENDPOINT'] },
  { toml: 'BasicAuthUser', env: ['BASIC_AUTH_USER'], secret: true, none: AUTH },
  { toml: 'BasicAuthPass', env: ['BASIC_AUTH_PASS'], secret: true, none: AUTH },
  { toml: 'HomeTemplatePath', env: ['ATHENS_HOME_TEMPLATE_PATH'], none: 'there is no home page' },
  { toml: 'ForceSSL', env: ['PROXY_FORCE_SSL'], kind: 'flag', none: FRONT },
  { toml: 'ValidatorHook', env: ['ATHENS_PROXY_VALIDATOR'] },
  { toml: 'PathPrefix', env: ['ATHENS_PATH_PREFIX'] },
  { toml: 'NETRCPath', env: ['ATHENS_NETRC_PATH'] },
  { toml: 'GithubToken', env: ['ATHENS_GITHUB_TOKEN'], secret: true },
  { toml: 'HGRCPath', env: ['ATHENS_HGRC_PATH'], none: 'Mercurial repositories are not asked' },
  { toml: 'TraceExporter', env: ['ATHENS_TRACE_EXPORTER'], none: TRACES },
  { toml: 'TraceExporterURL', env: ['ATHENS_TRACE_EXPORTER_URL'], none: TRACES },
  {
    toml: 'TraceSamplingFraction',
    env: ['ATHENS_TRACE_SAMPLING_FRACTION'],
    none: TRACES,
  },
  {
    toml: 'StatsExporter',
    env: ['ATHENS_STATS_EXPORTER'],
    none: 'caje counters prints what the node counts',
  },
  { toml: 'SumDBs', env: ['ATHENS_SUM_DBS'], kind: 'list' },
  { toml: 'NoSumPatterns', env: ['ATHENS_GONOSUM_PATTERNS'], kind: 'list' },
  { toml: 'DownloadMode', env: ['ATHENS_DOWNLOAD_MODE'] },
  { toml: 'NetworkMode', env: ['ATHENS_NETWORK_MODE'] },
  { toml: 'DownloadURL', env: ['ATHENS_DOWNLOAD_URL'] },
  { toml: 'SingleFlightType', env: ['ATHENS_SINGLE_FLIGHT_TYPE'] },
  { toml: 'IndexType', env: ['ATHENS_INDEX_TYPE'] },
  { toml: 'ShutdownTimeout', env: ['ATHENS_SHUTDOWN_TIMEOUT'], kind: 'number' },
  ...block('SingleFlight.Etcd', ['SingleFlightType', 'etcd'], LOCKS, {
    Endpoints: 'ATHENS_ETCD_ENDPOINTS',
  }),
  ...block('SingleFlight.Redis', ['SingleFlightType', 'redis'], LOCKS, {
    Endpoint: 'ATHENS_REDIS_ENDPOINT',
    Password: 'ATHENS_REDIS_PASSWORD',
    Cluster: 'ATHENS_REDIS_CLUSTER',
    'LockConfig.TTL': 'ATHENS_REDIS_LOCK_TTL',
    'LockConfig.Timeout': 'ATHENS_REDIS_LOCK_TIMEOUT',
    'LockConfig.MaxRetries': 'ATHENS_REDIS_LOCK_MAX_RETRIES',
  }),
  ...block('SingleFlight.RedisSentinel', ['SingleFlightType', 'redis-sentinel'], LOCKS, {
    Endpoints: 'ATHENS_REDIS_SENTINEL_ENDPOINTS',
    MasterName: 'ATHENS_REDIS_SENTINEL_MASTER_NAME',
    SentinelPassword: 'ATHENS_REDIS_SENTINEL_PASSWORD',
    DB: 'ATHENS_REDIS_SENTINEL_DB',
    RedisUsername: 'ATHENS_REDIS_USERNAME',
    RedisPassword: 'ATHENS_REDIS_PASSWORD',
    'LockConfig.TTL': 'ATHENS_REDIS_LOCK_TTL',
    'LockConfig.Timeout': 'ATHENS_REDIS_LOCK_TIMEOUT',
    'LockConfig.MaxRetries': 'ATHENS_REDIS_LOCK_MAX_RETRIES',
  }),
  ...block('SingleFlight.GCP', ['SingleFlightType', 'gcp'], LOCKS, {
    StaleThreshold: 'ATHENS_GCP_STALE_THRESHOLD',
  }),
  ...block('Storage.Disk', ['StorageType', 'disk'], undefined, {
    RootPath: 'ATHENS_DISK_STORAGE_ROOT',
  }),
  ...block('Storage.GCP', ['StorageType', 'gcp'], BLOCK, {
    ProjectID: 'GOOGLE_CLOUD_PROJECT',
    Bucket: 'ATHENS_STORAGE_GCP_BUCKET',
    JSONKey: 'ATHENS_STORAGE_GCP_JSON_KEY',
  }),
  ...block('Storage.Minio', ['StorageType', 'minio'], undefined, {
    Endpoint: 'ATHENS_MINIO_ENDPOINT',
    Key: 'ATHENS_MINIO_ACCESS_KEY_ID',
    Secret: 'ATHENS_MINIO_SECRET_ACCESS_KEY',
    Bucket: 'ATHENS_MINIO_BUCKET_NAME',
    Region: 'ATHENS_MINIO_REGION',
    EnableSSL: 'ATHENS_MINIO_USE_SSL',
  }),
  ...block('Storage.Mongo', ['StorageType', 'mongo'], BLOCK, {
    URL: 'ATHENS_MONGO_STORAGE_URL',
    DefaultDBName: 'ATHENS_MONGO_DEFAULT_DATABASE',
    DefaultCollectionName: 'ATHENS_MONGO_DEFAULT_COLLECTION',
    CertPath: 'ATHENS_MONGO_CERT_PATH',
    InsecureConn: 'ATHENS_MONGO_INSECURE',
  }),
  ...block('Storage.S3', ['StorageType', 's3'], undefined, {
    Region: 'AWS_REGION',
    Key: 'AWS_ACCESS_KEY_ID',
    Secret: 'AWS_SECRET_ACCESS_KEY',
    Token: 'AWS_SESSION_TOKEN',
    Bucket: 'ATHENS_S3_BUCKET_NAME',
    UseDefaultConfiguration: 'AWS_USE_DEFAULT_CONFIGURATION',
    ForcePathStyle: 'AWS_FORCE_PATH_STYLE',
    CredentialsEndpoint: 'AWS_CREDENTIALS_ENDPOINT',
    AwsContainerCredentialsRelativeURI: 'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI',
    Endpoint: 'AWS_ENDPOINT',
  }),
  ...block('Storage.AzureBlob', ['StorageType', 'azureblob'], BLOCK, {
    AccountName: 'ATHENS_AZURE_ACCOUNT_NAME',
    AccountKey: 'ATHENS_AZURE_ACCOUNT_KEY',
    ManagedIdentityResourceID: 'ATHENS_AZURE_MANAGED_IDENTITY_RESOURCE_ID',
    CredentialScope: 'ATHENS_AZURE_CREDENTIAL_SCOPE',
    ContainerName: 'ATHENS_AZURE_CONTAINER_NAME',
  }),
  ...block('Storage.External', ['StorageType', 'external'], BLOCK, {
    URL: 'ATHENS_EXTERNAL_STORAGE_URL',
  }),
  ...block('Index.MySQL', ['IndexType', 'mysql'], INDEX, indexKeys('MYSQL', 'Protocol')),
  ...block('Index.Postgres', ['IndexType', 'postgres'], INDEX, indexKeys('POSTGRES')),
];

function indexKeys(name: string, ...more: readonly string[]): Record<string, string> {
  const keys = [...more, 'Host', 'Port', 'User', 'Password', 'Database', 'Params'];
  return Object.fromEntries(
    keys.map((key) => [key, `ATHENS_INDEX_${name}_${key.toUpperCase()}`] as const),
  );
}

// What a block says counts only where its type is chosen; all but a few keys of it may hold secrets, so none is shown.
function block(
  name: string,
  where: readonly [string, string],
  none: string | undefined,
  keys: Readonly<Record<string, string>>,
): readonly AthensKey[] {
  return Object.entries(keys).map(([key, variable]): AthensKey => {
    const kind = /^(EnableSSL|UseDefaultConfiguration|ForcePathStyle)$/.test(key) ? 'flag' : 'text';
    const shown = none === undefined && !/^(Key|Secret|Token)$/.test(key);
    return { toml: `${name}.${key}`, env: [variable], kind, secret: !shown, where, none };
  });
}
