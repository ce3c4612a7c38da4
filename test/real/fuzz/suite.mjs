// Coverage-guided fuzzing of what comes from outside, a minute a target, two targets at a time.
import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { Jazzer } from './jazzer.mjs';
import { controlFile, keptInputs } from './kept-inputs.mjs';

/** sync: the target answers without a promise, which libFuzzer runs several times as fast. */
const TARGETS = [
  { name: 'admission-review', sync: true, what: 'AdmissionReviews: decoded, mutated, patched, validated' },
  { name: 'domain-xml', sync: true, what: 'domain XML: scanned, rewritten, checked' },
  { name: 'config-space', sync: true, what: 'PCI config space, lspci’s print of it, and firmware’s IORT' },
  { name: 'recording', sync: false, what: 'recordings: sysfs listing, config space and hw_info, probed' },
  { name: 'sysfs-tree', sync: false, what: 'a sysfs tree of files, links and directories, probed' },
  {
    name: 'grpc-frames',
    sync: false,
    what: 'gRPC messages and HTTP/2 frames at the kubelet’s and the hook’s socket',
  },
  { name: 'annotation', sync: true, what: 'annotations: resolved, require, set, hookSidecars' },
  { name: 'agent-config', sync: false, what: 'the agent’s configuration file' },
];
const only = process.env.VSMMU_FUZZ_TARGETS?.split(',');
const CHOSEN = TARGETS.filter(({ name }) => only === undefined || only.includes(name));
const AT_ONCE = 2;
const CRASH = 77;
/** Of one run's inputs, at most; those that reach most come first. */
const KEPT_INPUTS = 60;
const KEPT_BYTES = 64 * 1024;
/** Characters of an input, packed, that still go into the first line of a failure: all that is left of a CI machine. */
const PRINTED_INPUT = 4000;
const seconds = Number(process.env.VSMMU_FUZZ_SECONDS ?? 60);
/** One seed for all, so that CI's minute is the beginning of the ten minutes that were run once; 0: libFuzzer's own. */
const SEED = process.env.VSMMU_FUZZ_SEED === 'random' ? 0 : Number(process.env.VSMMU_FUZZ_SEED ?? 1);

if (!Number.isInteger(SEED))
  throw new Error(`VSMMU_FUZZ_SEED=${process.env.VSMMU_FUZZ_SEED}: a number or "random"`);

export const suite = {
  name: 'fuzz',
  needs: 'jazzer.js of npm, and on Debian 12 a newer libc for it',
  timeoutMinutes: 5 + Math.ceil((Math.ceil(CHOSEN.length / AT_ONCE) * (seconds + 30)) / 60),
  checks: CHOSEN.map(({ what }) => what),
  async run(ctx) {
    const jazzer = await Jazzer.open(ctx);
    const waiting = CHOSEN.values();
    const worker = async () => {
      for (const target of waiting) await ctx.check(target.what, () => fuzz(ctx, jazzer, target));
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  },
};

async function fuzz(ctx, jazzer, target) {
  const corpus = join(ctx.root, 'test', 'fuzz', 'corpus', target.name);
  const folder = await mkdtemp(join(tmpdir(), 'vsmmu-fuzz-'));
  const [found, artifacts] = [join(folder, 'found'), join(folder, 'crash')];
  try {
    await Promise.all([mkdir(found), mkdir(artifacts)]);
    const inputs = join(folder, 'inputs');
    await writeFile(
      inputs,
      (await readdir(corpus))
        .sort()
        .map((name) => join(corpus, name))
        .join(),
    );
    const { status, output } = await jazzer.fuzz(target, found, { inputs, seconds, artifacts, seed: SEED });
    const runs = /#(\d+)\s+DONE/.exec(output)?.[1];
    const covered = output.match(/cov: \d+ ft: \d+/g)?.at(-1);
    ctx.log(`${target.name}: ${runs ?? '?'} runs in ${seconds} s, ${covered ?? 'no coverage'}`);
    if (status !== 0) throw await crash(ctx, target, artifacts, status, output);
    assert.ok(
      Number(runs) > 0 && covered !== undefined,
      `it ran nothing, or without coverage\n${output.slice(-2000)}`,
    );
    if (process.env.VSMMU_FUZZ_KEEP === '1') await keep(ctx, jazzer, target, { corpus, found, folder });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Puts those of the inputs into the corpus that together reach what all reach; what stands there stays. */
async function keep(ctx, jazzer, target, { corpus, found, folder }) {
  const files = [];
  for (const from of [corpus, found])
    for (const name of (await readdir(from)).sort()) files.push(join(from, name));
  const control = join(folder, 'control');
  await writeFile(control, controlFile(files));
  const { status, output } = await jazzer.measure(target, control);
  assert.equal(status, 0, output.slice(-2000));
  const fresh = keptInputs(await readFile(control, 'utf8'), files).filter((file) => file.startsWith(found));
  let bytes = 0;
  let count = 0;
  for (const file of fresh) {
    bytes += (await stat(file)).size;
    if (bytes > KEPT_BYTES || count === KEPT_INPUTS) break;
    await cp(file, join(corpus, basename(file).slice(0, 12)));
    count += 1;
  }
  ctx.log(`${target.name}: ${count} of ${fresh.length} new inputs are kept`);
}

/** The input that did it is kept: in test/fuzz/corpus it becomes a test that fails until the defect is mended. */
async function crash(ctx, { name }, artifacts, status, output) {
  const kept = await ctx.cache('fuzz', 'crashes', name);
  const inputs = await readdir(artifacts);
  await cp(artifacts, kept, { recursive: true });
  const what = status === CRASH ? 'a law is broken' : `jazzer ended with status ${status}`;
  const where = output.indexOf('Uncaught Exception');
  const said = where === -1 ? output.slice(-3000) : output.slice(where, where + 3000);
  const files = inputs.map((input) => join(kept, input));
  const packed = await Promise.all(
    files.map(async (file) => gzipSync(await readFile(file)).toString('base64')),
  );
  const input = packed.find(({ length }) => length <= PRINTED_INPUT);
  return new Error(
    `${what}${input === undefined ? '' : `, by echo ${input} | base64 -d | gunzip`}\n${said}\n` +
      `input: ${files.join(', ') || 'none was written'}\n` +
      `to see it again: copy it to test/fuzz/corpus/${name}/ and run npx jest test/fuzz-corpus`,
  );
}
