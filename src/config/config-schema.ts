import { z } from 'zod';
import type { ComponentKind } from '../component.ts';
import { duration, httpUrl, size } from '../values.ts';
import { clusterSection, peerListenSchema } from './cluster-schema.ts';
import type { ComponentTypes } from './component-schema.ts';
import { componentJsonSchema, componentSection } from './component-schema.ts';
import type { ConfigSections, Role } from './config.ts';
import type { JsonSchema } from './json-schema.ts';
import { cidr, listenAddress } from './patterns.ts';
import { ruleJsonSchema, ruleSchema } from './rule-schema.ts';

/** Every key of the file, with the options of the given types. Durations come out in milliseconds, sizes in bytes. */
export function configSchema(types: ComponentTypes): z.ZodType<ConfigSections> {
  return z.strictObject({
    listen: z
      .strictObject({
        public: listenAddress().prefault('127.0.0.1:8080'),
        peer: peerListenSchema().optional(),
      })
      .prefault({}),
    memory: z
      .strictObject({ index: size().prefault('256MiB'), bodies: size().prefault('256MiB') })
      .prefault({}),
    fills: z.strictObject({ concurrent: count().default(64) }).prefault({}),
    data: z.string().min(1).default('./data'),
    roles: rolesList(),
    populate: z
      .strictObject({ interval: duration().prefault('5s') })
      .transform(({ interval }) => ({ intervalMs: interval }))
      .prefault({}),
    plugins: z.array(z.string().min(1)).default([]),
    storage: componentSection('backend', types),
    fetchers: componentSection('fetcher', types),
    stashers: componentSection('stasher', types),
    manifest: manifestSection(),
    cluster: clusterSection(),
    rules: z.array(ruleSchema(types)).min(1),
    trustedProxies: z.array(cidr()).prefault([]),
    spool: z.strictObject({ maxBytes: size().prefault('20GiB') }).prefault({}),
    drain: z
      .strictObject({ notReady: duration().prefault('0s'), grace: duration().prefault('30s') })
      .transform(({ notReady, grace }) => ({ notReadyMs: notReady, graceMs: grace }))
      .prefault({}),
    gc: z
      .strictObject({
        orphanGrace: duration().prefault('1h'),
        quarantine: duration().prefault('7d'),
        period: duration().prefault('1d'),
      })
      .transform(({ orphanGrace, quarantine, period }) => ({
        orphanGraceMs: orphanGrace,
        quarantineMs: quarantine,
        periodMs: period,
      }))
      .prefault({}),
    scrub: scrubSection(),
    limits: limitsSection(),
    log: z
      .strictObject({
        level: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
        access: z.boolean().default(true),
      })
      .prefault({}),
  });
}

/** JSON Schema (draft 2020-12) of the file, for editors; knows the options of the given types. */
export function configJsonSchema(types: ComponentTypes): JsonSchema {
  return z.toJSONSchema(configSchema(types), {
    io: 'input',
    override: ({ jsonSchema }) => {
      const kind = jsonSchema['componentKind'] as ComponentKind | undefined;
      if (kind === undefined) return;
      delete jsonSchema['componentKind'];
      const form = kind === 'protocol' ? ruleJsonSchema(types) : componentJsonSchema(kind, types);
      Object.assign(jsonSchema, form);
    },
  }) as JsonSchema;
}

function manifestSection(): z.ZodType<ConfigSections['manifest'], object | undefined> {
  return z
    .strictObject({
      path: z.string().min(1).default('manifest.db'),
      lock: z
        .strictObject({
          type: z.enum(['local', 'none', 'peer', 'litefs', 'peer-litefs', 'auto']).default('local'),
          acquire: duration().prefault('10s'),
          lease: duration().prefault('30s'),
        })
        .transform(({ type, acquire, lease }) => ({ type, acquireMs: acquire, leaseMs: lease }))
        .prefault({}),
      replication: z.enum(['none', 'litefs', 'journal']).default('none'),
      journal: z.enum(['auto', 'wal', 'delete']).default('auto'),
      onWedge: z.enum(['stay', 'exit']).default('stay'),
      litefs: z
        .strictObject({
          api: httpUrl().prefault('http://127.0.0.1:20202'),
          primary: z
            .string()
            .regex(/^https?:\/\/[^/\s]+$/, {
              error: 'expected a URL such as http://{hostname}:20202',
            })
            .default('http://{hostname}:20202'),
        })
        .prefault({}),
    })
    .prefault({});
}

function rolesList(): z.ZodType<readonly Role[], readonly Role[] | undefined> {
  return z
    .array(z.enum(['proxy', 'writer', 'populate']))
    .min(1)
    .refine((roles) => new Set(roles).size === roles.length, {
      error: 'expected each role once',
    })
    .default(['proxy', 'writer']);
}

function scrubSection(): z.ZodType<ConfigSections['scrub'], object | undefined> {
  return z
    .strictObject({
      period: duration().prefault('7d'),
      rate: size()
        .prefault('32MiB')
        .refine((rate) => rate > 0, { message: 'expected a size from 1; period: 0 turns it off' }),
    })
    .transform(({ period, rate }) => ({ periodMs: period, rate }))
    .prefault({});
}

function limitsSection(): z.ZodType<ConfigSections['limits'], object | undefined> {
  return z
    .strictObject({
      headerBytes: size().prefault('16KiB'),
      fields: count().default(100),
      targetBytes: size().prefault('8KiB'),
      headerTime: duration().prefault('15s'),
      requestTime: duration().prefault('30s'),
      idleTime: duration().prefault('65s'),
      connections: count().default(10_000),
    })
    .transform(({ headerTime, requestTime, idleTime, ...rest }) => ({
      ...rest,
      headerTimeMs: headerTime,
      requestTimeMs: requestTime,
      idleTimeMs: idleTime,
    }))
    .prefault({});
}

function count(): z.ZodNumber {
  return z.int({ error: 'expected a whole number from 1' }).min(1, {
    error: 'expected a whole number from 1',
  });
}
