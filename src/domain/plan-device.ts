import { atsToWrite } from '../smmu/ats.js';
import type { KernelAts } from '../smmu/features.js';
import type { OnOff, OnOffAuto } from '../smmu/properties.js';
import type { BehindDevice } from '../smmu/resolve.js';
import type { PassthroughDevice } from './domain-model.js';
import { KERNEL_ATS } from './evidence.js';
import { overrideValue } from './override.js';
import type { Plan } from './plan.js';

/** What is asked of the device's vfio-pci `ats`: set by hand, or standing and to be kept. */
export function askedAts(plan: Plan, device: PassthroughDevice): OnOffAuto {
  const { set, existing } = plan.options;
  const wish = (device.bdf === undefined ? undefined : set.atsOf.get(device.bdf)) ?? set.deviceAts;
  if (wish !== undefined || existing === 'replace') return wish ?? 'auto';
  const value = overrideValue(plan.model.overrides, device.alias, 'ats') ?? 'auto';
  if (value === 'auto' || value === 'on' || value === 'off') return value;
  plan.refuse(
    device.element,
    'DOMAIN_VALUE',
    `${device.alias}: the override ats='${value}' is not on, off or auto`,
    'Correct the value, leave it out, or use --existing replace.',
  );
  return 'auto';
}

/** Plans the device's `ats`; the resolution has checked what was asked. */
export function planDevice(
  plan: Plan,
  device: PassthroughDevice,
  behind: BehindDevice,
  vsmmuAts: OnOff,
): void {
  const { features, ats: asked } = behind;
  const { vfioAts: known, unknownAts } = plan.options;
  const resolved = asked === 'auto' ? atsToWrite(vsmmuAts, features, unknownAts) : asked;
  if (!known && asked !== 'auto')
    plan.refuse(
      device.element,
      'TARGET_LACKS',
      `${device.alias}: ats=${asked} is asked for, and this QEMU has no such property`,
      'Use QEMU 11.1 or newer, or ask for auto.',
    );
  const value = known ? resolved : undefined;
  const rule = known
    ? ruleOf(asked, vsmmuAts, features.kernelAts, resolved)
    : 'left out: this QEMU has no vfio-pci ats';
  plan.overrides.push({ alias: device.alias, name: 'ats', type: 'string', value, why: rule });
  plan.decisions.push({
    subject: features.bdf,
    property: 'ats',
    was: overrideValue(plan.model.overrides, device.alias, 'ats'),
    asked,
    resolved: value ?? 'auto',
    written: value === undefined ? 'nothing' : `<qemu:override> ${device.alias} ats=${value}`,
    evidence: `${KERNEL_ATS[features.kernelAts]}, ${plan.host.origin}`,
    rule,
  });
}

function ruleOf(
  asked: OnOffAuto,
  vsmmuAts: OnOff,
  kernel: KernelAts,
  resolved: OnOffAuto | undefined,
): string {
  if (asked !== 'auto') return 'explicit: kept, and checked against the kernel';
  if (vsmmuAts === 'off') return 'off: the vSMMU has no ATS, so the guest cannot use the capability';
  if (kernel === 'not-supported') return 'off: the kernel reports no support';
  if (kernel === 'supported') return 'on: the kernel reports support and the vSMMU has ATS';
  return resolved === undefined
    ? 'left out: where the kernel cannot say, QEMU decides'
    : `${resolved}: the kernel cannot say, and it was said what that counts as`;
}
