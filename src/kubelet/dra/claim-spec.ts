/** How a claim's CDI specification, and the devices in it, are named: "vsmmu.io/claim=<uid>-pci-0009-01-00-0". */
export const CLAIM_KIND = 'vsmmu.io/claim';
export const SPEC_PREFIX = 'vsmmu.io-claim-';

export function specName(uid: string): string {
  return `${SPEC_PREFIX}${uid}.json`;
}

/** @param spec a name that {@link specName} made */
export function uidOfSpec(spec: string): string {
  return spec.slice(SPEC_PREFIX.length, -'.json'.length);
}

export function deviceInSpec(uid: string, device: string): string {
  return `${uid}-${device}`;
}

/** @param name one that {@link deviceInSpec} made of this UID */
export function deviceOfSpec(name: string, uid: string): string {
  return name.slice(uid.length + 1);
}
