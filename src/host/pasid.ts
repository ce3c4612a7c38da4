import { known, unknown, type Answer } from '../smmu/answer.js';
import { explainReply, type HwInfoReply } from './hw-info.js';
import { releaseAtLeast } from './kernel.js';
import type { KernelReport, PasidCapability } from './report.js';

/**
 * out_max_pasid_log2: PASID bits that device and SMMU share. 0 means "none" only on a kernel that fills the
 * field in (6.15); one that reports ATS (7.1) is newer than that.
 */
export function maxPasidOf(reply: HwInfoReply, kernel: KernelReport): Answer<number> {
  if (reply.kind !== 'answer') {
    const { because, remedy } = explainReply(reply);
    return unknown(because, remedy);
  }
  const evidence = { reading: `out_max_pasid_log2 ${reply.maxPasidLog2}`, source: reply.source };
  const fillsIn =
    reply.maxPasidLog2 > 0 ||
    (kernel.reportsAts.known && kernel.reportsAts.value) ||
    releaseAtLeast(kernel.release, 6, 15) === true;
  if (fillsIn) return known(reply.maxPasidLog2, evidence);
  const name = kernel.release.known ? `kernel ${kernel.release.value}` : 'a kernel of unknown version';
  return unknown(
    `${name} may not report PASID widths, which begin with 6.15`,
    'Use a kernel >= 6.15.',
    evidence,
  );
}

/** A permission bit of out_capabilities; it means something only where there is a PASID. */
export function pasidFlagOf(
  reply: HwInfoReply,
  maxPasid: Answer<number>,
  mask: bigint,
  name: string,
): Answer<boolean> {
  if (!maxPasid.known) return unknown(maxPasid.because, maxPasid.remedy, ...maxPasid.evidence);
  if (reply.kind !== 'answer') return known(false, ...maxPasid.evidence);
  const set = maxPasid.value > 0 && (reply.capabilities & mask) !== 0n;
  return known(set, { reading: `out_capabilities ${name} ${set ? 'set' : 'clear'}`, source: reply.source });
}

/** PASID bits a guest can use: a definite 0 from the SMMU or the device wins over what the kernel cannot say. */
export function effectivePasidOf(
  ssidsize: Answer<number>,
  capability: Answer<PasidCapability | null>,
  maxPasid: Answer<number>,
): Answer<number> {
  if (ssidsize.known && ssidsize.value === 0) return known(0, ...ssidsize.evidence);
  if (capability.known && capability.value === null) return known(0, ...capability.evidence);
  if (maxPasid.known && maxPasid.value === 0) return known(0, ...maxPasid.evidence);
  if (maxPasid.known && ssidsize.known)
    return known(Math.min(maxPasid.value, ssidsize.value), ...maxPasid.evidence, ...ssidsize.evidence);
  const silent = maxPasid.known ? ssidsize : maxPasid;
  return silent.known ? silent : unknown(silent.because, silent.remedy, ...silent.evidence);
}
