import type { Bdf } from '../bdf.js';
import { isAccelerated } from './asked.js';
import { parseDomain } from './domain-model.js';
import { readTopology } from './topology.js';

/**
 * The host devices whose host a rewrite has to know: those behind accelerated vSMMUs, or all passed-through ones
 * where the topology is to be completed.
 * @throws VsmmuError XML_*, NOT_A_DOMAIN
 */
export function hostDevicesOf(
  text: string,
  { source = 'domain XML', all = false }: { readonly source?: string; readonly all?: boolean } = {},
): readonly Bdf[] {
  const model = parseDomain(text, source);
  if (all) return model.passthrough.flatMap(({ bdf }) => bdf ?? []);
  const { behind } = readTopology(model);
  return model.smmus
    .filter((smmu) => isAccelerated(model, smmu) !== false)
    .flatMap((smmu) => behind.get(smmu) ?? [])
    .flatMap(({ bdf }) => bdf ?? []);
}
