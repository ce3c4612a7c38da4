import { ExitStatus, VsmmuError } from '../errors.js';
import type { Target } from './options.js';

/** "12.7.0" as [12, 7, 0] */
export type Version = readonly [major: number, minor: number, micro: number];

/** What is known of the libvirt and the QEMU that will run the domain; undefined parts were not asked. */
export interface Launcher {
  readonly libvirt: Version | undefined;
  readonly qemu: QemuAbilities | undefined;
  /** Does KubeVirt's plugin pipeline stand between us and libvirt? It drops attributes that it does not know. */
  readonly plugins: boolean;
}

export interface QemuAbilities {
  /** arm-smmuv3 `accel` (11.0) */
  readonly accel: boolean;
  /** arm-smmuv3 `cmdqv` (11.1) */
  readonly cmdqv: boolean;
  /** vfio-pci `ats` (11.1) */
  readonly vfioAts: boolean;
}

export interface LauncherChoice {
  readonly target: Target;
  readonly vfioAts: boolean;
  readonly cmdqv: boolean;
}

/** pciBus came with libvirt 11.10, accel and the others with 12.7; unknown attributes are ignored without a word. */
const PCI_BUS: Version = [11, 10, 0];
const ATTRIBUTES: Version = [12, 7, 0];

/**
 * How a domain has to be written for a launcher.
 * @throws VsmmuError TARGET_LACKS where nothing that could be written would have an effect
 */
export function chooseTarget({ libvirt, qemu, plugins }: Launcher): LauncherChoice {
  if (qemu?.accel === false)
    throw lacks('this QEMU has no arm-smmuv3,accel=on', 'Use QEMU 11.0 or newer, or a build that has it.');
  if (libvirt !== undefined && before(libvirt, PCI_BUS))
    throw lacks(
      `libvirt ${libvirt.join('.')} ignores pciBus and everything else of a vSMMU`,
      'Use libvirt 11.10 or newer; 12.7 knows the attributes.',
    );
  const attributes = libvirt === undefined || !before(libvirt, ATTRIBUTES);
  return {
    target: attributes ? (plugins ? 'both' : 'native') : 'override',
    vfioAts: qemu?.vfioAts ?? true,
    cmdqv: qemu?.cmdqv ?? true,
  };
}

function lacks(message: string, remedy: string): VsmmuError {
  return new VsmmuError('TARGET_LACKS', message, { remedy, exitStatus: ExitStatus.findings });
}

/** @returns undefined where the text is no version; a distribution's suffix ("12.5.0-1.el10") is let pass */
export function parseVersion(text: string): Version | undefined {
  const match = /^(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?/.exec(text);
  return match === null ? undefined : [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)];
}

function before(a: Version, b: Version): boolean {
  const at = a.findIndex((part, index) => part !== b[index]);
  return at !== -1 && (a[at] ?? 0) < (b[at] ?? 0);
}

/** Upstream's abilities by release. A distribution's build may have more: asking it is better. */
export function qemuOfVersion(version: Version): QemuAbilities {
  const has = !before(version, [11, 1, 0]);
  return { accel: !before(version, [11, 0, 0]), cmdqv: has, vfioAts: has };
}

/**
 * Reads what "qemu-system-aarch64 -device X,help" prints, lines such as "  ats=<OnOffAuto>   - Control ...".
 * @param smmu of arm-smmuv3
 * @param vfio of vfio-pci
 */
export function qemuOfHelp(smmu: string, vfio: string): QemuAbilities {
  const has = (help: string, property: string) => new RegExp(`^\\s*${property}=`, 'm').test(help);
  return { accel: has(smmu, 'accel'), cmdqv: has(smmu, 'cmdqv'), vfioAts: has(vfio, 'ats') };
}

/**
 * Reads what "virsh version --daemon" prints. The daemon's version counts: it reads the domain.
 * @returns undefined where there is none in it
 */
export function libvirtOfVirsh(text: string): Version | undefined {
  const daemon = /Running against daemon: (\S+)/.exec(text)?.[1];
  const library = /Using library: libvirt (\S+)/.exec(text)?.[1];
  return parseVersion(daemon ?? library ?? '');
}
