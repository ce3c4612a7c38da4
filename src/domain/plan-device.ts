import { atsToWrite, fleetAts } from '../smmu/ats.js';
import type { KernelAts } from '../smmu/features.js';
import type { OnOff, OnOffAuto } from '../smmu/properties.js';
import type { BehindDevice } from '../smmu/resolve.js';
import type { Origin } from './asked.js';
import type { PassthroughDevice } from './domain-model.js';
import { KERNEL_ATS } from './evidence.js';
import { overrideValue } from './override.js';
import type { Plan } from './plan.js';

/** What is asked of the device's vfio-pci `ats`, and by whom. */
export interface AskedAts {
  readonly ats: OnOffAuto;
  readonly origin: Origin;
}

/** Set by hand, standing and to be kept, the fleet's, or else auto. */
export function askedAts(plan: Plan, device: PassthroughDevice): AskedAts {
  const { set, existing } = plan.options;
  const wish = (device.bdf === undefined ? undefined : set.atsOf.get(device.bdf)) ?? set.deviceAts;
  if (wish !== undefined) return { ats: wish, origin: 'set' };
  const kept = existing === 'keep' ? overrideValue(plan.model.overrides, device.alias, 'ats') : undefined;
  if (kept === undefined || kept === 'auto') return askedByFleet(plan, device);
  if (kept === 'on' || kept === 'off') return { ats: kept, origin: 'kept' };
  plan.refuse(
    device.element,
    'DOMAIN_VALUE',
    `${device.alias}: the override ats='${kept}' is not on, off or auto`,
    'Correct the value, leave it out, or use --existing replace.',
  );
  return { ats: 'auto', origin: 'auto' };
}

function askedByFleet({ options, host }: Plan, { bdf }: PassthroughDevice): AskedAts {
  const model = bdf === undefined ? undefined : host.devices.get(bdf)?.model;
  const fleet = model === undefined ? undefined : options.baseline?.deviceAts.get(model);
  const vsmmuAts = options.set.vsmmu.ats ?? options.baseline?.vsmmu.ats;
  const ats = fleetAts(fleet, vsmmuAts !== 'off');
  return { ats, origin: ats === 'auto' ? 'auto' : 'baseline' };
}

/** Plans the device's `ats`; the resolution has checked what was asked. */
export function planDevice(
  plan: Plan,
  device: PassthroughDevice,
  behind: BehindDevice,
  vsmmuAts: OnOff,
): void {
  const { features, ats: asked } = behind;
  const { origin } = askedAts(plan, device);
  if (origin === 'auto' && features.model === undefined && (plan.options.baseline?.deviceAts.size ?? 0) > 0)
    plan.warn(
      device.element,
      'MODEL_UNKNOWN',
      `${features.bdf}: ${plan.host.origin} does not tell its PCI ids, so what the baseline says of such devices is left out`,
      'Its ATS is resolved by this host alone; run webhook and hook at the same release.',
    );
  const { vfioAts: known, unknownAts } = plan.options;
  const resolved = asked === 'auto' ? atsToWrite(vsmmuAts, features, unknownAts) : asked;
  if (!known && (origin === 'set' || origin === 'kept') && asked !== 'auto')
    plan.refuse(
      device.element,
      'TARGET_LACKS',
      `${device.alias}: ats=${asked} is asked for, and this QEMU has no such property`,
      'Use QEMU 11.1 or newer, or ask for auto.',
    );
  const value = known ? resolved : undefined;
  const rule = known
    ? ruleOf(origin, vsmmuAts, features.kernelAts, resolved)
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

function ruleOf(origin: Origin, vsmmuAts: OnOff, kernel: KernelAts, resolved: OnOffAuto | undefined): string {
  if (origin === 'baseline') return "the fleet's baseline, checked against the kernel";
  if (origin !== 'auto') return 'explicit: kept, and checked against the kernel';
  if (vsmmuAts === 'off') return 'off: the vSMMU has no ATS, so the guest cannot use the capability';
  if (kernel === 'not-supported') return 'off: the kernel reports no support';
  if (kernel === 'supported') return 'on: the kernel reports support and the vSMMU has ATS';
  return resolved === undefined
    ? 'left out: where the kernel cannot say, QEMU decides'
    : `${resolved}: the kernel cannot say, and it was said what that counts as`;
}
