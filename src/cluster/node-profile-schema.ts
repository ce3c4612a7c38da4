import * as z from 'zod';

/**
 * The fields of a NodeProfile (vsmmu.io/v1alpha1). The CustomResourceDefinition in charts/vsmmu/files/crds is generated
 * from this schema, so what the API server stores and what is read here can't differ.
 */

export const DEVICES_MAX = 1024;
/** With more, the API server reckons the rule "every device names one of the SMMUs" too dear and refuses the CRD. */
export const SMMUS_MAX = 128;
const TEXT_MAX = 400;

const onOff = z.enum(['on', 'off']);
const bits = (max: number) => z.int().min(0).max(max);
const sentence = z.string().max(TEXT_MAX);

const limits = z.object({
  ats: onOff.describe('Address Translation Services, IDR0[10].'),
  ril: onOff.describe('Range invalidation, IDR3[10].'),
  ssidsize: bits(31).describe('Substream ID bits, IDR1[10:6]; 0: no PASID.'),
  oas: bits(64).describe('Output address bits, IDR5[2:0].'),
  cmdqv: onOff.optional().describe('Tegra241 CMDQV; absent where nobody could say.'),
});

const obstacle = z.object({
  code: z
    .string()
    .regex(/^[A-Z][A-Z0-9_]{1,62}$/)
    .describe('An error code of vsmmu (docs/errors.md).'),
  message: sentence.describe('Why.'),
  remedy: sentence.describe('What a person can do about it.'),
});

const smmuName = z
  .string()
  .max(140)
  .regex(/^([A-Za-z0-9][A-Za-z0-9._:@-]*)?(#[1-9][0-9]{0,4})?$/);

const smmu = z.object({
  name: smmuName.describe(
    'Name in /sys/class/iommu; "#2" behind it where the host said two things of it, "#1" alone where it gave none.',
  ),
  accel: z.enum(['on', 'impossible']).describe('Can an accelerated vSMMU use it?'),
  limits: limits.optional().describe('The most it offers; absent where its registers could not be read.'),
  obstacles: z.array(obstacle).max(16).optional().describe('Why no accelerated vSMMU can use it.'),
  evidence: z.array(sentence).max(16).optional().describe('What was read, and where.'),
});

const device = z.object({
  bdf: z
    .string()
    .max(16)
    .regex(/^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/)
    .describe('PCI address, lower case.'),
  smmu: smmuName.describe('Name of its entry in smmus.'),
  kernelAts: z
    .enum(['supported', 'not-supported', 'silent'])
    .describe('What the kernel says of its ATS; before Linux 7.1 nothing.'),
  atsCapability: z
    .enum(['yes', 'no'])
    .optional()
    .describe('In config space; absent where that was unreadable.'),
  numaNode: z
    .int()
    .min(0)
    .max(65535)
    .optional()
    .describe("The host's NUMA node; absent where it has none to tell."),
  ats: z.enum(['yes', 'no', 'unknown']).describe('Effective ATS, for scheduling.'),
  pasidBits: bits(20).optional().describe('PASID bits a guest can use; absent: unknown.'),
  because: sentence.optional().describe('Why something is unknown, or why it can not be passed through.'),
  ready: z.boolean().describe('May a VM be given it as it is now?'),
  vendor: z
    .string()
    .regex(/^[0-9a-f]{4}$/)
    .optional()
    .describe('PCI vendor ID.'),
  device: z
    .string()
    .regex(/^[0-9a-f]{4}$/)
    .optional()
    .describe('PCI device ID.'),
  driver: z.string().max(64).optional().describe('Kernel driver.'),
  iommuGroup: z.int().min(0).max(2147483647).optional().describe('IOMMU group.'),
});

const summary = z.object({
  smmus: bits(SMMUS_MAX).describe('SMMUs.'),
  accel: bits(SMMUS_MAX).describe('SMMUs that an accelerated vSMMU can use.'),
  devices: bits(DEVICES_MAX).describe('Devices bound to a VFIO driver.'),
  ats: bits(DEVICES_MAX).describe('Devices with effective ATS.'),
  pasid: bits(DEVICES_MAX).describe('Devices with PASID.'),
});

export const nodeProfileSpec = z.object({
  node: z.string().max(253).describe('Name of the node; the same as the name of the object.'),
  kernel: z.string().max(128).optional().describe('Kernel release.'),
  summary: summary.describe('Counts, for kubectl get.'),
  smmus: z.array(smmu).max(SMMUS_MAX).describe('SMMUs of the node.'),
  devices: z.array(device).max(DEVICES_MAX).describe('Devices bound to a VFIO driver, by address.'),
});

const condition = z.object({
  type: z.string().max(64),
  status: z.enum(['True', 'False', 'Unknown']),
  reason: z.string().max(128),
  message: z.string().max(1024),
  lastTransitionTime: z.string().max(40),
  observedGeneration: z.int().min(0).optional(),
});

export const nodeProfileStatus = z.object({
  renewedAt: z
    .string()
    .max(40)
    .optional()
    .describe('When the agent last found the node to be as spec says; renewed every ten minutes or so.'),
  conditions: z.array(condition).max(8).optional().describe('Complete: everything could be read.'),
});

export type NodeProfileSpec = z.output<typeof nodeProfileSpec>;
export type NodeProfileStatus = z.output<typeof nodeProfileStatus>;
export type ProfileSmmu = NodeProfileSpec['smmus'][number];
export type ProfileDevice = NodeProfileSpec['devices'][number];
