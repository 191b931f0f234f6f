/** Name that messages and the banner give to the built-in configuration. */
export const DEFAULT_SOURCE = 'built-in default';

/** What a node does without a file: Go modules from the upstreams of the go command, and a demo site with a slow origin. */
export const defaultConfig: string = `fetchers:
  modules: { type: upstreams, list: go-env }
  demo: { type: slow-server }
rules:
  - { name: go, path: /go/*, strip: true, protocol: go, fetch: modules, network: fallback }
  - { name: demo, path: /*, protocol: http, fetch: demo }
`;

/** Components that are there when the file does not define others by their names. */
export const DEFAULT_COMPONENTS: Readonly<Record<string, Readonly<Record<string, object>>>> = {
  storage: { local: { type: 'disk', path: 'blobs' } },
  stashers: { keep: { type: 'store', backend: 'local' }, pass: { type: 'none' } },
};
