import { atsToWrite } from '../smmu/ats.js';
import type { SmmuLimits } from '../smmu/features.js';
import type { AskedVsmmu, OnOff, ResolvedVsmmu } from '../smmu/properties.js';
import { resolveVsmmu, type BehindDevice } from '../smmu/resolve.js';
import { askedOf, writtenProperty } from './asked.js';
import { planAttribute, writtenAs } from './plan-attribute.js';
import type { PassthroughDevice, VirtualSmmu } from './domain-model.js';
import { overrideValue } from './override.js';
import type { Plan } from './plan.js';

/** Properties that are resolved, in libvirt's order of attributes. */
export const RESOLVED_PROPERTIES = ['cmdqv', 'ats', 'ril', 'ssidsize', 'oas'] as const;
export type ResolvedProperty = (typeof RESOLVED_PROPERTIES)[number];

/** Resolves one accelerated vSMMU for the devices behind it and plans what must be written for both. */
export function planSmmu(plan: Plan, smmu: VirtualSmmu, behind: readonly PassthroughDevice[]): void {
  const devices = featuresBehind(plan, behind);
  if (devices === undefined) return;
  const asked = askedOf(plan.model, smmu, plan.options.existing, [...devices.values()]);
  if (!asked.ok) {
    for (const { property, value } of asked.bad)
      plan.refuse(
        smmu.driver ?? smmu.element,
        'DOMAIN_VALUE',
        `${smmu.alias}: ${property}='${value}' is not a value of this property`,
        'Correct the value, leave it out, or use --existing replace.',
      );
    return;
  }
  const resolution = resolveVsmmu(asked.vsmmu, [...devices.values()]);
  if (!resolution.ok) {
    for (const error of resolution.errors)
      plan.refuse(smmu.element, error.code, `${smmu.alias}: ${error.message}`, error.remedy);
    return;
  }
  const [first] = devices.values();
  for (const property of RESOLVED_PROPERTIES)
    if (property !== 'cmdqv' || asked.writeCmdqv)
      planProperty(plan, smmu, property, asked.vsmmu, resolution.vsmmu, first);
  if (plan.options.target !== 'native')
    plan.overrides.push({
      alias: smmu.alias,
      name: 'accel',
      type: 'bool',
      value: 'true',
      why: 'this libvirt or pipeline drops the attribute',
    });
  for (const [device, features] of devices) planDevice(plan, device, features, resolution.vsmmu.ats);
}

/** undefined where a device is unknown to the host; the plan then says which. */
function featuresBehind(
  plan: Plan,
  behind: readonly PassthroughDevice[],
): ReadonlyMap<PassthroughDevice, BehindDevice> | undefined {
  const known = new Map<PassthroughDevice, BehindDevice>();
  for (const device of behind) {
    const features = device.bdf === undefined ? undefined : plan.host.devices.get(device.bdf);
    if (features === undefined) refuseUnknown(plan, device);
    else known.set(device, { features, ats: askedAts(plan, device), coldPlugged: true });
  }
  return known.size === behind.length ? known : undefined;
}

function refuseUnknown(plan: Plan, device: PassthroughDevice): void {
  if (device.bdf === undefined)
    plan.refuse(
      device.element,
      'DOMAIN_VALUE',
      `${device.alias} has no host PCI address that libvirt would understand`,
      "Give <source><address domain='0x….' bus='0x..' slot='0x..' function='0x.'/></source>.",
    );
  else
    plan.refuse(
      device.element,
      'HOSTDEV_UNKNOWN',
      `${device.alias} is host device ${device.bdf}, which ${plan.host.origin} does not have`,
      'Name the host the VM will run on (--host), or correct the address; "vsmmu probe --all" lists what is there.',
    );
}

function askedAts(plan: Plan, device: PassthroughDevice): BehindDevice['ats'] {
  if (plan.options.existing === 'replace') return 'auto';
  const value = overrideValue(plan.model.overrides, device.alias, 'ats');
  if (value === undefined || value === 'auto') return 'auto';
  if (value === 'on' || value === 'off') return value;
  plan.refuse(
    device.element,
    'DOMAIN_VALUE',
    `${device.alias}: the override ats='${value}' is not on, off or auto`,
    'Correct the value, leave it out, or use --existing replace.',
  );
  return 'auto';
}

