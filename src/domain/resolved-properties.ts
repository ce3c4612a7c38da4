/** Properties of a vSMMU that are resolved, in libvirt's order of attributes. */
export const RESOLVED_PROPERTIES = ['cmdqv', 'ats', 'ril', 'ssidsize', 'oas'] as const;
export type ResolvedProperty = (typeof RESOLVED_PROPERTIES)[number];
