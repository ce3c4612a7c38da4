import { known, unknown, type Answer, type Evidence } from '../smmu/answer.js';
import { HwInfoType, smmuFeatures, unknownSmmu } from '../smmu/compatibility.js';
import type { Obstacle, SmmuFeatures } from '../smmu/features.js';
import { decodeIdr, type IdrWords } from '../smmu/registers.js';
import {
  cmdqvOf,
  idrWordsOf,
  nestingOf,
  type DeviceReplies,
  type HwInfoReply,
  type NestingReply,
} from './hw-info.js';
import { releaseAtLeast } from './kernel.js';
import type { Finding, KernelReport, SmmuReport } from './report.js';
import type { Bdf } from '../bdf.js';

/** A device and what it was told. */
export interface AskedDevice {
  readonly bdf: Bdf;
  /** Known name of its SMMU. */
  readonly smmu: string | undefined;
  readonly hwInfo: HwInfoReply;
  readonly cmdqv: HwInfoReply;
  readonly nesting: NestingReply;
  readonly sibling?: DeviceReplies | undefined;
}

export interface SmmuReports {
  readonly smmus: readonly SmmuReport[];
  /** Which report speaks of a device's SMMU. */
  readonly of: ReadonlyMap<Bdf, SmmuReport>;
  readonly findings: readonly Finding[];
}

/**
 * One report for each SMMU. The registers are those of the SMMU, whichever device behind it was asked.
 * Devices whose SMMU sysfs did not name are put together where their registers are the same.
 * @param names SMMUs that sysfs lists, also those with nothing behind them
 */
export function reportSmmus(
  names: readonly string[],
  devices: readonly AskedDevice[],
  kernel: KernelReport,
): SmmuReports {
  const groups = new Map<string, AskedDevice[]>(names.map((name) => [name, []]));
  const unnamed: AskedDevice[][] = [];
  for (const device of devices) {
    if (device.smmu !== undefined) addTo(groups, device.smmu, device);
    else if (idrWordsOf(device.hwInfo).known) addToAlike(unnamed, device);
  }

  const findings: Finding[] = [];
  const of = new Map<Bdf, SmmuReport>();
  const report = (name: string, named: boolean, behind: readonly AskedDevice[]): SmmuReport => {
    const smmu = reportSmmu(name, named, behind, kernel, findings);
    for (const { bdf } of behind) of.set(bdf, smmu);
    return smmu;
  };
  const smmus = [
    ...[...groups].map(([name, behind]) => report(name, true, behind)),
    ...unnamed.map((behind, index) => report(`unnamed-${index + 1}`, false, behind)),
  ];
  return { smmus, of, findings };
}

function addTo(groups: Map<string, AskedDevice[]>, name: string, device: AskedDevice): void {
  const group = groups.get(name);
  if (group === undefined) groups.set(name, [device]);
  else group.push(device);
}

function addToAlike(groups: AskedDevice[][], device: AskedDevice): void {
  const alike = groups.find(([first]) => first !== undefined && sameWords(first.hwInfo, device.hwInfo));
  if (alike === undefined) groups.push([device]);
  else alike.push(device);
}

function sameWords(a: HwInfoReply, b: HwInfoReply): boolean {
  const [first, second] = [idrWordsOf(a), idrWordsOf(b)];
  return first.known && second.known && first.value.join() === second.value.join();
}

function reportSmmu(
  name: string,
  named: boolean,
  behind: readonly AskedDevice[],
  kernel: KernelReport,
  findings: Finding[],
): SmmuReport {
  const told = withSiblings(behind);
  const words = wordsOf(name, told, findings);
  const cmdqv = cmdqvAnswer(told, kernel);
  const nesting = nestingAnswer(told);
  const checked = featuresFrom(named ? name : undefined, told, words, cmdqv);
  const features = { ...checked, obstacles: [...checked.obstacles, ...nestingObstacles(nesting)] };
  return {
    name,
    named,
    registers: words.known
      ? known({ words: words.value, decoded: decodeIdr(words.value) }, ...registerEvidence(words))
      : words,
    cmdqv,
    nesting,
    accel: accelAnswer(features, words, nesting),
    features,
  };
}

/** Where no device behind the SMMU could be asked now, what one was told earlier. */
function withSiblings(behind: readonly AskedDevice[]): readonly AskedDevice[] {
  if (behind.some(({ hwInfo }) => hwInfo.kind === 'answer')) return behind;
  const device = behind.find(({ sibling }) => sibling !== undefined);
  return device?.sibling === undefined ? behind : [{ ...device, ...device.sibling }];
}

function wordsOf(name: string, behind: readonly AskedDevice[], findings: Finding[]): Answer<IdrWords> {
  const answers = behind.map(({ hwInfo }) => idrWordsOf(hwInfo));
  const told = answers.filter((answer) => answer.known);
  const [first] = told;
  if (first === undefined) return noWords(behind, answers);
  const other = told.find((answer) => answer.value.join() !== first.value.join());
  if (other === undefined) return first;
  const message = `devices behind ${name} were told different registers`;
  const remedy = 'Record or probe again; if it stays, report it: one SMMU has one set of registers.';
  findings.push({ code: 'REGISTERS_DISAGREE', subject: name, message, remedy });
  return unknown(message, remedy, ...first.evidence, ...other.evidence);
}

