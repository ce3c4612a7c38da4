import { resolveVsmmu, type BehindDevice } from '../smmu/resolve.js';
import { askedOf, writtenProperty, type Asked } from './asked.js';
import type { PassthroughDevice, VirtualSmmu } from './domain-model.js';
import { evidenceOf, propertyRule } from './evidence.js';
import { RESOLVED_PROPERTIES, type ResolvedProperty } from './resolved-properties.js';
import { planAttribute, planAttributeRemoval, writtenAs } from './plan-attribute.js';
import { askedAts, planDevice } from './plan-device.js';
import type { Plan } from './plan.js';
import { isUnresolvable, withConservativeLimits } from './unresolvable.js';

/** Resolves one accelerated vSMMU for the devices behind it and plans what must be written for both. */
export function planSmmu(plan: Plan, smmu: VirtualSmmu, behind: readonly PassthroughDevice[]): void {
  const devices = featuresBehind(plan, behind);
  if (devices === undefined) return;
  const { options } = plan;
  const asked = askedOf(plan.model, smmu, options, [...devices.values()]);
  for (const { property, value } of asked.bad)
    plan.refuse(
      smmu.driver ?? smmu.element,
      'DOMAIN_VALUE',
      `${smmu.alias}: ${property}='${value}' is not a value of this property`,
      'Correct the value, leave it out, or use --existing replace.',
    );
  if (asked.bad.length > 0) return;
  if (options.unresolvable === 'omit' && [...devices.values()].some(isUnresolvable))
    planUnchecked(plan, smmu, devices, asked);
  else planResolved(plan, smmu, devices, asked);
}

type Devices = ReadonlyMap<PassthroughDevice, BehindDevice>;

function planResolved(plan: Plan, smmu: VirtualSmmu, devices: Devices, asked: Asked): void {
  const conservative = plan.options.unresolvable === 'conservative';
  const behind = [...devices.values()].map((device) =>
    conservative ? withConservativeLimits(device) : device,
  );
  const resolution = resolveVsmmu(asked.vsmmu, behind);
  if (!resolution.ok) {
    for (const error of resolution.errors)
      plan.refuse(smmu.element, error.code, `${smmu.alias}: ${error.message}`, error.remedy);
    return;
  }
  planAcceleration(plan, smmu);
  const [source] = devices.values();
  for (const property of RESOLVED_PROPERTIES) {
    if (property === 'cmdqv' && !asked.writeCmdqv) {
      // A value that this QEMU does not know would stop the VM.
      if (!plan.options.cmdqv) planAttributeRemoval(plan, smmu, 'cmdqv', 'this QEMU has no cmdqv');
      continue;
    }
    planProperty(plan, smmu, property, asked, String(resolution.vsmmu[property]), source);
  }
  for (const [device, features] of devices) planDevice(plan, device, features, resolution.vsmmu.ats);
}

/**
 * Acceleration stands where the values do: the override carries it past an older libvirt or a pipeline that drops the
 * attribute, and libvirt refuses the others beside an attribute that is off or missing.
 */
function planAcceleration(plan: Plan, smmu: VirtualSmmu): void {
  planAttribute(plan, smmu, 'accel', 'on', 'the values of an accelerated vSMMU need accel beside them');
}

/** Nothing is known of the host: explicit values are written as they are, the others left out. */
function planUnchecked(plan: Plan, smmu: VirtualSmmu, devices: Devices, asked: Asked): void {
  planAcceleration(plan, smmu);
  const [source] = devices.values();
  const because = source?.features.smmu.obstacles[0]?.message ?? 'the host SMMU is not known';
  for (const property of RESOLVED_PROPERTIES) {
    const explicit = asked.origins[property] !== 'auto';
    if (explicit && (property !== 'cmdqv' || asked.writeCmdqv)) {
      planProperty(plan, smmu, property, asked, String(asked.vsmmu[property]), source);
      continue;
    }
    const rule = `left out: ${because}`;
    const was = writtenProperty(plan.model, smmu, property).value;
    planAttributeRemoval(plan, smmu, property, rule);
    const resolved = 'unknown';
    const evidence = plan.host.origin;
    plan.decisions.push({
      subject: smmu.alias,
      property,
      was,
      asked: 'auto',
      resolved,
      written: 'nothing',
      evidence,
      rule,
    });
  }
  const ats = asked.vsmmu.ats === 'off' ? 'off' : 'on';
  for (const [device, features] of devices) planDevice(plan, device, features, ats);
}

/** undefined where a device is unknown to the host; the plan then says which. */
function featuresBehind(plan: Plan, behind: readonly PassthroughDevice[]): Devices | undefined {
  const known = new Map<PassthroughDevice, BehindDevice>();
  for (const device of behind) {
    const features = device.bdf === undefined ? undefined : plan.host.devices.get(device.bdf);
    if (features === undefined) refuseUnknown(plan, device);
    else known.set(device, { features, ats: askedAts(plan, device).ats, coldPlugged: true });
  }
  return known.size === behind.length ? known : undefined;
}

export function refuseUnknown(plan: Plan, device: PassthroughDevice): void {
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

function planProperty(
  plan: Plan,
  smmu: VirtualSmmu,
  property: ResolvedProperty,
  asked: Asked,
  value: string,
  source: BehindDevice | undefined,
): void {
  const conservative =
    plan.options.unresolvable === 'conservative' && source !== undefined && isUnresolvable(source);
  const rule = propertyRule(property, asked.origins[property], conservative);
  const evidence = evidenceOf(property, source, plan.host.origin);
  planAttribute(plan, smmu, property, value, `${rule} (${evidence})`);
  plan.decisions.push({
    subject: smmu.alias,
    property,
    was: writtenProperty(plan.model, smmu, property).value,
    asked: String(asked.vsmmu[property]),
    resolved: value,
    written: writtenAs(plan, smmu, property, value),
    evidence,
    rule,
  });
}
