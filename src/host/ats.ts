import { known, unknown, type Answer, type Evidence } from '../smmu/answer.js';
import { explainReply, type HwInfoReply } from './hw-info.js';
import { HwCapability } from './iommufd-uapi.js';
import type { KernelReport } from './report.js';

/** What the kernel says of a device's ATS. A clear bit counts only where the kernel is known to set it. */
export function kernelAtsOf(reply: HwInfoReply, kernel: KernelReport): Answer<'supported' | 'not-supported'> {
  const { reportsAts } = kernel;
  const name = kernel.release.known ? `kernel ${kernel.release.value}` : 'this kernel';
  const cannotSay = (...evidence: Evidence[]) =>
    unknown<'supported' | 'not-supported'>(
      `${name} cannot say: it does not report ATS (out_capabilities bit 3, Linux 7.1)`,
      'Use a kernel >= 7.1.',
      ...evidence,
      ...reportsAts.evidence,
    );
  if (reply.kind !== 'answer') {
    // Where no question could help, the kernel is the reason, not that it was not asked.
    if (reportsAts.known && !reportsAts.value) return cannotSay();
    const { because, remedy } = explainReply(reply);
    return unknown(because, remedy);
  }
  if ((reply.capabilities & HwCapability.pciAtsNotSupported) !== 0n)
    return known('not-supported', { reading: 'out_capabilities bit 3 set', source: reply.source });
  const clear: Evidence = { reading: 'out_capabilities bit 3 clear', source: reply.source };
  if (!reportsAts.known) return unknown(reportsAts.because, reportsAts.remedy, clear);
  return reportsAts.value ? known('supported', clear, ...reportsAts.evidence) : cannotSay(clear);
}

/**
 * The ATS capability of config space, or what follows from the kernel's word: it says "supported" only of
 * devices in which it found the capability (pci_ats_supported(), drivers/pci/ats.c).
 */
export function atsCapabilityOf(
  config: Answer<boolean>,
  kernelAts: Answer<'supported' | 'not-supported'>,
): Answer<boolean> {
  if (config.known || !kernelAts.known || kernelAts.value !== 'supported') return config;
  return known(
    true,
    { reading: 'follows from the kernel reporting ATS as supported', source: 'pci_ats_supported()' },
    ...kernelAts.evidence,
  );
}

/**
 * Effective ATS, for scheduling: IDR0.ATS, the capability, and the kernel's word must all say yes.
 * A definite no from any of them, or from a veto, wins over what the others cannot say.
 * @param vetoes conditions whose no is definite and whose yes or silence proves nothing
 */
export function effectiveAtsOf(
  smmuAts: Answer<boolean>,
  capability: Answer<boolean>,
  kernelAts: Answer<'supported' | 'not-supported'>,
  vetoes: readonly Answer<boolean>[],
): Answer<boolean> {
  const kernel: Answer<boolean> = kernelAts.known
    ? known(kernelAts.value === 'supported', ...kernelAts.evidence)
    : kernelAts;
  const parts = [smmuAts, kernel, capability];
  const noes = [...parts, ...vetoes].filter((part) => part.known && !part.value);
  if (noes.length > 0) return known(false, ...noes.flatMap((part) => part.evidence));
  const silent = parts.filter((part) => !part.known);
  const [first] = silent;
  if (first === undefined) return known(true, ...unique(parts.flatMap((part) => part.evidence)));
  return unknown(
    [...new Set(silent.map((part) => part.because))].join('; '),
    first.remedy,
    ...unique(parts.flatMap((part) => part.evidence)),
  );
}

function unique(evidence: readonly Evidence[]): Evidence[] {
  return [...new Map(evidence.map((item) => [`${item.source}\n${item.reading}`, item])).values()];
}
