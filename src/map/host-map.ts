import type { YesNoUnknown } from '../smmu/answer.js';

/** One thing that a host can or can't do, as colour and as words: colour alone would exclude some readers. */
export interface MapFact {
  /** "ATS" */
  readonly label: string;
  readonly state: YesNoUnknown;
  /** "yes", "20", "unknown" */
  readonly text: string;
  /** What it was read from; with an unknown, why nothing was. */
  readonly because: string;
}

export interface MapDevice {
  readonly bdf: string;
  /** "3D controller" */
  readonly kind: string;
  /** "10de:2941 · nvgrace-gpu-vfio-pci · NUMA 0" */
  readonly detail: string;
  /** Can it ever be passed through? A bridge can't. */
  readonly bridge: boolean;
  readonly ready: boolean;
  readonly facts: readonly MapFact[];
  /** Whole sentences: why it is not ready, why something is unknown. */
  readonly notes: readonly string[];
}

export interface MapGroup {
  /** "IOMMU group 21" */
  readonly label: string;
  readonly devices: readonly MapDevice[];
}

export interface MapRoot {
  /** "Root complex pci0009:00" */
  readonly label: string;
  readonly groups: readonly MapGroup[];
}

export interface MapSmmu {
  /** The SMMU's name, or "No SMMU in front". */
  readonly label: string;
  readonly facts: readonly MapFact[];
  readonly notes: readonly string[];
  readonly roots: readonly MapRoot[];
}

/** One host's topology, ready to be drawn or told: who stands behind what, and what each can do. */
export interface HostMap {
  readonly title: string;
  readonly subtitle: string;
  readonly smmus: readonly MapSmmu[];
  readonly findings: readonly string[];
}
