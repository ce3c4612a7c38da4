import { promisify } from 'node:util';

import {
  type Launcher,
  libvirtOfVirsh,
  parseVersion,
  qemuOfHelp,
  qemuOfVersion,
  type QemuAbilities,
  type Version,
} from '../domain/launcher.js';
import { ExitStatus, VsmmuError } from '../errors.js';

export interface LauncherOptions {
  /** Versions given by hand. */
  readonly libvirt?: string | undefined;
  readonly qemu?: string | undefined;
  readonly plugins?: boolean;
  /** Ask virsh and QEMU of this machine for what was not given. */
  readonly probe?: boolean;
}

const TIMEOUT_MS = 20_000;

/**
 * The launcher that the options describe.
 * @returns undefined where they say nothing of it
 * @throws VsmmuError USAGE for a text that is no version, LAUNCHER_SILENT where a program can't be asked
 */
export async function launcherOf(options: LauncherOptions): Promise<Launcher | undefined> {
  const { libvirt, qemu, plugins = false, probe = false } = options;
  if (libvirt === undefined && qemu === undefined && !plugins && !probe) return undefined;
  return {
    libvirt: libvirt !== undefined ? versionOf('--libvirt', libvirt) : probe ? await askVirsh() : undefined,
    qemu: qemu !== undefined ? qemuOfVersion(versionOf('--qemu', qemu)) : probe ? await askQemu() : undefined,
    plugins,
  };
}

function versionOf(option: string, text: string): Version {
  const version = parseVersion(text);
  if (version !== undefined) return version;
  throw new VsmmuError('USAGE', `"${text}" is no version`, {
    place: option,
    remedy: 'Give one such as 12.7.0.',
    exitStatus: ExitStatus.usage,
  });
}

async function askVirsh(): Promise<Version> {
  const version = libvirtOfVirsh(await outputOf('virsh', ['version', '--daemon']));
  if (version !== undefined) return version;
  throw silent('virsh', 'it printed no version', undefined);
}

async function askQemu(): Promise<QemuAbilities> {
  const help = (device: string) =>
    outputOf('qemu-system-aarch64', ['-machine', 'virt', '-device', `${device},help`]);
  const [smmu, vfio] = await Promise.all([help('arm-smmuv3'), help('vfio-pci')]);
  return qemuOfHelp(smmu, vfio);
}

async function outputOf(program: string, args: readonly string[]): Promise<string> {
  // Few commands run a program.
  const { execFile } = await import('node:child_process');
  try {
    return (await promisify(execFile)(program, [...args], { timeout: TIMEOUT_MS, encoding: 'utf8' })).stdout;
  } catch (cause) {
    throw silent(program, `"${[program, ...args].join(' ')}" failed`, cause);
  }
}

function silent(program: string, message: string, cause: unknown): VsmmuError {
  return new VsmmuError('LAUNCHER_SILENT', message, {
    place: program,
    remedy: 'Name the versions: --libvirt VERSION --qemu VERSION.',
    cause,
  });
}