function planProperty(
  plan: Plan,
  smmu: VirtualSmmu,
  property: ResolvedProperty,
  asked: AskedVsmmu,
  resolved: ResolvedVsmmu,
  first: BehindDevice | undefined,
): void {
  const value = String(resolved[property]);
  const auto = asked[property] === 'auto';
  const rule = auto ? AUTO_RULES[property] : 'explicit: kept, and checked against each host SMMU behind it';
  const evidence = evidenceOf(plan, property, first);
  planAttribute(plan, smmu, property, value, `${rule} (${evidence})`);
  plan.decisions.push({
    subject: smmu.alias,
    property,
    was: writtenProperty(plan.model, smmu, property).value,
    asked: String(asked[property]),
    resolved: value,
    written: writtenAs(plan, smmu, property, value),
    evidence,
    rule,
  });
}

const AUTO_RULES: Readonly<Record<ResolvedProperty, string>> = {
  cmdqv: 'auto: on where the host is known to have it',
  ats: "auto: the host SMMU's value",
  ril: "auto: the host SMMU's value",
  ssidsize: "auto: the host SMMU's substream id bits",
  oas: 'auto: the larger of 44 and 48 that the host SMMU has',
};

const READINGS: Readonly<Record<ResolvedProperty, (limits: SmmuLimits) => string>> = {
  cmdqv: ({ cmdqv }) =>
    cmdqv === undefined ? 'CMDQV: not known' : `Tegra241 CMDQV: ${cmdqv ? 'yes' : 'no'}`,
  ats: ({ ats }) => `IDR0.ATS=${Number(ats)}`,
  ril: ({ ril }) => `IDR3.RIL=${Number(ril)}`,
  ssidsize: ({ ssidsize }) => `IDR1.SSIDSIZE=${ssidsize}`,
  oas: ({ oas }) => `IDR5.OAS=${oas} bits`,
};

function evidenceOf(plan: Plan, property: ResolvedProperty, device: BehindDevice | undefined): string {
  const limits = device?.features.smmu.limits;
  if (device === undefined || limits === undefined) return 'no device behind it';
  const smmu = device.features.smmu.name ?? 'the SMMU';
  return `${READINGS[property](limits)}, ${smmu} of ${device.features.bdf}, ${plan.host.origin}`;
}

function planDevice(plan: Plan, device: PassthroughDevice, behind: BehindDevice, vsmmuAts: OnOff): void {
  const { features, ats: asked } = behind;
  const was = overrideValue(plan.model.overrides, device.alias, 'ats');
  const wish = plan.options.existing === 'keep' && was !== undefined;
  const value = wish ? was : plan.options.vfioAts ? atsToWrite(vsmmuAts, features) : undefined;
  const rule = deviceRule(plan, wish, vsmmuAts, features.kernelAts);
  plan.overrides.push({ alias: device.alias, name: 'ats', type: 'string', value, why: rule });
  plan.decisions.push({
    subject: features.bdf,
    property: 'ats',
    was,
    asked,
    resolved: value ?? 'auto',
    written: value === undefined ? 'nothing' : `<qemu:override> ${device.alias} ats=${value}`,
    evidence: `${KERNEL_ATS[features.kernelAts]}, ${plan.host.origin}`,
    rule,
  });
}

const KERNEL_ATS = {
  supported: 'kernel reports ATS as supported (out_capabilities bit 3 clear)',
  'not-supported': 'kernel reports ATS as not supported (out_capabilities bit 3 set)',
  silent: 'kernel cannot say (before Linux 7.1, or no iommufd)',
} as const;

function deviceRule(plan: Plan, wish: boolean, vsmmuAts: OnOff, kernel: keyof typeof KERNEL_ATS): string {
  if (wish) return 'explicit: kept, and checked against the kernel';
  if (!plan.options.vfioAts) return 'this QEMU has no vfio-pci ats property';
  if (vsmmuAts === 'off') return 'off: the vSMMU has no ATS, so the guest cannot use the capability';
  if (kernel === 'not-supported') return 'off: the kernel reports no support';
  return kernel === 'supported'
    ? 'on: the kernel reports support and the vSMMU has ATS'
    : 'left out: where the kernel cannot say, QEMU decides';
}
