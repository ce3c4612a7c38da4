import type { Bdf } from '../bdf.js';
import { HwInfoType } from '../smmu/compatibility.js';
import type { Surveyed } from './device-report.js';
import { explainErrno, explainReply, type DeviceReplies, type HwInfoReply } from './hw-info.js';
import type { HostSource } from './host-source.js';
import { ArmSmmuV3Info } from './iommufd-uapi.js';
import type { Finding } from './report.js';

/** What a person should know of the host beside the answers themselves. */
export function collectFindings(
  source: HostSource,
  devices: ReadonlyMap<Bdf, Surveyed>,
  replies: ReadonlyMap<Bdf, DeviceReplies>,
): Finding[] {
  const findings = [...nodeFindings(source, replies), ...shortConfigFindings(devices)];
  for (const [bdf, { sysfs, config }] of devices) {
    findings.push(...sysfs.findings);
    if (config.damage !== undefined)
      findings.push({
        code: 'CONFIG_SPACE_DAMAGED',
        subject: bdf,
        message: `${bdf}: ${config.damage}`,
        remedy: 'Look at the device with lspci -xxxx; a reset or a rescan of the bus may help.',
      });
    findings.push(...replyFindings(bdf, replies.get(bdf)));
  }
  return findings;
}

/** Said once: whoever may not read one config space may not read any. */
function shortConfigFindings(devices: ReadonlyMap<Bdf, Surveyed>): Finding[] {
  const short = [...devices.values()].filter(({ config }) => config.unprivileged);
  if (short.length === 0) return [];
  return [
    {
      code: 'CONFIG_SPACE_SHORT',
      subject: 'host',
      message: `of ${short.length} of ${devices.size} functions only the first 64 bytes of config space were readable`,
      remedy: 'Let the reader open config space with CAP_SYS_ADMIN in the initial user namespace.',
    },
  ];
}

/** Said once, not of every device: without /dev/iommu none can be asked. */
function nodeFindings(source: HostSource, replies: ReadonlyMap<Bdf, DeviceReplies>): Finding[] {
  const node = source.exists('/dev/iommu');
  if (replies.size === 0 || !node.ok || node.value) return [];
  const { code, because, remedy } = explainErrno('open-iommu', 'ENOENT');
  return [{ code, subject: '/dev/iommu', message: because, remedy }];
}

function replyFindings(bdf: Bdf, replies: DeviceReplies | undefined): Finding[] {
  if (replies === undefined) return [];
  const { hwInfo } = replies;
  if (hwInfo.kind === 'not-asked' && hwInfo.code === undefined) return [...replies.findings];
  if (hwInfo.kind !== 'answer') {
    const { code, because, remedy } = explainReply(hwInfo);
    return [...replies.findings, { code, subject: bdf, message: `${bdf}: ${because}`, remedy }];
  }
  const problem = answerProblem(hwInfo);
  return problem === undefined ? [...replies.findings] : [...replies.findings, { ...problem, subject: bdf }];
}

function answerProblem(
  reply: Extract<HwInfoReply, { kind: 'answer' }>,
): Omit<Finding, 'subject'> | undefined {
  if (reply.dataType === HwInfoType.none)
    return {
      code: 'PROBE_HW_INFO_NONE',
      message: `${reply.source} succeeded with data type 0: the driver tells nothing of its SMMU`,
      remedy: 'Use a kernel >= 6.13 with CONFIG_ARM_SMMU_V3_IOMMUFD=y.',
    };
  if (reply.dataType === HwInfoType.armSmmuV3 && reply.data.length < ArmSmmuV3Info.offset.iidr)
    return {
      code: 'PROBE_HW_INFO_SHORT',
      message: `${reply.source} gave ${reply.data.length} bytes`,
      remedy: 'Probe or record the host again.',
    };
  return undefined;
}
