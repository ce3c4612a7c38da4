/** The properties of QEMU 11.1's arm-smmuv3 and vfio-pci that vsmmu resolves (docs/resolve.md). */
export type OnOff = 'on' | 'off';
export type OnOffAuto = OnOff | 'auto';

/** IDs of the properties, in libvirt's order of attributes. */
export const VSMMU_PROPERTIES = ['accel', 'cmdqv', 'ats', 'ril', 'ssidsize', 'oas'] as const;
export type VsmmuProperty = (typeof VSMMU_PROPERTIES)[number];

export const SSIDSIZE_MAX = 20;
/** Output address sizes that QEMU's model implements; other encodings exist only as host values. */
export const OAS_IMPLEMENTED = [44, 48] as const;

export interface AskedVsmmu {
  readonly accel: boolean;
  readonly ats: OnOffAuto;
  readonly ril: OnOffAuto;
  readonly ssidsize: number | 'auto';
  readonly oas: number | 'auto';
  readonly cmdqv: OnOffAuto;
}

export interface ResolvedVsmmu {
  readonly accel: OnOff;
  readonly ats: OnOff;
  readonly ril: OnOff;
  readonly ssidsize: number;
  readonly oas: number;
  readonly cmdqv: OnOff;
  /** The guest is offered PASID exactly when ssidsize > 0. */
  readonly pasid: boolean;
}

/** What "auto" means with accel=off, and the fixed defaults of machine types up to virt-11.0. */
export const LEGACY_DEFAULTS: ResolvedVsmmu = {
  accel: 'off',
  ats: 'off',
  ril: 'on',
  ssidsize: 0,
  oas: 44,
  cmdqv: 'off',
  pasid: false,
};

export const ALL_AUTO: AskedVsmmu = {
  accel: true,
  ats: 'auto',
  ril: 'auto',
  ssidsize: 'auto',
  oas: 'auto',
  cmdqv: 'auto',
};
