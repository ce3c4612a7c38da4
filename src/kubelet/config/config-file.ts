import { readFile } from 'node:fs/promises';
import { LineCounter, parseDocument, type Document } from 'yaml';
import * as z from 'zod';
import { parseBdf } from '../../bdf.js';
import { errnoOf, messageOf, VsmmuError } from '../../errors.js';
import { IOMMUFD_POLICIES } from '../allocation.js';
import { environmentVariable, parseResourceName, resourceNameFault } from '../resource-name.js';
import { DEFAULT_TEMPLATE, type AgentConfig } from './agent-config.js';
import { TEMPLATE_FIELDS, unknownFields } from './name-template.js';
import type { BitRange } from './selector.js';

export const CONFIG_API_VERSION = 'vsmmu.io/v1alpha1';
export const CONFIG_KIND = 'AgentConfig';

/** A preprocessing step and not a union: a union tells nothing but "invalid" of either side. */
const oneOrMore = <T extends z.ZodType>(item: T) =>
  z.preprocess(
    (value): unknown[] => (Array.isArray(value) ? (value as unknown[]) : [value]),
    z.array(item).min(1),
  );

const hexId = z
  .string({ error: 'write it as four hex digits in quotes: "10de"' })
  .regex(/^(0x)?[0-9a-f]{4}$/i, 'write it as four hex digits in quotes: "10de"')
  .transform((text) => parseInt(text, 16));
const classPrefix = z
  .string({ error: 'write it in quotes: "0302"' })
  .regex(/^([0-9a-f]{2}){1,3}$/i, 'write two, four or six hex digits in quotes: "0302"')
  .transform((text) => text.toLowerCase());
const bdf = z.string().transform((text, issue) => {
  const address = parseBdf(text);
  if (address !== undefined) return address;
  issue.addIssue({ code: 'custom', message: 'write an address like "0009:01:00.0"' });
  return z.NEVER;
});
const feature = z.enum(['yes', 'no', 'unknown'], { error: 'write yes, no or unknown' });
// YAML 1.2 reads yes as text, and people write true.
const yesNo = z.preprocess((value) => (value === true ? 'yes' : value === false ? 'no' : value), feature);
const BOUND = /^\s*(>=|<=|=|>|<)?\s*(\d{1,2})\s*$/;
const bits = z
  .preprocess((value) => (typeof value === 'number' ? String(value) : value), z.string())
  .transform((value, issue): BitRange => {
    const parsed = BOUND.exec(value);
    if (parsed !== null) return rangeOf(parsed[1] ?? '=', Number(parsed[2]));
    issue.addIssue({ code: 'custom', message: 'write a number, or a bound like ">= 16"' });
    return z.NEVER;
  });

function rangeOf(operator: string, bound: number): BitRange {
  const min = { '>=': bound, '>': bound + 1, '=': bound }[operator] ?? 0;
  const max = { '<=': bound, '<': bound - 1, '=': bound }[operator] ?? Infinity;
  return { min, max };
}

const name = z.string().superRefine((template, issue) => {
  const unknown = unknownFields(template);
  if (unknown.length > 0) {
    const known = Object.keys(TEMPLATE_FIELDS).map((field) => `{${field}}`);
    issue.addIssue({
      code: 'custom',
      message: `no field {${unknown.join('}, {')}}; there are ${known.join(' ')}`,
    });
    return;
  }
  const fault = resourceNameFault(template.replace(/\{[^{}]*\}/g, '0'));
  if (fault !== undefined)
    issue.addIssue({ code: 'custom', message: `the kubelet takes no such name: ${fault}` });
});

const YES_NO = '`yes`, `no`, `unknown`';
const BOUNDS = 'a number or a bound: `16`, `">= 16"`';

/** Descriptions are those of docs/configuration.md, which is made from them. */
export const selectorSchema = z.strictObject({
  vendor: oneOrMore(hexId).optional().describe('PCI vendor, four hex digits in quotes'),
  device: oneOrMore(hexId).optional().describe('PCI device, four hex digits in quotes'),
  class: oneOrMore(classPrefix).optional().describe("the class code's first two, four or six hex digits"),
  driver: oneOrMore(z.string().min(1)).optional().describe('name of its driver'),
  bdf: oneOrMore(bdf).optional().describe('PCI address: `"0009:01:00.0"`'),
  numa: oneOrMore(z.number().int().nonnegative()).optional().describe('number of its NUMA node'),
  smmu: oneOrMore(z.string().min(1)).optional().describe('name of its SMMU in sysfs'),
  physicalFunction: oneOrMore(bdf).optional().describe('PCI address; selects the virtual functions of it'),
  ats: oneOrMore(yesNo).optional().describe(`effective ATS: ${YES_NO}`),
  accel: oneOrMore(yesNo).optional().describe(`can its SMMU carry an accelerated vSMMU? ${YES_NO}`),
  cmdqv: oneOrMore(yesNo).optional().describe(`has its SMMU a CMDQV? ${YES_NO}`),
  ril: oneOrMore(yesNo).optional().describe(`has its SMMU range invalidation? ${YES_NO}`),
  pasidBits: bits.optional().describe(`bits of PASID that a guest can use, ${BOUNDS}`),
  oas: bits.optional().describe(`output address bits of its SMMU, ${BOUNDS}`),
});

