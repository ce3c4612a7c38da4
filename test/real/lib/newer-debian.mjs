import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AptRoot } from './apt-root.mjs';
import { NotRun } from './outcome.mjs';

/** accel, ats, ril, ssidsize, oas and cmdqv came with libvirt 12.7; `auto`, cmdqv and vfio-pci's ats with QEMU 11.1. */
const NEEDED = [
  { package: 'libvirt-daemon-driver-qemu', atLeast: '12.7' },
  { package: 'qemu-system-arm', atLeast: '1:11.1' },
];
const PACKAGES = ['libvirt-daemon-driver-qemu', 'libvirt-clients', 'qemu-system-arm', 'qemu-efi-aarch64'];
const SUITES = ['sid', 'testing'];

/** What the programs inside see of the system: just enough of /dev, and libvirt's proof that VFIO can be had. */
const FAKES = `
set -e
mount -t proc proc "$ROOT/proc"
mount -t tmpfs tmpfs "$ROOT/tmp"
mount -t tmpfs tmpfs "$ROOT/sys"
mkdir -p "$ROOT/sys/kernel/iommu_groups/0" "$ROOT/dev/vfio"
: > "$ROOT/dev/vfio/vfio"
: > "$ROOT/dev/iommu"
[ -z "$SHARED" ] || { mkdir -p "$ROOT/mnt/shared"; mount --bind "$SHARED" "$ROOT/mnt/shared"; }
[ -z "$SCRATCH" ] || { mkdir -p "$ROOT$SCRATCH"; mount --bind "$SCRATCH" "$ROOT$SCRATCH"; }
exec chroot "$ROOT" "$@"
`;

/** A chroot of a newer Debian with its libvirt and QEMU; nothing of it is installed on the machine. */
export class NewerDebian {
  #ctx;
  /** Path of the chroot. */
  root;

  /** Made on first use (half a minute), then kept in the cache. @param {import('./context.mjs').Context} ctx */
  static async open(ctx) {
    if (process.getuid() !== 0) throw new NotRun('needs root for a chroot');
    const { status, stderr } = await ctx.run('unshare', ['--mount', 'true'], { check: false });
    if (status !== 0)
      throw new NotRun(`needs mounts of its own for a chroot, and may not have them: ${stderr.trim()}`);
    const root = join(await ctx.cache(), 'newer-debian');
    if (!existsSync(join(root, 'complete'))) await make(ctx, root);
    return new NewerDebian(ctx, root);
  }

  constructor(ctx, root) {
    this.#ctx = ctx;
    this.root = root;
  }

  /**
   * Runs a program inside, with mounts that end with it. Arguments as in Context.run.
   * @param {{ shared?: string }} options shared: a folder of the machine, seen inside as /mnt/shared
   */
  run(command, args, { shared = '', ...options } = {}) {
    const label = `${command} ${args.join(' ')}`;
    return this.#ctx.run(...this.#inside(command, args), {
      label,
      ...options,
      env: { ...options.env, ...this.#env(shared) },
    });
  }

  /** Like Context.start, inside. */
  start(command, args, { shared = '', ...options } = {}) {
    return this.#ctx.start(...this.#inside(command, args), {
      ...options,
      env: { ...process.env, ...options.env, ...this.#env(shared) },
    });
  }

  /**
   * A shell script that runs a program inside, these arguments before its own.
   * @param {{ scratch?: string }} options scratch: a folder below /tmp that is seen inside by the same name
   */
  script(command, args, { scratch = '' } = {}) {
    const quoted = this.#inside(command, args)
      .flat()
      .map((word) => `'${word.replaceAll("'", `'\\''`)}'`);
    const settings = Object.entries({ ...this.#env(''), SCRATCH: scratch }).map(
      ([name, value]) => `export ${name}='${value}'\n`,
    );
    return `#!/bin/sh\n${settings.join('')}exec ${quoted.join(' ')} "$@"\n`;
  }

  #inside(command, args) {
    return ['unshare', ['--mount', 'sh', '-c', FAKES, 'sh', command, ...args]];
  }

  #env(shared) {
    return { ROOT: this.root, SHARED: shared, SCRATCH: '', LC_ALL: 'C.UTF-8', HOME: '/root' };
  }
}

async function make(ctx, root) {
  const { stdout } = await ctx.run('dpkg', ['--print-architecture']);
  const reasons = [];
  for (const suite of SUITES) {
    const lacking = await whatLacks(ctx, suite, stdout.trim());
    if (lacking !== undefined) {
      reasons.push(`${suite}: ${lacking}`);
      continue;
    }
    try {
      return await bootstrap(ctx, root, suite);
    } catch (error) {
      if (!(error instanceof NotRun)) throw error;
      reasons.push(`${suite}: ${error.message}`);
    }
  }
  throw new NotRun(`no newer Debian to be had; ${reasons.join('; ')}`);
}

async function whatLacks(ctx, suite, architecture) {
  const archive = await AptRoot.open(ctx, { suite, architecture });
  for (const needed of NEEDED) {
    const { Version: version } = await archive.fields(needed.package);
    if (version === undefined) return `has no ${needed.package}`;
    const { status } = await ctx.run('dpkg', ['--compare-versions', version, 'ge', needed.atLeast], {
      check: false,
    });
    if (status !== 0) return `${needed.package} is ${version}, needed is ${needed.atLeast}`;
  }
  return undefined;
}

async function bootstrap(ctx, root, suite) {
  await ctx.apt.install('mmdebstrap');
  const { uri, keyring, options } = await ctx.apt.archive();
  const partial = `${root}.${process.pid}.partial`;
  ctx.log(`making a chroot of Debian ${suite} with ${PACKAGES.join(', ')}`);
  await ctx.retry(`mmdebstrap ${suite}`, async () => {
    await rm(partial, { recursive: true, force: true });
    await ctx.run(
      'mmdebstrap',
      [
        ...['--mode=root', '--variant=essential', `--include=${PACKAGES.join(',')}`],
        ...[...options, 'Acquire::Languages "none"'].map((option) => `--aptopt=${option}`),
        ...['doc', 'man', 'locale', 'info'].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
        suite,
        partial,
        `deb [signed-by=${keyring}] ${uri} ${suite} main`,
      ],
      { timeoutSeconds: 600 },
    );
  });
  await mkdir(join(partial, 'mnt', 'shared'), { recursive: true });
  await writeFile(join(partial, 'complete'), `${suite}\n`);
  await rm(root, { recursive: true, force: true });
  await rename(partial, root);
}
