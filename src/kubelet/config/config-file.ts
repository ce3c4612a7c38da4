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

const selector = z.strictObject({
  vendor: oneOrMore(hexId).optional(),
  device: oneOrMore(hexId).optional(),
  class: oneOrMore(classPrefix).optional(),
  driver: oneOrMore(z.string().min(1)).optional(),
  bdf: oneOrMore(bdf).optional(),
  numa: oneOrMore(z.number().int().nonnegative()).optional(),
  smmu: oneOrMore(z.string().min(1)).optional(),
  physicalFunction: oneOrMore(bdf).optional(),
  ats: oneOrMore(yesNo).optional(),
  accel: oneOrMore(yesNo).optional(),
  cmdqv: oneOrMore(yesNo).optional(),
  ril: oneOrMore(yesNo).optional(),
  pasidBits: bits.optional(),
  oas: bits.optional(),
});

const configSchema = z.strictObject({
  apiVersion: z.literal(CONFIG_API_VERSION, { error: `must be ${CONFIG_API_VERSION}` }),
  kind: z.literal(CONFIG_KIND, { error: `must be ${CONFIG_KIND}` }),
  resources: z
    .array(
      z.strictObject({
        name,
        select: oneOrMore(selector).optional(),
        unknown: z.enum(['excluded', 'included'], { error: 'write excluded or included' }).optional(),
      }),
    )
    .default([]),
  /** A template, or false. */
  otherwise: z.union([name, z.literal(false)]).default(DEFAULT_TEMPLATE),
  iommufd: z.enum(IOMMUFD_POLICIES).optional(),
  cdi: z.boolean().optional(),
});

/** @throws VsmmuError CONFIG_UNREADABLE, CONFIG_MALFORMED with every fault and its line */
export async function readConfig(file: string): Promise<AgentConfig> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    const remedy = errnoOf(cause) === 'ENOENT' ? 'Name a file that exists.' : 'Make the file readable.';
    throw new VsmmuError('CONFIG_UNREADABLE', `The configuration cannot be read: ${messageOf(cause)}`, {
      place: file,
      remedy,
      cause,
    });
  }
  return parseConfig(text, file);
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
    remedy: 'See docs/device-plugin.md, "Configuration"; the former configuration stays in force.',
    cause,
  });
}