export const ruleSchema = z.strictObject({
  name: name.describe('the resource, or a template of it'),
  select: oneOrMore(selectorSchema)
    .optional()
    .describe('one selector or a list, of which any will do; without it every device'),
  unknown: z
    .enum(['excluded', 'included'], { error: 'write excluded or included' })
    .optional()
    .describe('does a bound hold on a number that is unknown? `excluded` (default) or `included`'),
});

export const configSchema = z.strictObject({
  apiVersion: z
    .literal(CONFIG_API_VERSION, { error: `must be ${CONFIG_API_VERSION}` })
    .describe(`\`${CONFIG_API_VERSION}\``),
  kind: z.literal(CONFIG_KIND, { error: `must be ${CONFIG_KIND}` }).describe(`\`${CONFIG_KIND}\``),
  resources: z.array(ruleSchema).default([]).describe('rules; the first that matches names a device'),
  otherwise: z
    .union([name, z.literal(false)], { error: 'write a name that the kubelet takes, or false' })
    .default(DEFAULT_TEMPLATE)
    .describe(
      `name of devices that no rule matches, \`${DEFAULT_TEMPLATE}\` by default; \`false\`: not advertised`,
    ),
  iommufd: z
    .enum(IOMMUFD_POLICIES)
    .optional()
    .describe(
      `${IOMMUFD_POLICIES.map((policy) => `\`${policy}\``).join(' or ')}; without it as \`--iommufd\` says`,
    ),
  cdi: z
    .boolean({ error: 'write true or false' })
    .optional()
    .describe('hand nodes out by CDI instead of by path; `false` by default'),
});

/** @throws VsmmuError CONFIG_UNREADABLE */
export async function readConfigText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    const absent = errnoOf(cause) === 'ENOENT' || errnoOf(cause) === 'EISDIR';
    const remedy = absent ? 'Name a file that exists.' : 'Make the file readable.';
    throw new VsmmuError('CONFIG_UNREADABLE', `The configuration cannot be read: ${messageOf(cause)}`, {
      place: file,
      remedy,
      cause,
    });
  }
}

/** @throws VsmmuError CONFIG_MALFORMED with every fault and its line */
export function parseConfig(text: string, file: string): AgentConfig {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const syntax = document.errors[0];
  if (syntax !== undefined) throw malformed(file, [at(lines, syntax.pos[0], syntax.message)]);
  const parsed = configSchema.safeParse(contentOf(document, file));
  if (!parsed.success) {
    throw malformed(
      file,
      parsed.error.issues.map(({ path, message }) =>
        at(lines, offsetOf(document, path), `${path.join('.') || 'the file'}: ${message}`),
      ),
    );
  }
  const { resources, otherwise, iommufd, cdi } = parsed.data;
  const config: AgentConfig = {
    resources: resources.map((rule) => ({
      name: rule.name,
      select: rule.select ?? [],
      unknownMatches: rule.unknown === 'included',
    })),
    otherwise: otherwise === false ? undefined : otherwise,
    iommufd,
    cdi,
  };
  refuseSharedVariables(config, file);
  return config;
}

/** An alias that names nothing, or aliases that blow the file up, show only here (yaml throws a ReferenceError). */
function contentOf(document: Document, file: string): unknown {
  try {
    return document.toJS();
  } catch (cause) {
    throw malformed(file, [messageOf(cause)], cause);
  }
}

/** Two fixed names may already collide; those of templates show only with the devices. */
function refuseSharedVariables(config: AgentConfig, file: string): void {
  const seen = new Map<string, string>();
  for (const { name: fixed } of config.resources) {
    if (fixed.includes('{')) continue;
    const variable = environmentVariable(parseResourceName(fixed));
    const other = seen.get(variable);
    if (other !== undefined && other !== fixed) {
      throw malformed(file, [
        `resources "${other}" and "${fixed}" are both handed to virt-launcher as ${variable}`,
      ]);
    }
    seen.set(variable, fixed);
  }
}

function at(lines: LineCounter, offset: number | undefined, message: string): string {
  if (offset === undefined) return message;
  const { line, col } = lines.linePos(offset);
  return `${line}:${col}: ${message}`;
}

/** Where the field stands, or the closest one around it that does. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number | undefined {
  for (let length = path.length; length >= 0; length--) {
    const node = document.getIn(path.slice(0, length), true);
    const range = typeof node === 'object' && node !== null && 'range' in node ? node.range : undefined;
    if (Array.isArray(range) && typeof range[0] === 'number') return range[0];
  }
  return undefined;
}

function malformed(file: string, faults: readonly string[], cause?: unknown): VsmmuError {
  return new VsmmuError('CONFIG_MALFORMED', `The configuration is not valid: ${faults.join('; ')}`, {
    place: file,
    remedy: 'See docs/device-plugin.md, "Configuration".',
    cause,
  });
}
