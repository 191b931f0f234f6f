const LINKS: readonly (readonly [path: string, does: string])[] = [
  ['/fast', 'answers after 1 second, fresh for a minute'],
  ['/slow', 'answers after 5 seconds, fresh for a minute'],
  ['/stream?chunks=10&interval=500&size=1024', 'sends a body piece by piece'],
  ['/echo', 'says what it received, as JSON; any method'],
  ['/etag', 'fresh for one second, then worth asking whether it changed'],
  ['/status/404', 'answers with the status named'],
  ['/size/1048576', 'as many bytes as named, always the same ones'],
  ['/counters', 'how often each path was asked, and how many at once'],
];

/** HTML of the slow server's first page: what it is, and a link to each of its pages. */
export function slowServerPage(): string {
  const items = LINKS.map(([path, does]) => {
    const href = path.replaceAll('&', '&amp;');
    return `<li><a href="${href}"><code>${href}</code></a> ${does}</li>`;
  });
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>caje slow server</title>
<style>body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem }</style>
<h1>caje slow server</h1>
<p>An origin that takes its time. Ask it through a caje node, then ask again: what could be kept comes at once,
and the counters show that the second request never arrived here.</p>
<ul>
${items.join('\n')}
</ul>
</html>
`;
}
