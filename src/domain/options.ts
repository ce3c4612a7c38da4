import type { YesNoUnknown } from '../smmu/answer.js';
import type { ResolvedProperty } from './resolved-properties.js';
import { NO_WISHES, type Wishes } from './wishes.js';

/** How a domain is rewritten; docs/rewrite.md tells when to choose what. */
export interface RewriteOptions {
  /**
   * `off` touches nothing; `rewrite` resolves the accelerated vSMMUs that are there; `complete` also gives one to
   * every passed-through device that has none. Default rewrite.
   */
  readonly topology?: TopologyPolicy;
  /** Splits a vSMMU whose devices are of several host SMMUs, instead of refusing it. Default false. */
  readonly regroup?: boolean;
  /** With `complete`: guest NUMA nodes that each device becomes Generic Initiator of. Default 0. */
  readonly initiators?: number;
  /**
   * Values that stand in the domain: `replace` takes them as placeholders (KubeVirt writes constants),
   * `keep` as wishes, kept and checked. Default replace.
   */
  readonly existing?: Existing;
  /**
   * Did a pipeline drop `accel` before the document came here (KubeVirt's Plugins)? Then a vSMMU that says nothing of
   * it, with passed-through devices behind it, is taken for accelerated. Default false.
   */
  readonly accelLost?: boolean;
  /** Values that count before all others. */
  readonly set?: Wishes;
  /** What every host of a fleet can honour; takes the place of `auto`. */
  readonly baseline?: FleetValues | undefined;
  /** What to do where the host SMMU's registers are not known. Default fail. */
  readonly unresolvable?: Unresolvable;
  /** What a device counts as whose ATS the kernel cannot tell; `unknown` leaves it to QEMU. Default unknown. */
  readonly unknownAts?: YesNoUnknown;
  /** Where a vSMMU's properties are written. Default native. */
  readonly target?: Target;
  /** Spelling of the attribute: libvirt's own, a vendor's, or both. Default ssidsize. */
  readonly spelling?: Spelling;
  /** Does the QEMU that will run know vfio-pci `ats` (11.1)? Default true. */
  readonly vfioAts?: boolean;
  /** Does it know `cmdqv` (11.1)? libvirt refuses the attribute otherwise. Default true. */
  readonly cmdqv?: boolean;
  /** Names the document in messages. Default "domain XML". */
  readonly source?: string;
}

export type TopologyPolicy = 'off' | 'rewrite' | 'complete';
export type Existing = 'replace' | 'keep';
/** `omit` leaves out what would have to be guessed; `conservative` writes what every SMMU can do. */
export type Unresolvable = 'fail' | 'omit' | 'conservative';
/** Attributes of `<driver>` (libvirt >= 12.7), `<qemu:override>` (older, or KubeVirt's plugin pipeline), or both. */
export type Target = 'native' | 'override' | 'both';
export type Spelling = 'ssidsize' | 'ssidSize' | 'both';

/** What every host of a fleet can honour. */
export interface FleetValues {
  /** Values by property, as they are written; a hook has them among its `set`. */
  readonly vsmmu: Readonly<Partial<Record<ResolvedProperty, string>>>;
  /** Do devices have ATS that works, on every host that has them? By PCI ids, "10de:2941". */
  readonly deviceAts: ReadonlyMap<string, YesNoUnknown>;
}

export type ResolvedOptions = Required<RewriteOptions>;

export function withDefaults(options: RewriteOptions): ResolvedOptions {
  return {
    topology: 'rewrite',
    regroup: false,
    initiators: 0,
    accelLost: false,
    existing: 'replace',
    set: NO_WISHES,
    baseline: undefined,
    unresolvable: 'fail',
    unknownAts: 'unknown',
    target: 'native',
    spelling: 'ssidsize',
    vfioAts: true,
    cmdqv: true,
    source: 'domain XML',
    // A command line hands over undefined for what was not said.
    ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
  };
}
