import type { Bdf } from '../bdf.js';
import { isAccelerated } from './asked.js';
import { readDomain } from './domain-model.js';
import { scanXml } from './scan.js';
import { readTopology } from './topology.js';

/**
 * The host devices that stand behind accelerated vSMMUs: those whose host a rewrite has to know.
 * @throws VsmmuError XML_*, NOT_A_DOMAIN
 */
export function hostDevicesOf(text: string, source = 'domain XML'): readonly Bdf[] {
  const model = readDomain(scanXml(text, source), text, source);
  const { behind } = readTopology(model);
  return model.smmus
    .filter((smmu) => isAccelerated(model, smmu) !== false)
    .flatMap((smmu) => behind.get(smmu) ?? [])
    .flatMap(({ bdf }) => bdf ?? []);
}
