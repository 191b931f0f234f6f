import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { NodeProcess } from '../support/node-process.ts';

const GO = { path: '/go/*', strip: true, protocol: 'go', fetch: 'modules', sumdb: [] };

describe('commands for Go modules that cannot be done', function () {
  this.timeout(60_000);
  let node: NodeProcess;

  before(async () => {
    node = await NodeProcess.start({
      config: {
        fetchers: { modules: { type: 'file', path: '.' }, demo: { type: 'slow-server' } },
        rules: [
          { name: 'go', ...GO },
          { name: 'more', ...GO, path: '/more/*', namespace: 'more' },
          { name: 'site', protocol: 'http', fetch: 'demo' },
        ],
      },
    });
    await writeFile(join(node.folder, 'go.mod'), 'module m\n\nrequire example.com/a latest\n');
  });

  after(async () => await node[Symbol.asyncDispose]());

  for (const [args, words] of [
    [['populate', 'example.com/a@master'], /"master" is not a version in full of example.com\/a/],
    [['populate', 'nowhere.txt'], /there is no file nowhere.txt/],
    [
      ['populate', 'golang.org/x/text'],
      /no file golang.org\/x\/text; for a module say golang.org\/x\/text@VERSION/,
    ],
    [['populate', '.'], /\. is a folder: name a go.mod/],
    [['populate'], /expected a file, module@version or -/],
    [['populate', '--rule', 'go', 'go.mod'], /go.mod:3: "latest" is not a version in full/],
    [['populate', 'example.com/a@v1.0.0'], /several rules .* --rule \("go" or "more"\)/],
    [['populate', 'example.com/a@v1.0.0', '--rule', 'goo'], /"goo" is not in .* mean "go"/],
    [['populate', 'example.com/a@v1.0.0', '--rule', 'site'], /"site" serves no Go modules/],
    [['populate', 'example.com/a@v1.0.0', '--concurrency', '0'], /expected a whole number from 1/],
    [['populate', 'example.com/a@v1.0.0', '--concurrency', '65'], /concurrency: /],
    [['export'], /missing required argument 'folder'/],
    [['export', ''], /expected a text that is not empty/],
    [['export', 'out'], /several rules/],
    [
      ['export', 'out', '--format', 'zip'],
      /argument 'zip' is invalid. Allowed choices are goproxy/,
    ],
    [['export', 'caje.yaml', '--rule', 'go'], /cannot write into .*caje.yaml: it is no folder/],
    [['import', 'nowhere', '--rule', 'go'], /there is no folder .*nowhere/],
    [['import', 'caje.yaml', '--rule', 'go'], /caje.yaml is no folder/],
    [['import', '.', '--rule', 'go'], /no modules in .*: name its layout with --format/],
    [['import', '.'], /several rules/],
  ] as const) {
    it(`refuses ${args.join(' ')} with 2 and says why`, async () => {
      const result = await node.run(...args);
      expect([result.code, result.stdout]).to.deep.equal([2, '']);
      expect(result.stderr).to.match(words);
    });
  }
});
