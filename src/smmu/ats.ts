import type { YesNoUnknown } from './answer.js';
import type { DeviceFeatures } from './features.js';
import type { OnOff, OnOffAuto } from './properties.js';

/**
 * Does the guest see the device's ATS capability (vfio-pci `ats`, QEMU 11.1)?
 * Silence of the kernel counts as support, as in QEMU. A capability that the device lacks is never shown.
 * @returns 'refused' where QEMU would not start the VM.
 */
export function atsExposure(asked: OnOffAuto, device: DeviceFeatures): 'shown' | 'hidden' | 'refused' {
  if (asked === 'off') return 'hidden';
  if (device.kernelAts === 'not-supported') return asked === 'on' ? 'refused' : 'hidden';
  return device.atsCapability === false ? 'hidden' : 'shown';
}

/**
 * A device's ATS for scheduling, stricter than QEMU's auto: a definite no from any part wins, silence of the
 * kernel is never a yes. A kernel that reports support has itself tested the capability (pci_ats_supported()).
 */
export function effectiveAts(device: DeviceFeatures): YesNoUnknown {
  const smmu = device.smmu.limits?.ats;
  if (smmu === false || device.kernelAts === 'not-supported' || device.atsCapability === false) return 'no';
  return smmu === true && device.kernelAts === 'supported' ? 'yes' : 'unknown';
}

/**
 * The vfio-pci `ats` to write for a device behind a vSMMU.
 *
 * @param unknownAts what a person lets a device count as whose ATS the kernel cannot tell
 * @returns undefined where the kernel cannot say: QEMU's own default then decides, not a guess of ours.
 */
export function atsToWrite(
  vsmmuAts: OnOff,
  device: DeviceFeatures,
  unknownAts: YesNoUnknown = 'unknown',
): OnOff | undefined {
  if (vsmmuAts === 'off' || device.kernelAts === 'not-supported') return 'off';
  if (device.kernelAts === 'supported') return 'on';
  // Config space has said no already: that is not unknown, and QEMU hides what is not there.
  if (unknownAts === 'unknown' || device.atsCapability === false) return undefined;
  return unknownAts === 'yes' ? 'on' : 'off';
}

/**
 * The vfio-pci `ats` that a device gets for the sake of a fleet: on where every host has it that has such a device, off
 * where one has not, and what its own host resolves where one cannot say.
 *
 * @param fleet does the ATS of such devices work on every host? undefined: nobody said
 * @param usable could the guest use it? Not behind a vSMMU that is to have no ATS
 */
export function fleetAts(fleet: YesNoUnknown | undefined, usable: boolean): OnOffAuto {
  if (fleet === 'no') return 'off';
  return fleet === 'yes' && usable ? 'on' : 'auto';
}
