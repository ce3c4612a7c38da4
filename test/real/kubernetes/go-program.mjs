import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NotRun } from '../lib/outcome.mjs';

/** The module in test/real/go wants this or later; its go.mod says so too. */
const GO = { major: 1, minor: 26 };

/**
 * Builds one of test/real/go/cmd with Go's own build cache, so that only the first build on a machine is slow
 * (all of them together: about 560 CPU seconds, of which kube-apiserver is 440).
 * @param {import('../lib/context.mjs').Context} ctx @param {string} name folder in the module's cmd
 * @param {string} folder of the module in test/real: another one where two versions of a library are needed
 * @returns {Promise<string>} path of the program
 */
export async function goProgram(ctx, name, folder = 'go') {
  await requireGo(ctx);
  const module = join(ctx.root, 'test', 'real', folder);
  const program = join(await ctx.cache('go'), name);
  if (!existsSync(program)) ctx.log(`building ${name} from source; the first time takes minutes`);
  await ctx.retry(`modules for ${name}`, () =>
    ctx.run('go', ['list', '-deps', `./cmd/${name}`], { cwd: module, env: environment, timeoutSeconds: 600 }),
  );
  const flags = `-ldflags=-s -w ${folder === 'go' ? await versionStamp(module) : ''}`;
  await ctx.run('go', ['build', '-trimpath', flags, '-o', program, `./cmd/${name}`], {
    cwd: module,
    env: environment,
    timeoutSeconds: 1800,
  });
  return program;
}

/** Without it kube-apiserver calls itself v0.0.0, and Helm refuses charts that want a Kubernetes of today. */
async function versionStamp(module) {
  const goMod = await readFile(join(module, 'go.mod'), 'utf8');
  const [, version, major, minor] = /k8s\.io\/kubernetes v((\d+)\.(\d+)\.\d+)/.exec(goMod) ?? [];
  if (version === undefined) throw new Error('go.mod names no version of k8s.io/kubernetes');
  const stamps = { gitVersion: `v${version}`, gitMajor: major, gitMinor: minor };
  return Object.entries(stamps)
    .map(([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`)
    .join(' ');
}

/** Folder of a module that test/real/go depends on, as it was published. @returns {Promise<string>} */
export async function goModuleFolder(ctx, module) {
  await requireGo(ctx);
  const folder = join(ctx.root, 'test', 'real', 'go');
  await ctx.retry(`download of ${module}`, () =>
    ctx.run('go', ['mod', 'download', module], { cwd: folder, env: environment, timeoutSeconds: 600 }),
  );
  const { stdout } = await ctx.run('go', ['list', '-m', '-f', '{{.Dir}}', module], {
    cwd: folder,
    env: environment,
  });
  return stdout.trim();
}

/** Folder of a module at a version, "k8s.io/kubelet@v0.19.0", which nothing here depends on. @returns {Promise<string>} */
export async function publishedModule(ctx, module) {
  await requireGo(ctx);
  // The folder's go.mod has no say: a version is asked for.
  const cwd = join(ctx.root, 'test', 'real', 'go');
  const { stdout } = await ctx.retry(`download of ${module}`, () =>
    ctx.run('go', ['mod', 'download', '-json', module], { cwd, env: environment, timeoutSeconds: 600 }),
  );
  return JSON.parse(stdout).Dir;
}

/** No C compiler is needed; a go.mod that is out of step is an error, not something to repair in passing. */
const environment = { CGO_ENABLED: '0', GOFLAGS: '-mod=readonly -buildvcs=false' };

async function requireGo(ctx) {
  let version;
  try {
    ({ stdout: version } = await ctx.run('go', ['env', 'GOVERSION']));
  } catch {
    throw new NotRun(`Go ${GO.major}.${GO.minor} or later is not installed`);
  }
  const [, major, minor] = /^go(\d+)\.(\d+)/.exec(version) ?? [];
  const old = Number(major) < GO.major || (Number(major) === GO.major && Number(minor) < GO.minor);
  if (major === undefined || old) {
    throw new NotRun(`Go ${GO.major}.${GO.minor} or later is needed, this is ${version.trim()}`);
  }
}
