import { known, unknown, type Answer, type Evidence } from '../smmu/answer.js';
import type { HwInfoReply } from './hw-info.js';
import { HwCapability } from './iommufd-uapi.js';
import { NOT_RECORDED, type HostSource, type Read } from './host-source.js';
import { kernelParameters } from './kernel-parameters.js';

const RECORD_AGAIN = 'Record the host with `vsmmu record`, which keeps /proc/version and /proc/cmdline.';

function remedyOf({ errno }: Extract<Read<unknown>, { ok: false }>): string {
  return errno === NOT_RECORDED ? RECORD_AGAIN : 'Mount /proc, and let it be read.';
}

export function kernelRelease(source: HostSource): Answer<string> {
  const version = source.readText('/proc/version');
  if (!version.ok) return unknown(version.because, remedyOf(version));
  const release = /^Linux version (\S+)/.exec(version.value)?.[1];
  return release === undefined
    ? unknown('/proc/version does not begin with "Linux version"', RECORD_AGAIN)
    : known(release, { reading: `Linux version ${release}`, source: '/proc/version' });
}

export function kernelCommandLine(source: HostSource): Answer<string> {
  const line = source.readText('/proc/cmdline');
  if (!line.ok) return unknown(line.because, remedyOf(line));
  const text = line.value.trim();
  return known(text, { reading: text, source: '/proc/cmdline' });
}

/** `pci=noats` keeps the kernel from finding any ATS capability (pci_ats_init(), drivers/pci/ats.c). */
export function noAtsOf(commandLine: Answer<string>): Answer<boolean> {
  if (!commandLine.known) return commandLine;
  const parameters = kernelParameters(commandLine.value).map((parameter) => parameter.replaceAll('"', ''));
  // What comes after "--" is for init.
  const end = parameters.indexOf('--');
  const parameter = parameters
    .slice(0, end < 0 ? undefined : end)
    .find((word) => word.startsWith('pci=') && word.slice(4).split(',').includes('noats'));
  return known(parameter !== undefined, { reading: parameter ?? 'no pci=noats', source: '/proc/cmdline' });
}

/** @returns undefined where the release is unknown or no version at all */
export function releaseAtLeast(release: Answer<string>, major: number, minor: number): boolean | undefined {
  const match = release.known ? /^(\d+)\.(\d+)/.exec(release.value) : null;
  if (match === null) return undefined;
  const [, first = '', second = ''] = match;
  return Number(first) > major || (Number(first) === major && Number(second) >= minor);
}

/** What the canary needs of a device. */
export interface AtsWitness {
  readonly reply: HwInfoReply;
  /** From config space; undefined where that was not readable. */
  readonly atsCapability: boolean | undefined;
  /** Certainly no SR-IOV VF. A VF is no counter-proof: newer kernels answer for the PF. */
  readonly ordinary: boolean;
}

/**
 * Does the kernel set out_capabilities bit 3 at all? Canaries come before the version number, because a kernel
 * in a merge window or with backports calls itself older than what it can do:
 * - a device with the bit set proves that it does;
 * - a device that lacks the ATS capability and has the bit clear proves that it does not.
 */
export function kernelReportsAts(release: Answer<string>, witnesses: readonly AtsWitness[]): Answer<boolean> {
  let counterProof: Evidence | undefined;
  for (const { reply, atsCapability, ordinary } of witnesses) {
    if (reply.kind !== 'answer') continue;
    if ((reply.capabilities & HwCapability.pciAtsNotSupported) !== 0n)
      return known(true, { reading: 'out_capabilities bit 3 set', source: reply.source });
    if (atsCapability === false && ordinary)
      counterProof ??= {
        reading: 'out_capabilities bit 3 clear on a device without the ATS capability',
        source: reply.source,
      };
  }
  if (counterProof !== undefined) return known(false, counterProof);

  const newEnough = releaseAtLeast(release, 7, 1);
  if (newEnough !== undefined && release.known)
    return known(newEnough, {
      reading: `Linux ${release.value} is ${newEnough ? 'not ' : ''}older than 7.1`,
      source: '/proc/version',
    });
  return unknown(
    'no device proves whether the kernel reports ATS, and its version is not known',
    'Bind a device without the ATS capability to vfio-pci and probe again, or tell the kernel version.',
  );
}
