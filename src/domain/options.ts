/** How a domain is rewritten; docs/rewrite.md tells when to choose what. */
export interface RewriteOptions {
  /**
   * Values that stand in the domain: `replace` takes them as placeholders (KubeVirt writes constants),
   * `keep` as wishes, kept and checked. Default replace.
   */
  readonly existing?: Existing;
  /** Where a vSMMU's properties are written. Default native. */
  readonly target?: Target;
  /** Spelling of the attribute: libvirt's own, a vendor's, or both. Default ssidsize. */
  readonly spelling?: Spelling;
  /** Does the QEMU that will run know vfio-pci `ats` (11.1)? Default true. */
  readonly vfioAts?: boolean;
  /** Names the document in messages. Default "domain XML". */
  readonly source?: string;
}

export type Existing = 'replace' | 'keep';
/** Attributes of `<driver>` (libvirt >= 12.7), `<qemu:override>` (older, or KubeVirt's plugin pipeline), or both. */
export type Target = 'native' | 'override' | 'both';
export type Spelling = 'ssidsize' | 'ssidSize' | 'both';

export type ResolvedOptions = Required<RewriteOptions>;

export function withDefaults(options: RewriteOptions): ResolvedOptions {
  return {
    existing: 'replace',
    target: 'native',
    spelling: 'ssidsize',
    vfioAts: true,
    source: 'domain XML',
    ...options,
  };
}
