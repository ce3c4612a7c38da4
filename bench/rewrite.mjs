import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { Builder, Parser } from 'xml2js';

import { bundleSource } from './bundle.mjs';
import { buildGo } from './go-build.mjs';

export const title =
  'rewriting a two-GPU domain, beside reading and writing it with xml2js and with Go (nothing changed, lossy)';

/** KiB of the domain, calls in a round, rounds. Two vSMMUs with 18 NUMA cells, as KubeVirt writes them, are 20 KiB. */
const SIZES = [
  [4, 200, 9],
  [20, 60, 9],
  [200, 8, 9],
  [2048, 1, 9],
];

export async function run(measure) {
  const dir = mkdtempSync(join(tmpdir(), 'vsmmu-bench-'));
  const go = await goPeer(dir);
  if (go.why !== undefined) measure.skip("Go's encoding/xml", go.why);
  try {
    const { rewriteDomain, probeFixture } = await loadProduct(dir);
    const host = await probeFixture();
    const warm = domainOf(20 * 1024);
    for (let i = 0; i < 300; i += 1) rewriteDomain(warm, host);
    for (const [kib, calls, rounds] of SIZES) {
      const text = domainOf(kib * 1024);
      const file = join(dir, `${kib}.xml`);
      writeFileSync(file, text);
      const settled = rewriteDomain(text, host).text;
      const series = await inTurn(calls, rounds, {
        rewrite: () => rewriteDomain(text, host),
        settled: () => rewriteDomain(settled, host),
        xml2js: () => xml2jsRoundTrip(text),
        ...(go.why === undefined ? { go: (n) => go.time(file, n) } : {}),
      });
      const size = kib < 1024 ? `${kib} KiB` : `${kib / 1024} MiB`;
      const peers = Object.entries({ xml2js: series.xml2js, 'Go encoding/xml': series.go }).filter(
        ([, times]) => times !== undefined,
      );
      const ratios = peers.map(
        ([peer, times]) => `${(median(series.rewrite) / median(times)).toPrecision(2)}x of ${peer}`,
      );
      measure.row(`rewrite, ${size}`, 'ms', series.rewrite, ratios.join(', '));
      measure.row(`rewrite with nothing to change, ${size}`, 'ms', series.settled);
      for (const [peer, times] of peers) measure.row(`${peer}, ${size}`, 'ms', times);
    }
  } finally {
    go.end?.();
    rmSync(dir, { recursive: true });
  }
}

/**
 * Milliseconds a call takes, in rounds in which each has its turn; the first rounds warm up and don't count.
 * A function that takes a number measures itself: so many calls.
 */
async function inTurn(calls, rounds, functions) {
  const series = Object.fromEntries(Object.keys(functions).map((name) => [name, []]));
  const warmup = Math.ceil(rounds / 2);
  for (let round = -warmup; round < rounds; round += 1)
    for (const [name, fn] of Object.entries(functions)) {
      const ms = fn.length > 0 ? await fn(calls) : timed(fn, calls);
      if (round >= 0) series[name].push(ms);
    }
  return series;
}

function median(values) {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

function timed(fn, calls) {
  const begun = performance.now();
  for (let i = 0; i < calls; i += 1) fn();
  return (performance.now() - begun) / calls;
}

async function goPeer(dir) {
  const { program, why } = await buildGo('bench/go-xml', join(dir, 'go-xml'));
  if (program === undefined) return { why };
  const child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    time: async (file, calls) => {
      child.stdin.write(`${calls} ${file}\n`);
      return Number((await answers.next()).value);
    },
    end: () => child.kill(),
  };
}

function xml2jsRoundTrip(text) {
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

async function loadProduct(dir) {
  const contents = `
    import { openHost } from './src/host/open-host.ts';
    import { probeHost } from './src/host/probe.ts';
    import { featuresOf } from './src/host/features.ts';
    export { rewriteDomain } from './src/domain/rewrite.ts';
    export async function probeFixture() {
      return featuresOf(await probeHost(await openHost({ host: 'test/fixtures/hosts/grace-2gpu' })));
    }`;
  return import(await bundleSource(contents, dir, 'product.mjs'));
}
