import { copyFile, mkdir, readdir } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { AptRoot } from '../lib/apt-root.mjs';
import { NotRun } from '../lib/outcome.mjs';

/** Libraries that jazzer.js' prebuilt part needs newer than Debian 12 has them (GLIBC 2.38, GLIBCXX 3.4.32). */
const NEWER_LIBRARIES = ['libc6', 'libstdc++6', 'libgcc-s1'];
/** Beyond this the process is ended as one that leaks or hangs. */
const RUN_MEMORY_MB = 3000;
const INPUT_SECONDS = 30;
const INPUT_BYTES = 16 * 1024;

/** jazzer.js: libFuzzer for Node.js, and the targets of test/fuzz built for it. */
export class Jazzer {
  #ctx;
  #folder;
  /** Node.js as it has to be started for jazzer.js' native part. */
  #node;

  /** @param {import('../lib/context.mjs').Context} ctx */
  static async open(ctx) {
    const folder = await ctx.cache('fuzz');
    await install(ctx, folder);
    await buildTargets(ctx, folder);
    return new Jazzer(ctx, folder, await nodeFor(ctx, folder));
  }

  constructor(ctx, folder, node) {
    this.#ctx = ctx;
    this.#folder = folder;
    this.#node = node;
  }

  /**
   * Fuzzes one target.
   * @param {{ name: string, sync: boolean }} target @param {string} found folder for what reaches new code
   * @param {string} inputs file that names what to begin with, in order: a folder's own order differs between machines
   * @param {string} artifacts folder that gets the input of a crash
   * @param {number} seed of libFuzzer; 0: another one each time
   * @returns {Promise<{ status: number | null, output: string }>} status 77: a crash
   */
  fuzz(target, found, { inputs, seconds, artifacts, seed }) {
    return this.#run(target, [found], seconds + 120, [
      `-seed_inputs=@${inputs}`,
      `-max_total_time=${seconds}`,
      `-seed=${seed}`,
      '-reload=0', // it looks by the clock for what other processes found, and there are none
      `-artifact_prefix=${artifacts}/`,
      '-print_final_stats=1',
    ]);
  }

  /** Runs inputs and writes into the control file what each reaches (kept-inputs.mjs). */
  measure(target, controlFile) {
    return this.#run(target, [], 900, ['-merge_inner=1', `-merge_control_file=${controlFile}`]);
  }

  async #run({ name, sync }, corpora, timeoutSeconds, options) {
    const given = {
      fuzzTarget: pathToFileURL(join(this.#folder, 'targets', `${name}.mjs`)).href,
      includes: ['fuzz/targets'],
      sync,
      timeout: INPUT_SECONDS * 1000,
      disableBugDetectors: ['path-traversal'],
      fuzzerOptions: [...corpora, `-rss_limit_mb=${RUN_MEMORY_MB}`, `-max_len=${INPUT_BYTES}`, ...options],
    };
    const { command, args } = this.#node;
    const { status, stderr } = await this.#ctx.run(
      command,
      [...args, join(this.#folder, 'launch.cjs'), JSON.stringify(given)],
      { check: false, timeoutSeconds, cwd: this.#folder, label: `jazzer ${name}` },
    );
    return { status, output: stderr };
  }
}

async function install(ctx, folder) {
  const from = join(ctx.root, 'test', 'real', 'fuzz');
  for (const name of ['package.json', 'package-lock.json', 'launch.cjs'])
    await copyFile(join(from, name), join(folder, name));
  await ctx.retry('npm ci of jazzer.js', () =>
    ctx.run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
      cwd: folder,
      timeoutSeconds: 300,
    }),
  );
}

/** One module a target: what is instrumented is vsmmu with the libraries that it is shipped with. */
async function buildTargets(ctx, folder) {
  const source = join(ctx.root, 'test', 'fuzz');
  const names = await readdir(join(source, 'corpus'));
  await build({
    entryPoints: names.map((name) => join(source, `${name}.ts`)),
    outdir: join(folder, 'targets'),
    outExtension: { '.js': '.mjs' },
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    sourcemap: 'inline',
    external: ['koffi', 'libxml2-wasm'],
    banner: { js: "import { createRequire as r } from 'node:module'; const require = r(import.meta.url);" },
  });
}

/** Node.js as it is where the native part loads; else by the loader and the libraries of the newer Debian. */
async function nodeFor(ctx, folder) {
  const plain = { command: process.execPath, args: [] };
  const loads = async ({ command, args }) => {
    const { status, stderr } = await ctx.run(command, [...args, '-e', "require('@jazzer.js/fuzzer')"], {
      cwd: folder,
      check: false,
    });
    return status === 0 ? undefined : stderr;
  };
  if ((await loads(plain)) === undefined) return plain;
  const newer = await newerLoader(ctx, folder);
  const failure = await loads(newer);
  if (failure !== undefined) throw new NotRun(`jazzer.js does not load here: ${failure.trim().slice(-500)}`);
  return newer;
}

async function newerLoader(ctx, folder) {
  const { stdout } = await ctx.run('dpkg', ['--print-architecture']);
  const archive = await AptRoot.open(ctx, { suite: 'trixie', architecture: stdout.trim() });
  const root = join(folder, 'newer-libraries');
  await mkdir(root, { recursive: true });
  for (const name of NEWER_LIBRARIES) await ctx.run('dpkg', ['-x', await archive.download(name), root]);
  const triplet = (await readdir(join(root, 'usr', 'lib'))).find((name) => name.endsWith('-linux-gnu'));
  const libraries = join(root, 'usr', 'lib', triplet ?? '');
  const loader = (await readdir(libraries)).find((name) => name.startsWith('ld-linux-'));
  if (loader === undefined || !existsSync(join(libraries, loader)))
    throw new NotRun('the newer libc6 has no loader where it is looked for');
  return { command: join(libraries, loader), args: ['--library-path', libraries, process.execPath] };
}
