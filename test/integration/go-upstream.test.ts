import { join } from 'node:path';
import { expect } from 'chai';
import { GoClient, goMissing, goSetting } from '../support/go-command.ts';
import { GoUpstream, goProxy } from '../support/go-upstream.ts';
import { NodeProcess } from '../support/node-process.ts';
import { skipUnless } from '../support/skip.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { DoubleSite, SCENARIOS } from './go-double.ts';
import {
  GoPlace,
  type GoScenario,
  inAllPhases,
  neverChanges,
  type PhaseSite,
} from './go-phases.ts';

/** Milliseconds for a download from a far upstream, or for a toolchain that is unpacked on a busy machine. */
const SLOW_MS = 300_000;
/** Older go commands that are fetched and then used, separated by commas. */
const TOOLCHAINS = (process.env['CAJE_TEST_GO_TOOLCHAINS'] ?? 'go1.21.13').split(',');

// Small modules that change no more.
const ERRORS = 'github.com/pkg/errors';
const ERRORS_HEAD = 'v0.9.2-0.20201214064552-5dd12d0cfe7f';
const UUID = 'github.com/google/uuid';
/** Those that link no program, which would compile the runtime with each go command. */
const QUICK = SCENARIOS.filter(({ title }) => !/\ba tool\b/.test(title));

/** Where files are; the client also asks for modules above packages, in vain. */
const MODULES = new RegExp(`^/(?:${ERRORS}|${UUID}|golang.org/toolchain|sumdb)/`);

const REAL: readonly GoScenario[] = [
  {
    title: 'get, build and verify',
    async run(place) {
      await place.module(ERRORS, UUID);
      await place.go('get', `${ERRORS}@v0.9.0`, `${UUID}@v1.6.0`);
      await place.go('build', '-n', './...');
      expect(await place.go('mod', 'verify')).to.equal('all modules verified\n');
      const updates = await place.go('list', '-m', '-u', 'all');
      expect(updates).to.include(`${ERRORS} v0.9.0 [v0.9.1]\n`);
      return (await place.text('go.mod')) + (await place.text('go.sum'));
    },
  },
  {
    title: 'mod tidy and mod download all',
    async run(place) {
      await place.module(ERRORS);
      await place.go('mod', 'tidy');
      await place.go('mod', 'download', 'all');
      expect(await place.text('go.mod')).to.include(`${ERRORS} v0.9.1\n`);
      return await place.text('go.sum');
    },
  },
  {
    title: 'list -m -versions',
    async run(place) {
      const listed = await place.go('list', '-m', '-versions', ERRORS);
      expect(listed).to.match(/ v0\.1\.0 .* v0\.9\.1\n$/);
      return listed;
    },
  },
  ...['5dd12d0cfe7f152f80558d591504ce685299311e', 'master'].map(
    (query): GoScenario => ({
      title: `get at ${query}`,
      async run(place) {
        await place.module(ERRORS);
        await place.go('get', `${ERRORS}@${query}`);
        expect(await place.text('go.mod')).to.include(`${ERRORS} ${ERRORS_HEAD}`);
        return await place.text('go.sum');
      },
    }),
  ),
];

// G8: the module proxy and the checksum database that this machine uses.
describe('the go command behind a node of the real module proxy', function () {
  this.timeout(SLOW_MS);

  let folder: TempFolder;
  let upstream: GoUpstream;
  let node: NodeProcess;
  let site: PhaseSite;

  before(async function () {
    const missing = goMissing();
    skipUnless(this, missing === undefined, missing ?? '');
    const proxy = goProxy() ?? '';
    skipUnless(this, proxy !== '', 'go env GOPROXY names no module proxy', { exempt: true });
    folder = await tempFolder();
    upstream = await GoUpstream.start(proxy);
    for (const path of [`/sumdb/${goSetting('GOSUMDB')}/supported`, `/${ERRORS}/@v/list`]) {
      const reached = await upstream.has(path);
      skipUnless(this, reached, 'the module proxy of go env GOPROXY refuses now', { exempt: true });
    }
    node = await NodeProcess.start({
      config: {
        fetchers: { modules: { type: 'upstreams', list: upstream.url } },
        rules: [
          {
            ...{ name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' },
            listTtl: '1h',
          },
        ],
      },
    });
    site = {
      node,
      folder: folder.path,
      client: async (env) =>
        await GoClient.create({
          folder: folder.path,
          proxy: `${node.url}/go`,
          buildCache: join(folder.path, 'build'),
          env,
        }),
      leave: async () => await upstream.leave(),
      async immutable() {
        const { requests } = await upstream.report();
        await upstream.reset();
        return requests.filter((path) => neverChanges(path) && MODULES.test(path));
      },
      refuses: async (path) => !(await upstream.has(path)),
    };
  });

  after(async () => {
    await node?.[Symbol.asyncDispose]();
    await upstream?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  inAllPhases(() => site, REAL);

  for (const toolchain of TOOLCHAINS) {
    describe(`${toolchain}`, () => {
      let modules: string;

      /** Runs `go version` as this toolchain, which the client has to download first. */
      const switched = async (context: Mocha.Context): Promise<GoClient> => {
        const client = await site.client({ GOTOOLCHAIN: toolchain });
        const { stdout, stderr } = await client.try(folder.path, 'version');
        const refused = /: (40[34]|410) /.test(stderr);
        skipUnless(context, !refused, `the module proxy does not have ${toolchain}`, {
          exempt: true,
        });
        expect(stdout, stderr).to.include(`go version ${toolchain} `);
        return client;
      };

      it('comes through the node', async function () {
        await upstream.return();
        await site.immutable();

        ({ modules } = await switched(this));

        const zips = (await site.immutable()).filter((path) => path.endsWith('.zip'));
        expect(zips).to.have.lengthOf(1);
      });

      it('comes from the node alone when that is restarted and the upstream away', async function () {
        await upstream.leave();
        await node.stop();
        await node.restart();
        await site.immutable();

        const client = await switched(this);

        expect(await site.immutable()).to.deep.equal([]);
        await client.go(folder.path, 'clean', '-modcache');
      });

      it('does what people do', async function () {
        skipUnless(this, modules !== undefined, `there is no ${toolchain}`, { exempt: true });
        await using double = await DoubleSite.start(folder.path);
        const machine = `${goSetting('GOHOSTOS')}-${goSetting('GOHOSTARCH')}`;
        const root = join(modules, `golang.org/toolchain@v0.0.1-${toolchain}.${machine}`);
        const PATH = `${join(root, 'bin')}:${process.env['PATH'] ?? ''}`;
        const old: PhaseSite = {
          ...{ node: double.node, folder: double.folder },
          client: async (env) => await double.client({ PATH, ...env }),
          leave: async () => {},
          immutable: async () => await double.immutable(),
        };
        expect(await (await old.client({})).go(folder.path, 'version')).to.include(toolchain);
        for (const scenario of QUICK) await GoPlace.run(old, scenario);
        const asked = await old.immutable();
        expect(asked).to.have.lengthOf(new Set(asked).size);
      });
    });
  }
});
