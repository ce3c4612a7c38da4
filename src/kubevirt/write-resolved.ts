import type { Bdf } from '../bdf.js';
import type {
  DeviceFeatures,
  HostFeatures,
  KernelAts,
  Obstacle,
  SmmuFeatures,
  SmmuLimits,
} from '../smmu/features.js';
import {
  ANNOTATION_LIMIT_BYTES,
  type AnnotatedGroup,
  type AnnotatedObstacle,
  type AnnotatedSmmu,
  checkAnnotation,
  type ResolvedAnnotation,
  TEXT_MAX,
} from './resolved-annotation.js';

/**
 * The annotation for a host. `parseAnnotation(renderAnnotation(f, n))` gives the same devices as `f`;
 * only texts longer than 400 characters are cut.
 *
 * @param node the Kubernetes name of the node
 * @throws VsmmuError ANNOTATION_MALFORMED where the node's name or an SMMU's name can't be carried
 */
export function annotationOf(features: HostFeatures, node: string): ResolvedAnnotation {
  const smmus = new NumberedSmmus();
  const groups: AnnotatedGroup[] = [];
  const groupIndex = new Map<string, number>();
  const devices: Record<string, number> = {};
  for (const device of features.devices.values()) {
    const group = groupOf(device, smmus.keyOf(device.smmu));
    const identity = JSON.stringify(group);
    let index = groupIndex.get(identity);
    if (index === undefined) {
      index = groups.push(group) - 1;
      groupIndex.set(identity, index);
    }
    devices[device.bdf] = index;
  }
  const annotation = { version: 1 as const, node, smmus: smmus.entries(), groups, devices };
  checkAnnotation(annotation);
  return annotation;
}

/**
 * As compact JSON, the annotation's value. A host whose SMMUs could not be read may have one long reason a device;
 * where those would fill the annotation they give way to one general reason, and the values of the others stay.
 */
export function renderAnnotation(features: HostFeatures, node: string): string {
  const text = JSON.stringify(annotationOf(features, node));
  if (text.length <= ANNOTATION_LIMIT_BYTES / 2) return text;
  return JSON.stringify(annotationOf(withoutReasons(features), node));
}

function withoutReasons(features: HostFeatures): HostFeatures {
  const silenced = [...features.devices].map(([bdf, device]): [Bdf, DeviceFeatures] => {
    const { smmu } = device;
    if (smmu.limits !== undefined) return [bdf, device];
    return [bdf, { ...device, smmu: { ...smmu, obstacles: [NOTHING_SAID] } }];
  });
  return { ...features, devices: new Map(silenced) };
}

function groupOf(device: DeviceFeatures, smmu: string): AnnotatedGroup {
  const { atsCapability, numaNode } = device;
  const ats: KernelAts = device.kernelAts;
  return {
    smmu,
    ats,
    ...(atsCapability === undefined
      ? {}
      : { capability: atsCapability ? ('yes' as const) : ('no' as const) }),
    ...(numaNode === undefined ? {} : { numa: numaNode }),
  };
}

/** Gives each distinct description of an SMMU one key: its name, or name#2, #3 where a name says several things. */
class NumberedSmmus {
  readonly #keys = new Map<string, string>();
  readonly #bySmmu = new Map<SmmuFeatures, string>();
  readonly #entries: Record<string, AnnotatedSmmu> = {};

  keyOf(features: SmmuFeatures): string {
    // Devices behind one SMMU mostly share one object; then its text isn't built again.
    const seen = this.#bySmmu.get(features);
    if (seen !== undefined) return seen;
    const described = describe(features);
    const name = features.name ?? '';
    const identity = `${name}\n${JSON.stringify(described)}`;
    let key = this.#keys.get(identity);
    if (key === undefined) {
      key = this.#freeKey(name);
      this.#keys.set(identity, key);
      this.#entries[key] = described;
    }
    this.#bySmmu.set(features, key);
    return key;
  }

  #freeKey(name: string): string {
    if (name !== '' && !Object.hasOwn(this.#entries, name)) return name;
    let number = name === '' ? 1 : 2;
    while (Object.hasOwn(this.#entries, `${name}#${number}`)) number++;
    return `${name}#${number}`;
  }

  entries(): Record<string, AnnotatedSmmu> {
    return this.#entries;
  }
}

function describe({ limits, obstacles }: SmmuFeatures): AnnotatedSmmu {
  const [first, ...others] = obstacles;
  if (first === undefined && limits !== undefined) return { accel: 'on', ...describeLimits(limits) };
  return {
    accel: 'impossible',
    ...describeObstacle(first ?? NOTHING_SAID),
    ...(others.length === 0 ? {} : { also: others.map(describeObstacle) }),
    ...(limits === undefined ? {} : { limits: describeLimits(limits) }),
  };
}

const NOTHING_SAID: Obstacle = {
  code: 'HW_INFO_UNKNOWN',
  message: 'the registers of the host SMMU could not be read',
  remedy: 'Run vsmmu probe on the node; it says why.',
};

function describeLimits({ ats, ril, ssidsize, oas, cmdqv }: SmmuLimits) {
  const spell = (value: boolean) => (value ? ('on' as const) : ('off' as const));
  return {
    ats: spell(ats),
    ril: spell(ril),
    ssidsize,
    oas,
    ...(cmdqv === undefined ? {} : { cmdqv: spell(cmdqv) }),
  };
}

function describeObstacle({ code, message, remedy }: Obstacle): AnnotatedObstacle {
  return { code, because: cut(message), remedy: cut(remedy) };
}

function cut(text: string): string {
  return text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX - 1)}…`;
}
