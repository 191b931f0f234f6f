import { mkdir, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type Server, startProcess } from './start-process.ts';

/** A cache in front of an origin, or a server of its own. */
export interface NginxOptions {
  /** Folder of its own, for configuration, logs and cache. */
  readonly folder: string;
  /** What stands in the `server` block. */
  readonly server: string;
  /** What stands before it in the `http` block. */
  readonly http?: string | undefined;
}

const PATH_WITH_SBIN = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;

/** Starts nginx in the foreground with one worker process and no access log, on a free port of the loopback. */
export async function startNginx(options: NginxOptions): Promise<Server> {
  const { folder } = options;
  await mkdir(folder, { recursive: true });
  const port = await freePort();
  const path = join(folder, 'nginx.conf');
  await writeFile(path, configuration(options, port));
  return await startProcess({
    command: 'nginx',
    args: ['-e', 'stderr', '-p', folder, '-c', path],
    env: { PATH: PATH_WITH_SBIN },
    url: `http://127.0.0.1:${port}`,
  });
}

/** nginx as a cache on disk (`proxy_cache`) before an origin, with kept connections to it. */
export async function startNginxCache(folder: string, originUrl: string): Promise<Server> {
  const http = `
  proxy_cache_path ${join(folder, 'cache')} levels=1:2 keys_zone=bench:64m max_size=40g inactive=1d use_temp_path=off;
  upstream origin { server ${new URL(originUrl).host}; keepalive 64; keepalive_requests 1000000000; }`;
  const server = `
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_cache bench;
      proxy_cache_key $host$request_uri;
      proxy_cache_valid 200 1h;
      proxy_cache_lock on;
      proxy_cache_lock_timeout 60s;
      proxy_cache_lock_age 60s;
      proxy_max_temp_file_size 0;
      add_header X-Cache $upstream_cache_status;
    }`;
  return await startNginx({ folder, http, server });
}

/**
 * nginx as an origin without a disk: each path answers 1 KiB that begins with the path, so that no two bodies are
 * alike. Paths must have `pathBytes` bytes.
 */
export async function startNginxOrigin(folder: string, pathBytes: number): Promise<Server> {
  const filler = 'x'.repeat(1024 - pathBytes);
  const server = `
    location / {
      default_type application/octet-stream;
      add_header Cache-Control "public, max-age=3600";
      add_header ETag '"$uri"';
      return 200 "\${uri}${filler}";
    }`;
  return await startNginx({ folder, server });
}

function configuration({ folder, http, server }: NginxOptions, port: number): string {
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `  ${kind}_temp_path ${join(folder, kind)};`)
    .join('\n');
  // Started as root it would give its worker to `nobody`, who may not enter the temporary folder.
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  return `${user}
daemon off;
worker_processes 1;
pid ${join(folder, 'nginx.pid')};
error_log stderr error;
events { worker_connections 8192; }
http {
  access_log off;
  sendfile on;
  tcp_nopush off;
  keepalive_timeout 65;
  keepalive_requests 1000000000;
${temp}${http ?? ''}
  server {
    listen 127.0.0.1:${port} backlog=4096;${server}
  }
}
`;
}

/** A port that was free a moment ago, for programs that cannot take port 0. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
