/** One thing that was read, and where: { reading: "IDR0[10]=1", source: "IOMMU_GET_HW_INFO of 0000:01:00.0" }. */
export interface Evidence {
  readonly reading: string;
  readonly source: string;
}

/**
 * A three-valued answer. What the kernel cannot say is unknown, with the reason and with what would
 * make it known; it is never a default value.
 */
export type Answer<T> =
  | { readonly known: true; readonly value: T; readonly evidence: readonly Evidence[] }
  | {
      readonly known: false;
      readonly because: string;
      readonly remedy: string;
      readonly evidence: readonly Evidence[];
    };

export function known<T>(value: T, ...evidence: readonly Evidence[]): Answer<T> {
  return { known: true, value, evidence };
}

export function unknown<T>(because: string, remedy: string, ...evidence: readonly Evidence[]): Answer<T> {
  return { known: false, because, remedy, evidence };
}

/** The value, or undefined where it is unknown. For callers whose own rules treat silence explicitly. */
export function valueOf<T>(answer: Answer<T>): T | undefined {
  return answer.known ? answer.value : undefined;
}

export type YesNoUnknown = 'yes' | 'no' | 'unknown';

export function yesNo(answer: Answer<boolean>): YesNoUnknown {
  if (!answer.known) return 'unknown';
  return answer.value ? 'yes' : 'no';
}
