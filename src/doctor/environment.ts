import { constants } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { errnoOf, messageOf } from '../errors.js';
import type { HostSource, Read } from '../host/host-source.js';
import { failed, succeeded } from '../host/host-source.js';

/** What lies around the host: asked, not guessed from versions. A failure carries its reason. */
export interface Environment {
  readonly iommuNode: Read<boolean>;
  /** Device nodes, and why this process may not open them for reading and writing; undefined on a recording. */
  readonly access: readonly NodeAccess[] | undefined;
  /** "unlimited", or bytes as text. */
  readonly memlock: Read<string>;
  /** --launcher-root */
  readonly launcherRoot: string | undefined;
  /** What `-device X,help` prints. */
  readonly qemuSmmu: Read<string>;
  readonly qemuVfio: Read<string>;
  /** domaincommon.rng */
  readonly libvirtSchema: Read<string>;
  readonly kubelet: Read<string>;
}

export interface NodeAccess {
  readonly path: string;
  /** errno's name; undefined: it may be opened. */
  readonly refusal: string | undefined;
}

export interface EnvironmentOptions {
  /** A recording says nothing of limits, programs and sockets. */
  readonly live: boolean;
  /** An unpacked virt-launcher image whose QEMU and libvirt are asked instead of the host's. */
  readonly launcherRoot?: string | undefined;
  /** "/var/lib/kubelet" */
  readonly kubeletDir: string;
  readonly path: string;
}

const QEMU_TIMEOUT_MS = 10_000;
const SOCKET_TIMEOUT_MS = 1_000;
const QEMU_NAMES = ['qemu-system-aarch64', 'qemu-kvm'];
const QEMU_FOLDERS = ['/usr/bin', '/usr/libexec', '/usr/local/bin'];
const SCHEMA = '/usr/share/libvirt/schemas/domaincommon.rng';
const RECORDED = 'a recording does not tell';

/** @param nodes cdevs of the VFIO devices */
export async function lookAround(
  source: HostSource,
  nodes: readonly string[],
  options: EnvironmentOptions,
): Promise<Environment> {
  const { live, launcherRoot = '' } = options;
  const iommuNode = source.exists('/dev/iommu');
  const asksLauncher = live || launcherRoot !== '';
  const silent = failed<string>('ENODATA', RECORDED);
  const qemu = asksLauncher ? await findQemu(options) : silent;
  const [access, qemuSmmu, qemuVfio, libvirtSchema, kubelet] = await Promise.all([
    live ? accessOf(['/dev/iommu', ...nodes]) : undefined,
    askQemu(qemu, 'arm-smmuv3', launcherRoot),
    askQemu(qemu, 'vfio-pci', launcherRoot),
    asksLauncher ? readTextFile(join(launcherRoot, SCHEMA)) : silent,
    live ? canConnect(join(options.kubeletDir, 'device-plugins/kubelet.sock')) : silent,
  ]);
  return {
    iommuNode,
    access,
    memlock: live ? memlockOf(source) : silent,
    launcherRoot: options.launcherRoot,
    qemuSmmu,
    qemuVfio,
    libvirtSchema,
    kubelet,
  };
}

function accessOf(paths: readonly string[]): Promise<NodeAccess[]> {
  return Promise.all(
    paths.map(async (path) => ({
      path,
      refusal: await access(path, constants.R_OK | constants.W_OK).then(
        () => undefined,
        (error: unknown) => errnoOf(error) ?? messageOf(error),
      ),
    })),
  );
}

function memlockOf(source: HostSource): Read<string> {
  const limits = source.readText('/proc/self/limits');
  if (!limits.ok) return limits;
  const soft = /^Max locked memory\s+(\S+)/m.exec(limits.value)?.[1];
  return soft === undefined
    ? failed('EINVAL', '/proc/self/limits tells no limit on locked memory')
    : succeeded(soft);
}

async function findQemu({ launcherRoot = '', path }: EnvironmentOptions): Promise<Read<string>> {
  const folders =
    launcherRoot === '' ? [...path.split(delimiter).filter(Boolean), ...QEMU_FOLDERS] : QEMU_FOLDERS;
  for (const folder of folders)
    for (const name of QEMU_NAMES) {
      const program = join(folder, name);
      if (await isThere(join(launcherRoot, program))) return succeeded(program);
    }
  return failed('ENOENT', `there is no ${QEMU_NAMES.join(' or ')} in ${folders.join(', ')}`);
}

function isThere(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** An image's QEMU needs the image's libraries, hence chroot(8). QEMU prints the help of a type and ends. */
async function askQemu(qemu: Read<string>, device: string, launcherRoot: string): Promise<Read<string>> {
  if (!qemu.ok) return qemu;
  const args = ['-machine', 'virt', '-device', `${device},help`];
  const [program, all] =
    launcherRoot === '' ? [qemu.value, args] : (['chroot', [launcherRoot, qemu.value, ...args]] as const);
  // Loaded where it is used, as node:net below: neither is for a recording.
  const { execFile } = await import('node:child_process');
  try {
    const { stdout } = await promisify(execFile)(program, [...all], {
      timeout: QEMU_TIMEOUT_MS,
      encoding: 'utf8',
    });
    return succeeded(stdout);
  } catch (error) {
    const [line = ''] = messageOf(error).split('\n').slice(-2);
    return failed(errnoOf(error) ?? 'EIO', `${program} -device ${device},help: ${line.trim()}`);
  }
}

async function readTextFile(path: string): Promise<Read<string>> {
  try {
    return succeeded(await readFile(path, 'utf8'));
  } catch (error) {
    return failed(errnoOf(error) ?? 'EIO', `${path}: ${errnoOf(error) ?? messageOf(error)}`);
  }
}

async function canConnect(path: string): Promise<Read<string>> {
  const { connect } = await import('node:net');
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (result: Read<string>) => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(SOCKET_TIMEOUT_MS, () => end(failed('ETIMEDOUT', `${path} does not answer`)));
    socket.once('connect', () => end(succeeded(path)));
    socket.once('error', (error) =>
      end(failed(errnoOf(error) ?? 'EIO', `${path}: ${errnoOf(error) ?? error.message}`)),
    );
  });
}
