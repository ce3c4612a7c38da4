import { readFileSync } from 'node:fs';

import { build } from 'esbuild';
import { Builder, Parser } from 'xml2js';

export const title =
  'rewriting a two-GPU domain, beside parsing and building it with xml2js (nothing changed, lossy)';

export async function run(measure) {
  const { rewriteDomain, probeFixture } = await bundled();
  const host = await probeFixture();
  for (const [size, text, calls] of [
    ['20 KiB', domainOf(20 * 1024), 40],
    ['200 KiB', domainOf(200 * 1024), 6],
  ]) {
    const result = rewriteDomain(text, host).text;
    const name = `${size} (${(text.length / 1024).toFixed(0)} KiB)`;
    const effort = { calls, warmup: 5 * calls, rounds: 9 };
    measure.pair(
      'ms',
      [`rewrite, ${name}`, measure.time(() => rewriteDomain(text, host), effort)],
      [`xml2js parse and build, ${name}`, measure.time(() => roundTrip(text), effort)],
    );
    measure.row(
      `rewrite with nothing to change, ${name}`,
      'ms',
      measure.time(() => rewriteDomain(result, host), effort),
    );
  }
}

function roundTrip(text) {
  let parsed;
  new Parser({ async: false }).parseString(text, (error, document) => {
    if (error) throw error;
    parsed = document;
  });
  return new Builder().buildObject(parsed);
}

/** A domain with two vSMMUs, filled up with NUMA cells and their distances as KubeVirt writes them. */
function domainOf(length) {
  const base = readFileSync(new URL('../test/fixtures/domain/two-vsmmus.xml', import.meta.url), 'utf8');
  const cells = [];
  let added = 0;
  for (let id = 0; base.length + added < length; id += 1) {
    const siblings = Array.from(
      { length: 18 },
      (_, to) => `\t\t\t\t\t<sibling id="${to}" value="${to === id ? 10 : 40}"></sibling>\n`,
    );
    const cell = `\t\t\t<cell id="${id}" memory="0" unit="KiB">\n\t\t\t\t<distances>\n${siblings.join('')}\t\t\t\t</distances>\n\t\t\t</cell>\n`;
    cells.push(cell);
    added += cell.length;
  }
  return base.replace('<!-- cells -->', `<cpu>\n\t\t<numa>\n${cells.join('')}\t\t</numa>\n\t</cpu>`);
}

async function bundled() {
  const source = `
    import { openHost } from './src/host/open-host.ts';
    import { probeHost } from './src/host/probe.ts';
    import { featuresOf } from './src/host/features.ts';
    export { rewriteDomain } from './src/domain/rewrite.ts';
    export async function probeFixture() {
      return featuresOf(await probeHost(await openHost({ host: 'test/fixtures/hosts/grace-2gpu' })));
    }`;
  const result = await build({
    stdin: { contents: source, resolveDir: process.cwd(), loader: 'ts' },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
    external: ['koffi'],
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(process.cwd() + '/');",
    },
  });
  return import(
    `data:text/javascript;base64,${Buffer.from(result.outputFiles[0].contents).toString('base64')}`
  );
}
