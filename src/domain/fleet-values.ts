import * as z from 'zod';

import { messageOf, VsmmuError } from '../errors.js';
import type { FleetValues } from './options.js';

const limited = <T extends z.ZodType>(value: T) => z.looseObject({ value });
const onOff = z.enum(['on', 'off']);

/** The parts of a baseline that a domain is written by; docs/resolve.md describes all of it. */
const baselineSchema = z.looseObject({
  vsmmu: z
    .looseObject({
      ats: limited(onOff),
      ril: limited(onOff),
      ssidsize: limited(z.int().min(0).max(20)),
      oas: limited(z.union([z.literal(44), z.literal(48)])),
      cmdqv: limited(onOff),
    })
    .nullable(),
  devices: z
    .record(z.string(), z.looseObject({ ats: limited(z.enum(['yes', 'no', 'unknown'])) }))
    .default({}),
});

/**
 * The values in what "vsmmu baseline -o json" printed.
 * @throws VsmmuError BASELINE_MALFORMED
 */
export function parseFleetValues(text: string, source: string): FleetValues {
  const parsed = baselineSchema.safeParse(parseJson(text, source));
  if (!parsed.success) throw malformed(source, z.prettifyError(parsed.error).replaceAll('\n', ' '));
  const { vsmmu, devices } = parsed.data;
  if (vsmmu === null) throw malformed(source, 'no host of the fleet can run an accelerated vSMMU');
  return {
    vsmmu: {
      cmdqv: vsmmu.cmdqv.value,
      ats: vsmmu.ats.value,
      ril: vsmmu.ril.value,
      ssidsize: String(vsmmu.ssidsize.value),
      oas: String(vsmmu.oas.value),
    },
    deviceAts: new Map(Object.entries(devices).map(([model, { ats }]) => [model, ats.value])),
  };
}

function parseJson(text: string, source: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw malformed(source, `not JSON (${messageOf(cause)})`, cause);
  }
}

function malformed(source: string, message: string, cause?: unknown): VsmmuError {
  return new VsmmuError('BASELINE_MALFORMED', message, {
    place: source,
    remedy: 'Give the output of "vsmmu baseline --host DIR ... -o json".',
    cause,
  });
}
