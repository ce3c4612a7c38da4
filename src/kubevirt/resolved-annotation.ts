import { z } from 'zod';

import { parseBdf, type Bdf } from '../bdf.js';
import { ERROR_CODES, type ErrorCode } from '../error-codes.js';
import { VsmmuError } from '../errors.js';
import type {
  DeviceFeatures,
  HostFeatures,
  KernelAts,
  Obstacle,
  SmmuFeatures,
  SmmuLimits,
} from '../smmu/features.js';
import { RESOLVED_ANNOTATION } from './annotations.js';

/** Kubernetes refuses more than this for all annotations of an object (TotalAnnotationSizeLimitB). */
export const ANNOTATION_LIMIT_BYTES = 256 * 1024;
/** Far above any host, far below what would make parsing slow. */
const DEVICES_MAX = 8192;
const SMMUS_MAX = 1024;
const TEXT_MAX = 400;

const onOff = z.enum(['on', 'off']);
const limitFields = {
  ats: onOff,
  ril: onOff,
  /** IDR1.SSIDSIZE is five bits wide. */
  ssidsize: z.int().min(0).max(31),
  /** Bits; 0 where IDR5.OAS has a reserved encoding. */
  oas: z.int().min(0).max(64),
  /** Absent: nobody could say. */
  cmdqv: onOff.optional(),
};
const obstacleFields = {
  code: z.string().regex(/^[A-Z][A-Z0-9_]{1,62}$/),
  because: z.string().max(TEXT_MAX),
  remedy: z.string().max(TEXT_MAX),
};
const smmuSchema = z.discriminatedUnion('accel', [
  z.strictObject({ accel: z.literal('on'), ...limitFields }),
  z.strictObject({
    accel: z.literal('impossible'),
    ...obstacleFields,
    also: z.array(z.strictObject(obstacleFields)).max(16).optional(),
    limits: z.strictObject(limitFields).optional(),
  }),
]);
const groupSchema = z.strictObject({
  smmu: z.string(),
  ats: z.enum(['supported', 'not-supported', 'silent']),
  /** The ATS capability in config space; absent: it could not be read. */
  capability: z.enum(['yes', 'no']).optional(),
  numa: z.int().min(0).max(0xffff).optional(),
});
/** "smmu3.0x0000000009050000", and "#2" behind it where a host says two things of one name or has no name for it. */
const SMMU_KEY = /^[A-Za-z0-9][A-Za-z0-9._:@-]{0,126}(#[1-9]\d{0,4})?$|^#[1-9]\d{0,4}$/;
const nodeName = z.string().regex(/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/, 'not a node name');

const annotationSchema = z.strictObject({
  version: z.literal(1),
  node: nodeName,
  smmus: z.record(z.string().regex(SMMU_KEY, 'not the name of an SMMU'), smmuSchema),
  groups: z.array(groupSchema).max(DEVICES_MAX),
  devices: z.record(z.string(), z.int().nonnegative()),
});

export type ResolvedAnnotation = z.output<typeof annotationSchema>;
type AnnotatedSmmu = ResolvedAnnotation['smmus'][string];
type AnnotatedGroup = ResolvedAnnotation['groups'][number];

/** What the annotation says, and of which node. */
export interface AnnotatedNode {
  readonly node: string;
  readonly features: HostFeatures;
}

/**
 * Reads the text of annotation `vsmmu.io/resolved`. Nothing is taken on trust: numbers are in range, addresses
 * are addresses, and the texts of obstacles (they reach messages only, never XML) are bounded.
 *
 * @throws VsmmuError ANNOTATION_VERSION or ANNOTATION_MALFORMED
 */
export function parseAnnotation(text: string): AnnotatedNode {
  const json = parseJson(text);
  const version = versionOf(json);
  if (version !== 1)
    throw new VsmmuError('ANNOTATION_VERSION', `its version is ${version}; this vsmmu reads version 1`, {
      place: RESOLVED_ANNOTATION,
      remedy: "Run the webhook, the agents and the hook's image at the same release of vsmmu.",
    });
  const parsed = annotationSchema.safeParse(json);
  if (!parsed.success) throw malformed(parsed.error.issues.slice(0, 5).map(issueText).join('; '));
  return { node: parsed.data.node, features: featuresOf(parsed.data) };
}

export function featuresFromAnnotation(text: string): HostFeatures {
  return parseAnnotation(text).features;
}

/** @throws VsmmuError ANNOTATION_MALFORMED where its parts don't fit together */
export function featuresOf(annotation: ResolvedAnnotation): HostFeatures {
  const smmuEntries = Object.entries(annotation.smmus);
  const deviceEntries = Object.entries(annotation.devices);
  if (smmuEntries.length > SMMUS_MAX) throw malformed(`smmus: more than ${SMMUS_MAX}`);
  if (deviceEntries.length > DEVICES_MAX) throw malformed(`devices: more than ${DEVICES_MAX}`);

  const smmus = new Map(smmuEntries.map(([key, smmu]) => [key, smmuFeaturesOf(key, smmu)]));
  const devices = new Map<Bdf, DeviceFeatures>();
  for (const [address, index] of deviceEntries) {
    const bdf = parseBdf(address);
    if (bdf === undefined || bdf !== address)
      throw malformed(`devices: ${JSON.stringify(address.slice(0, 40))} is not a PCI address in lower case`);
    const group = annotation.groups[index];
    if (group === undefined) throw malformed(`devices.${bdf}: there is no group ${index}`);
    const smmu = smmus.get(group.smmu);
    if (smmu === undefined)
      throw malformed(`groups[${index}].smmu: smmus has no ${JSON.stringify(group.smmu.slice(0, 64))}`);
    devices.set(bdf, {
      bdf,
      smmu,
      kernelAts: group.ats,
      atsCapability: group.capability === undefined ? undefined : group.capability === 'yes',
      numaNode: group.numa,
    });
  }
  return { origin: `node ${annotation.node}`, devices };
}

function smmuFeaturesOf(key: string, smmu: AnnotatedSmmu): SmmuFeatures {
  const name = key.replace(/#\d+$/, '');
  const limits = smmu.accel === 'on' ? limitsOf(smmu) : smmu.limits && limitsOf(smmu.limits);
  const obstacles = smmu.accel === 'on' ? [] : [smmu, ...(smmu.also ?? [])].map(obstacleOf);
  return { name: name === '' ? undefined : name, limits, obstacles };
}

interface AnnotatedLimits {
  readonly ats: 'on' | 'off';
  readonly ril: 'on' | 'off';
  readonly ssidsize: number;
  readonly oas: number;
  readonly cmdqv?: 'on' | 'off' | undefined;
}

function limitsOf({ ats, ril, ssidsize, oas, cmdqv }: AnnotatedLimits): SmmuLimits {
  return {
    ats: ats === 'on',
    ril: ril === 'on',
    ssidsize,
    oas,
    cmdqv: cmdqv === undefined ? undefined : cmdqv === 'on',
  };
}

interface AnnotatedObstacle {
  readonly code: string;
  readonly because: string;
  readonly remedy: string;
}

/** A code that a newer agent knows and this program doesn't still stops the VM, under the general code. */
function obstacleOf({ code, because, remedy }: AnnotatedObstacle): Obstacle {
  return { code: isErrorCode(code) ? code : 'HW_INFO_UNKNOWN', message: because, remedy };
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code);
}

/**
 * The annotation for a host. `featuresFromAnnotation(renderAnnotation(f, n))` gives the same devices as `f`;
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
  const checked = annotationSchema.safeParse(annotation);
  if (!checked.success) throw malformed(checked.error.issues.slice(0, 5).map(issueText).join('; '));
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

function parseJson(text: string): unknown {
  if (text.length > ANNOTATION_LIMIT_BYTES) throw malformed(`longer than ${ANNOTATION_LIMIT_BYTES} bytes`);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw malformed('not JSON', error);
  }
}

function versionOf(json: unknown): string | 1 {
  if (typeof json !== 'object' || json === null || !('version' in json)) return 'missing';
  return json.version === 1 ? 1 : JSON.stringify(json.version).slice(0, 20);
}

function issueText(issue: { readonly path: readonly PropertyKey[]; readonly message: string }): string {
  return `${issue.path.map(String).join('.').slice(0, 120)}: ${issue.message.slice(0, 200)}`;
}

function malformed(message: string, cause?: unknown): VsmmuError {
  return new VsmmuError('ANNOTATION_MALFORMED', message, {
    place: RESOLVED_ANNOTATION,
    remedy: 'Remove the annotation: the webhook writes it again; docs/annotation.md describes it.',
    cause,
  });
}
