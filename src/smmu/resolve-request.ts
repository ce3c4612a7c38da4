import * as z from 'zod';

import { parseBdf } from '../bdf.js';
import { smmuFeatures } from './compatibility.js';
import type { DeviceFeatures, KernelAts } from './features.js';
import type { AskedVsmmu } from './properties.js';
import type { BehindDevice, ResolutionError } from './resolve.js';

/** One question of `vsmmu resolve --batch`; docs/resolve.md describes the JSON. */
export interface ResolveRequest {
  readonly asked: AskedVsmmu;
  readonly devices: readonly BehindDevice[];
}

export type ParsedRequest =
  | { readonly ok: true; readonly request: ResolveRequest }
  | { readonly ok: false; readonly errors: readonly ResolutionError[] };

/** IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED, out_capabilities bit 3 (include/uapi/linux/iommufd.h, Linux 7.1). */
const CAP_ATS_NOT_SUPPORTED = 1n << 3n;

const onOffAuto = z.enum(['on', 'off', 'auto']);
const accel = z.union([z.boolean(), z.enum(['on', 'off']).transform((value) => value === 'on')]);

/** QEMU's JSON takes these as strings, people write numbers; both are read. */
const bitsOrAuto = z.union([
  z.literal('auto'),
  z.int().nonnegative(),
  z
    .string()
    .regex(/^\d{1,3}$/)
    .transform(Number),
]);

const bdf = z.string().transform((text, context) => {
  const parsed = parseBdf(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: 'custom', message: 'not a PCI address such as 0009:01:00.0' });
  return z.NEVER;
});

const idrWord = z.int().min(0).max(0xffff_ffff);
const idrWords = z.tuple([idrWord, idrWord, idrWord, idrWord, idrWord, idrWord]);

const capabilities = z.union([
  z
    .string()
    .regex(/^(0x[0-9a-fA-F]{1,16}|\d{1,20})$/, 'not a 64-bit number such as "0x1"')
    .transform(BigInt),
  z.int().nonnegative().transform(BigInt),
]);

// A misspelt property would silently become "auto", so unknown ones are refused; a device may carry more than is needed.
const requestSchema = z.object({
  vsmmu: z.strictObject({
    accel,
    ats: onOffAuto.default('auto'),
    ril: onOffAuto.default('auto'),
    ssidsize: bitsOrAuto.default('auto'),
    oas: bitsOrAuto.default('auto'),
    cmdqv: onOffAuto.default('auto'),
  }),
  devices: z.array(
    z.object({
      bdf,
      smmu: z.string().optional(),
      idr: idrWords.optional(),
      dataType: z.int().nonnegative(),
      capabilities: capabilities.optional(),
      kernelReportsAts: z.boolean().default(false),
      maxPasidLog2: z.int().min(0).max(255).optional(),
      atsCapability: z.boolean().optional(),
      cmdqv: z.boolean().optional(),
      ats: onOffAuto.default('auto'),
      coldPlugged: z.boolean().default(true),
    }),
  ),
});

type DeviceJson = z.output<typeof requestSchema>['devices'][number];

/** Parses one line; all that is wrong with it is told, each with its path in the JSON. */
export function parseResolveRequest(line: string): ParsedRequest {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch (error) {
    return malformed([error instanceof SyntaxError ? `not JSON: ${error.message}` : `not JSON`]);
  }
  const parsed = requestSchema.safeParse(json);
  if (!parsed.success)
    return malformed(parsed.error.issues.map((issue) => `${pathOf(issue.path)}${issue.message}`));

  const { vsmmu, devices } = parsed.data;
  const inconsistent = inconsistencies(devices);
  if (inconsistent.length > 0) return malformed(inconsistent);
  return { ok: true, request: { asked: vsmmu, devices: devices.map(behindDevice) } };
}

function inconsistencies(devices: readonly DeviceJson[]): string[] {
  return devices.flatMap((device, index) => {
    const place = `devices[${index}]`;
    const found: string[] = [];
    if (device.dataType === 2 && device.idr === undefined)
      found.push(`${place}.idr: dataType 2 comes with six IDR words`);
    if (devices.findIndex((other) => other.bdf === device.bdf) !== index)
      found.push(`${place}.bdf: ${device.bdf} is listed twice`);
    return found;
  });
}

function behindDevice(json: DeviceJson): BehindDevice {
  const features: DeviceFeatures = {
    bdf: json.bdf,
    smmu: smmuFeatures(json.smmu, json.dataType, json.idr, json.cmdqv),
    kernelAts: kernelAts(json.capabilities, json.kernelReportsAts),
    atsCapability: json.atsCapability,
    numaNode: undefined,
  };
  return { features, ats: json.ats, coldPlugged: json.coldPlugged };
}

/** A set bit is its own proof that the kernel knows it; a clear one means something only where the kernel does. */
export function kernelAts(capabilityBits: bigint | undefined, kernelReportsAts: boolean): KernelAts {
  if (capabilityBits === undefined) return 'silent';
  if ((capabilityBits & CAP_ATS_NOT_SUPPORTED) !== 0n) return 'not-supported';
  return kernelReportsAts ? 'supported' : 'silent';
}

function pathOf(path: readonly PropertyKey[]): string {
  const text = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  return text === '' ? '' : `${text.replace(/^\./, '')}: `;
}

function malformed(messages: readonly string[]): ParsedRequest {
  return {
    ok: false,
    errors: messages.map((message) => ({
      code: 'MALFORMED_REQUEST',
      message,
      remedy: 'Write the line as docs/resolve.md describes it.',
    })),
  };
}
