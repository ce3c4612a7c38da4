import { printable } from '../printable.js';
import type { HostMap, MapDevice, MapFact, MapRoot, MapSmmu } from './host-map.js';

/** The same topology in words, for terminals, tickets and screen readers. Ends with a newline. */
export function renderMapText(map: HostMap): string {
  const lines = [map.title, map.subtitle];
  for (const smmu of map.smmus) lines.push('', ...smmuLines(smmu));
  if (map.smmus.length === 0) lines.push('', 'No SMMUv3 and no PCI function is shown.');
  if (map.findings.length > 0) lines.push('', 'Findings', ...map.findings.map((finding) => `  ! ${finding}`));
  return lines.map((line) => `${printable(line)}\n`).join('');
}

function smmuLines(smmu: MapSmmu): string[] {
  const head = [smmu.label, factsText(smmu.facts)].filter((text) => text !== '').join(': ');
  return [head, ...smmu.notes.map((note) => `  ! ${note}`), ...smmu.roots.flatMap(rootLines)];
}

function rootLines({ label, groups }: MapRoot): string[] {
  const lines = groups.flatMap((group) => [
    `    ${group.label}`,
    ...group.devices.flatMap(deviceLines).map((line) => `      ${line}`),
  ]);
  return [`  ${label}`, ...lines];
}

function deviceLines(device: MapDevice): string[] {
  const readiness = device.bridge ? [] : [device.ready ? 'ready for passthrough' : 'not ready'];
  const state = [factsText(device.facts), ...readiness].filter((text) => text !== '').join(', ');
  const head = `${device.bdf}  ${device.kind} ${device.detail}`;
  return [state === '' ? head : `${head}: ${state}`, ...device.notes.map((note) => `  ! ${note}`)];
}

function factsText(facts: readonly MapFact[]): string {
  return facts.map(({ label, text }) => `${label} ${text}`).join(', ');
}
