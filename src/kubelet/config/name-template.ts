import type { DeviceReport, HostReport } from '../../host/report.js';
import { valueOf } from '../../smmu/answer.js';
import { smmuOf } from './selector.js';

/** Why a template gives no name for a device. */
export type Rendered = { readonly name: string } | { readonly reason: string };

type Field = (device: DeviceReport, host: HostReport) => string | undefined;

const hex = (id: number | undefined) => id?.toString(16).padStart(4, '0');
const suffix = (name: string, holds: boolean | undefined) => (holds === true ? `-${name}` : '');

/**
 * What may stand in braces. The ones that begin with "-" are suffixes: "-ats" where the feature is known to be
 * there, nothing where it is not or can't be told, so that no name promises what may be missing.
 */
export const TEMPLATE_FIELDS: Readonly<Record<string, Field>> = {
  vendor: ({ vendor }) => hex(vendor),
  device: ({ device }) => hex(device),
  class: ({ classCode }) => classCode?.toString(16).padStart(6, '0').slice(0, 4),
  driver: ({ driver }) => driver,
  numa: ({ numaNode }) => valueOf(numaNode)?.toString(),
  '-ats': ({ effectiveAts }) => suffix('ats', valueOf(effectiveAts)),
  '-pasid': ({ effectivePasidBits }) => {
    const bits = valueOf(effectivePasidBits) ?? 0;
    return suffix(`pasid${bits}`, bits > 0);
  },
  '-accel': (device, host) => suffix('accel', featureOf(smmuOf(device, host)?.accel)),
  '-cmdqv': (device, host) => suffix('cmdqv', featureOf(smmuOf(device, host)?.cmdqv)),
};

function featureOf(answer: Parameters<typeof valueOf<boolean>>[0] | undefined): boolean | undefined {
  return answer === undefined ? undefined : valueOf(answer);
}

const BRACES = /\{([^{}]*)\}/g;

/** Fields of a template that do not exist; empty where all do. */
export function unknownFields(template: string): string[] {
  return [...template.matchAll(BRACES)]
    .map(([, field = '']) => field)
    .filter((field) => !Object.hasOwn(TEMPLATE_FIELDS, field));
}

export function renderName(template: string, device: DeviceReport, host: HostReport): Rendered {
  let reason: string | undefined;
  const name = template.replace(BRACES, (_, field: string) => {
    const value = TEMPLATE_FIELDS[field]?.(device, host);
    if (value === undefined) reason = `its resource is named "${template}" and its ${field} is unknown`;
    return value ?? '';
  });
  return reason === undefined ? { name } : { reason };
}
