import { parseBdf, type Bdf } from '../bdf.js';
import { ERROR_CODES, type ErrorCode } from '../error-codes.js';
import { VsmmuError } from '../errors.js';
import type { DeviceFeatures, HostFeatures, Obstacle, SmmuFeatures, SmmuLimits } from '../smmu/features.js';
import { RESOLVED_ANNOTATION } from './annotations.js';
import {
  ANNOTATION_LIMIT_BYTES,
  type AnnotatedLimits,
  type AnnotatedObstacle,
  type AnnotatedSmmu,
  checkAnnotation,
  DEVICES_MAX,
  malformed,
  readableVersion,
  type ResolvedAnnotation,
  SMMUS_MAX,
} from './resolved-annotation.js';

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
  return readAnnotation(parseJson(text));
}

function readAnnotation(json: unknown): AnnotatedNode {
  const version = versionOf(json);
  if (readableVersion(version) === undefined)
    throw new VsmmuError('ANNOTATION_VERSION', `its version is ${said(version)}; this vsmmu reads 1 and 2`, {
      place: RESOLVED_ANNOTATION,
      remedy: "Run the webhook, the agents and the hook's image at the same release of vsmmu.",
    });
  const annotation = checkAnnotation(json);
  return { node: annotation.node, features: featuresOf(annotation) };
}

/**
 * The node that the annotation speaks of; undefined where it can't be read. One of another version, which a replica of
 * another release wrote, is taken at its word: reading the rest is for the hook that it was written for.
 */
export function annotatedNode(text: string): string | undefined {
  try {
    const json = parseJson(text);
    if (readableVersion(versionOf(json)) !== undefined) return readAnnotation(json).node;
    const node = typeof json === 'object' && json !== null && 'node' in json ? json.node : undefined;
    return typeof node === 'string' ? node : undefined;
  } catch {
    return undefined;
  }
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
      model: group.model,
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

function limitsOf({ ats, ril, ssidsize, oas, cmdqv }: AnnotatedLimits): SmmuLimits {
  return {
    ats: ats === 'on',
    ril: ril === 'on',
    ssidsize,
    oas,
    cmdqv: cmdqv === undefined ? undefined : cmdqv === 'on',
  };
}

/** A code that a newer agent knows and this program doesn't still stops the VM, under the general code. */
function obstacleOf({ code, because, remedy }: AnnotatedObstacle): Obstacle {
  return { code: isErrorCode(code) ? code : 'HW_INFO_UNKNOWN', message: because, remedy };
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code);
}

function parseJson(text: string): unknown {
  if (text.length > ANNOTATION_LIMIT_BYTES) throw malformed(`longer than ${ANNOTATION_LIMIT_BYTES} bytes`);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw malformed('not JSON', error);
  }
}

function versionOf(json: unknown): unknown {
  return typeof json === 'object' && json !== null && 'version' in json ? json.version : undefined;
}

function said(version: unknown): string {
  return version === undefined ? 'missing' : JSON.stringify(version).slice(0, 20);
}
