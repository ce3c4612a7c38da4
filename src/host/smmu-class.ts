import { parseBdf, type Bdf } from '../bdf.js';
import type { HostSource } from './host-source.js';

export const IOMMU_CLASS = '/sys/class/iommu';

/** The kernel's own lists of what stands behind each SMMU, read once and only where a device does not tell itself. */
export class SmmuClass {
  /** In the order of sysfs: "smmu3.0x0000000009050000". */
  readonly names: readonly string[];
  readonly #source: HostSource;
  #members: ReadonlyMap<Bdf, string> | undefined;

  constructor(source: HostSource) {
    const listed = source.list(IOMMU_CLASS);
    this.names = listed.ok ? listed.value.filter((name) => name.startsWith('smmu3.')) : [];
    this.#source = source;
  }

  of(bdf: Bdf): string | undefined {
    this.#members ??= this.#readMembers();
    return this.#members.get(bdf);
  }

  #readMembers(): Map<Bdf, string> {
    const members = new Map<Bdf, string>();
    for (const smmu of this.names) {
      const devices = this.#source.list(`${IOMMU_CLASS}/${smmu}/devices`);
      for (const name of devices.ok ? devices.value : []) {
        const bdf = parseBdf(name);
        if (bdf !== undefined) members.set(bdf, smmu);
      }
    }
    return members;
  }
}
