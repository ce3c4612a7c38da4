import type { HostMap, MapGroup, MapRoot, MapSmmu } from './host-map.js';
import { chips, chipsWidth } from './svg-chips.js';
import { type Drawn, drawDevice } from './svg-device.js';
import { element, escapeXml, wrap } from './svg-element.js';
import { MAP_STYLE } from './svg-style.js';
import { renderMapText } from './text-tree.js';

const WIDTH = 1160;
const MARGIN = 24;
const PAD = 16;
const GAP = 14;
const LEGEND = [
  { label: 'can', state: 'yes', text: '', because: 'the host can' },
  { label: 'cannot', state: 'no', text: '', because: 'the host cannot' },
  { label: 'unknown, see the note', state: 'unknown', text: '', because: 'the kernel cannot say' },
] as const;

/** Wide enough that two columns of devices fit side by side. */
const TWO_COLUMNS = 900;

/**
 * The picture of one host: SMMUs, the root complexes behind each, their IOMMU groups and devices. A whole SVG
 * document without script or outside reference; equal maps give equal bytes.
 *
 * @param heading title, subtitle and legend above it; without where what is around the picture has them
 */
export function renderMapSvg(map: HostMap, { heading = true } = {}): string {
  const inner = WIDTH - 2 * MARGIN;
  const parts: string[] = heading
    ? [
        element('text', { x: MARGIN, y: 42, class: 'title' }, escapeXml(map.title)),
        element('text', { x: MARGIN, y: 64, class: 'soft' }, escapeXml(map.subtitle)),
        chips(LEGEND, WIDTH - MARGIN - chipsWidth(LEGEND), 32).svg,
      ]
    : [];
  let y = heading ? 84 : MARGIN / 2;
  for (const smmu of map.smmus) {
    const drawn = drawSmmu(smmu, MARGIN, y, inner);
    parts.push(drawn.svg);
    y += drawn.height + GAP + 4;
  }
  const findings = drawFindings(map.findings, y);
  parts.push(findings.svg);
  const height = y + findings.height + MARGIN / 2;
  return `${document(map, height, parts)}\n`;
}

function document(map: HostMap, height: number, parts: readonly string[]): string {
  return element(
    'svg',
    {
      xmlns: 'http://www.w3.org/2000/svg',
      viewBox: `0 0 ${WIDTH} ${height}`,
      width: WIDTH,
      height,
      class: 'vsmmu-map',
      role: 'img',
      'aria-labelledby': 'vsmmu-map-title vsmmu-map-desc',
    },
    element('title', { id: 'vsmmu-map-title' }, escapeXml(`SMMU topology of ${map.title}`)),
    element('desc', { id: 'vsmmu-map-desc' }, escapeXml(renderMapText(map))),
    element('style', {}, MAP_STYLE),
    element('rect', { width: WIDTH, height, class: 'ground' }),
    ...parts,
  );
}

function drawSmmu(smmu: MapSmmu, x: number, y: number, width: number): Drawn {
  const noteLines = smmu.notes.flatMap((note) => wrap(note, 150));
  const chipsY = y + 38;
  const notes = noteLines.map((line, index) =>
    element('text', { x: x + PAD, y: chipsY + 38 + index * 16, class: 'note' }, escapeXml(line)),
  );
  const head = (smmu.facts.length > 0 ? 70 : 42) + noteLines.length * 16;
  const roots = drawRoots(smmu.roots, x + PAD, y + head, width - 2 * PAD);
  const height = head + roots.height + (smmu.roots.length > 0 ? PAD : 0);
  return {
    svg: element(
      'g',
      {},
      element('rect', { x, y, width, height, rx: 10, class: 'panel' }),
      element('rect', { x, y, width: 6, height, rx: 3, class: 'bar' }),
      element('text', { x: x + PAD, y: y + 26, class: 'smmu' }, escapeXml(smmu.label)),
      chips(smmu.facts, x + PAD, chipsY).svg,
      ...notes,
      roots.svg,
    ),
    height,
  };
}

type Draw<T> = (one: T, x: number, y: number, width: number) => Drawn;

/** Two columns where there are several things and room for them; each goes below the shorter column. */
function inColumns<T>(
  things: readonly T[],
  draw: Draw<T>,
  [x, y, width, gap]: readonly [x: number, y: number, width: number, gap: number],
): Drawn {
  const columns = things.length > 1 && width >= TWO_COLUMNS ? 2 : 1;
  const columnWidth = (width - (columns - 1) * gap) / columns;
  const bottoms = Array.from({ length: columns }, () => 0);
  const drawn = things.map((thing) => {
    const column = bottoms.indexOf(Math.min(...bottoms));
    const top = bottoms[column] ?? 0;
    const part = draw(thing, x + column * (columnWidth + gap), y + top, columnWidth);
    bottoms[column] = top + part.height + gap;
    return part.svg;
  });
  return { svg: drawn.join(''), height: Math.max(0, Math.max(...bottoms) - gap) };
}

function drawRoots(roots: readonly MapRoot[], x: number, y: number, width: number): Drawn {
  return inColumns(roots, drawRoot, [x, y, width, GAP]);
}

function drawRoot(root: MapRoot, x: number, y: number, width: number): Drawn {
  const groups = inColumns(root.groups, drawGroup, [x + 12, y + 30, width - 24, 8]);
  const height = 30 + groups.height + 12;
  return {
    svg: element(
      'g',
      {},
      element('rect', { x, y, width, height, rx: 8, class: 'root' }),
      element('text', { x: x + 12, y: y + 20, class: 'label' }, escapeXml(root.label)),
      groups.svg,
    ),
    height,
  };
}

function drawGroup(group: MapGroup, x: number, y: number, width: number): Drawn {
  let bottom = y + 22;
  const devices = group.devices.map((device) => {
    const drawn = drawDevice(device, x + 8, bottom, width - 16);
    bottom += drawn.height + 6;
    return drawn.svg;
  });
  const height = bottom - y + 2;
  return {
    svg: element(
      'g',
      {},
      element('rect', { x, y, width, height, rx: 6, class: 'group' }),
      element('text', { x: x + 10, y: y + 15, class: 'soft' }, escapeXml(group.label)),
      ...devices,
    ),
    height,
  };
}

function drawFindings(findings: readonly string[], y: number): Drawn {
  const lines = findings.flatMap((finding) => wrap(finding, 160));
  const drawn = lines.map((line, index) =>
    element('text', { x: MARGIN, y: y + 32 + index * 17, class: 'note' }, escapeXml(line)),
  );
  if (lines.length === 0) return { svg: '', height: 0 };
  const head = element('text', { x: MARGIN, y: y + 12, class: 'label' }, 'Findings');
  return { svg: head + drawn.join(''), height: 36 + lines.length * 17 };
}