/** The most telling reason: an answer that was none, then a failure, then a question not asked. */
function noWords(behind: readonly AskedDevice[], answers: readonly Answer<IdrWords>[]): Answer<IdrWords> {
  for (const kind of ['answer', 'failed', 'not-asked']) {
    const index = behind.findIndex(({ hwInfo }) => hwInfo.kind === kind);
    const answer = answers[index];
    if (answer !== undefined) return answer;
  }
  return unknown(
    'no device bound to a VFIO driver is behind it, so it could not be asked',
    'Bind an idle device behind it to vfio-pci and probe again.',
  );
}

/** INPUT_TYPE came with 6.17, before the ATS bit of 7.1. */
function cmdqvAnswer(behind: readonly AskedDevice[], kernel: KernelReport): Answer<boolean> {
  const knowsInputType =
    kernel.reportsAts.known && kernel.reportsAts.value ? true : releaseAtLeast(kernel.release, 6, 17);
  const answers = behind.map(({ cmdqv }) => cmdqvOf(cmdqv, knowsInputType));
  return (
    answers.find((answer) => answer.known && answer.value) ??
    answers.find((answer) => answer.known) ??
    answers[0] ??
    unknown(
      'no device behind it could be asked',
      'Bind an idle device behind it to vfio-pci and probe again.',
    )
  );
}

function featuresFrom(
  name: string | undefined,
  behind: readonly AskedDevice[],
  words: Answer<IdrWords>,
  cmdqv: Answer<boolean>,
): SmmuFeatures {
  if (words.known)
    return smmuFeatures(name, HwInfoType.armSmmuV3, words.value, cmdqv.known ? cmdqv.value : undefined);
  const answered = behind.map(({ hwInfo }) => hwInfo).find((reply) => reply.kind === 'answer');
  if (answered !== undefined && answered.dataType !== HwInfoType.armSmmuV3)
    return smmuFeatures(name, answered.dataType, undefined, undefined);
  return unknownSmmu(name, words.because, words.remedy);
}

/** QEMU asks for the same allocations when the VM starts; a refusal then would end it. Not having asked refuses nothing. */
function nestingObstacles(nesting: Answer<boolean>): Obstacle[] {
  if (!nesting.known || nesting.value) return [];
  const reasons = nesting.evidence.map(({ reading }) => reading).join('; ');
  return [
    {
      code: 'NESTING_REFUSED',
      message: `the kernel refused to nest: ${reasons}`,
      remedy:
        'Use a host whose SMMU nests (stage 1 and 2, and CANWBS or S2FWB); "vsmmu probe" shows what was asked.',
    },
  ];
}

/** The kernel decides by device: one that may nest proves the SMMU, one that may not (CANWBS) does not disprove it. */
function nestingAnswer(behind: readonly AskedDevice[]): Answer<boolean> {
  const answers = behind.map(({ nesting }) => nestingOf(nesting));
  return (
    answers.find((answer) => answer.known && answer.value) ??
    answers.find((answer) => answer.known) ??
    answers[0] ??
    unknown(
      'no device behind it could be asked',
      'Bind an idle device behind it to vfio-pci and probe again.',
    )
  );
}

/**
 * QEMU's checks of the registers, then what the kernel needs to nest: both stages (ARM_SMMU_FEAT_NESTING),
 * and the proof by allocation. Registers that would do are no yes by themselves.
 */
function accelAnswer(
  features: SmmuFeatures,
  words: Answer<IdrWords>,
  nesting: Answer<boolean>,
): Answer<boolean> {
  if (!words.known) return unknown(words.because, words.remedy, ...words.evidence);
  const source = words.evidence[0]?.source ?? 'IOMMU_GET_HW_INFO';
  const evidence: Evidence[] = features.obstacles.map(({ message }) => ({ reading: message, source }));
  const decoded = decodeIdr(words.value);
  if (!decoded.stage1) evidence.push({ reading: 'IDR0[1]=0: no stage 1', source });
  if (!decoded.stage2) evidence.push({ reading: 'IDR0[0]=0: no stage 2 to nest on', source });
  if (evidence.length > 0) return known(false, ...evidence);
  const registers: Evidence = { reading: registerSummary(words.value), source };
  return nesting.known
    ? known(true, registers, ...nesting.evidence)
    : unknown(
        `the registers allow it, but nesting is not proven: ${nesting.because}`,
        nesting.remedy,
        registers,
      );
}

/** Every field that decides something, as the register it stands in. */
function registerEvidence(words: Extract<Answer<IdrWords>, { known: true }>): Evidence[] {
  const source = words.evidence[0]?.source ?? 'IOMMU_GET_HW_INFO';
  const [idr0, idr1, idr2, idr3, idr4, idr5] = words.value;
  const hex = [idr0, idr1, idr2, idr3, idr4, idr5].map(
    (word, n) => `IDR${n}=0x${word.toString(16).padStart(8, '0')}`,
  );
  const decoded = decodeIdr(words.value);
  const bit = (value: boolean) => (value ? 1 : 0);
  const fields = [
    `IDR0[10]=${bit(decoded.ats)}`,
    `IDR0[16]=${bit(decoded.pri)}`,
    `IDR1[5:0]=${decoded.sidSize}`,
    `IDR1[10:6]=${decoded.ssidSize}`,
    `IDR3[10]=${bit(decoded.ril)}`,
    `IDR3[12:11]=${decoded.bbml}`,
    `IDR5[2:0]=${idr5 & 7}`,
  ];
  return [...hex, ...fields].map((reading) => ({ reading, source }));
}

function registerSummary(words: IdrWords): string {
  const decoded = decodeIdr(words);
  return `ST_LEVEL=${decoded.stLevel} TTENDIAN=${decoded.ttEndian} TTF=${decoded.ttf} SIDSIZE=${decoded.sidSize} OAS=${decoded.oasBits} granules 4K, 16K, 64K`;
}
