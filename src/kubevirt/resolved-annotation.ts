import { VsmmuError } from '../errors.js';
import * as z from '../lean-schema.js';
import { RESOLVED_ANNOTATION } from './annotations.js';

/** Kubernetes refuses more than this for all annotations of an object (TotalAnnotationSizeLimitB). */
export const ANNOTATION_LIMIT_BYTES = 256 * 1024;
/** Far above any host, far below what would make parsing slow. */
export const DEVICES_MAX = 8192;
export const SMMUS_MAX = 1024;
/** Characters of a reason or remedy. */
export const TEXT_MAX = 400;

const onOff = z.enum(['on', 'off']);
const limitFields = {
  ats: onOff,
  ril: onOff,
  /** IDR1.SSIDSIZE is five bits wide. */
  ssidsize: z.int().check(z.minimum(0), z.maximum(31)),
  /** Bits; 0 where IDR5.OAS has a reserved encoding. */
  oas: z.int().check(z.minimum(0), z.maximum(64)),
  /** Absent: nobody could say. */
  cmdqv: z.optional(onOff),
};
const obstacleFields = {
  code: z.string().check(z.regex(/^[A-Z][A-Z0-9_]{1,62}$/)),
  because: z.string().check(z.maxLength(TEXT_MAX)),
  remedy: z.string().check(z.maxLength(TEXT_MAX)),
};
const limitsSchema = z.strictObject(limitFields);
const obstacleSchema = z.strictObject(obstacleFields);
const smmuSchema = z.discriminatedUnion('accel', [
  z.strictObject({ accel: z.literal('on'), ...limitFields }),
  z.strictObject({
    accel: z.literal('impossible'),
    ...obstacleFields,
    also: z.optional(z.array(obstacleSchema).check(z.maxLength(16))),
    limits: z.optional(limitsSchema),
  }),
]);
const groupSchema = z.strictObject({
  smmu: z.string(),
  ats: z.enum(['supported', 'not-supported', 'silent']),
  /** The ATS capability in config space; absent: it could not be read. */
  capability: z.optional(z.enum(['yes', 'no'])),
  numa: z.optional(z.int().check(z.minimum(0), z.maximum(0xffff))),
  /** PCI ids, in version 2 only; absent: not known. */
  model: z.optional(z.string().check(z.regex(/^[0-9a-f]{4}:[0-9a-f]{4}$/))),
});
/** "smmu3.0x0000000009050000", and "#2" behind it where a host says two things of one name or has no name for it. */
const SMMU_KEY = /^[A-Za-z0-9][A-Za-z0-9._:@-]{0,126}(#[1-9]\d{0,4})?$|^#[1-9]\d{0,4}$/;
const nodeName = z.string().check(z.regex(/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/, 'not a node name'));

/**
 * Version 2 has the devices' models. It is written only for VMIs that carry what a Baseline says of models, which older
 * webhooks never wrote: so a hook of an older release, which reads version 1 alone, never meets it.
 */
const versionSchema = z.literal([1, 2]);
export type AnnotationVersion = z.output<typeof versionSchema>;

/** Annotation `vsmmu.io/resolved` (docs/annotation.md). */
const annotationSchema = z.strictObject({
  version: versionSchema,
  node: nodeName,
  smmus: z.record(z.string().check(z.regex(SMMU_KEY, 'not the name of an SMMU')), smmuSchema),
  groups: z.array(groupSchema).check(z.maxLength(DEVICES_MAX)),
  devices: z.record(z.string(), z.int().check(z.nonnegative())),
});

export type ResolvedAnnotation = z.output<typeof annotationSchema>;
export type AnnotatedSmmu = ResolvedAnnotation['smmus'][string];
export type AnnotatedGroup = ResolvedAnnotation['groups'][number];

export type AnnotatedLimits = z.output<typeof limitsSchema>;
export type AnnotatedObstacle = z.output<typeof obstacleSchema>;

/** undefined: no version that this program reads. */
export function readableVersion(version: unknown): AnnotationVersion | undefined {
  const checked = versionSchema.safeParse(version);
  return checked.success ? checked.data : undefined;
}

/** @throws VsmmuError ANNOTATION_MALFORMED */
export function checkAnnotation(json: unknown): ResolvedAnnotation {
  const checked = annotationSchema.safeParse(json);
  if (checked.success) return checked.data;
  throw malformed(checked.error.issues.slice(0, 5).map(issueText).join('; '));
}

function issueText(issue: { readonly path: readonly PropertyKey[]; readonly message: string }): string {
  return `${issue.path.map(String).join('.').slice(0, 120)}: ${issue.message.slice(0, 200)}`;
}

export function malformed(message: string, cause?: unknown): VsmmuError {
  return new VsmmuError('ANNOTATION_MALFORMED', message, {
    place: RESOLVED_ANNOTATION,
    remedy: 'Remove the annotation: the webhook writes it again; docs/annotation.md describes it.',
    cause,
  });
}
