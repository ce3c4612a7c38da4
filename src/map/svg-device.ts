import type { MapDevice } from './host-map.js';
import { chips, chipsWidth } from './svg-chips.js';
import { element, escapeXml, wrap } from './svg-element.js';

/** A drawn part and the room it took. */
export interface Drawn {
  readonly svg: string;
  readonly height: number;
}

const NOTE_LINE = 16;
const SOFT_CHARACTER = 6.6;

export function drawDevice(device: MapDevice, x: number, y: number, width: number): Drawn {
  return device.bridge ? drawBridge(device, x, y) : drawEndpoint(device, x, y, width);
}

/** Bridges are the way to the devices and no VM's: one quiet line. */
function drawBridge(device: MapDevice, x: number, y: number): Drawn {
  const text = element(
    'text',
    { x: x + 10, y: y + 14, class: 'soft' },
    element('tspan', { class: 'mono' }, escapeXml(device.bdf)),
    element('tspan', { dx: 8 }, escapeXml(`${device.kind} · ${device.detail}`)),
  );
  return { svg: text, height: 20 };
}

function drawEndpoint(device: MapDevice, x: number, y: number, width: number): Drawn {
  const readiness = device.ready
    ? ({ label: 'passthrough', state: 'yes', text: 'ready', because: 'bound to a VFIO driver' } as const)
    : ({ label: 'passthrough', state: 'no', text: 'not ready', because: 'see the note' } as const);
  const facts = [...device.facts, readiness];
  const chipsAside = chipsWidth(facts) + 130 + device.kind.length * 7 <= width - 30;
  const chipsX = chipsAside ? x + width - 10 - chipsWidth(facts) : x + 14;
  const chipsY = chipsAside ? y + 9 : y + 48;
  let bottom = chipsAside ? y + 48 : y + 74;
  const detail = wrap(device.detail, Math.floor((width - 28) / SOFT_CHARACTER)).slice(0, 1);
  const noteLines = device.notes.flatMap((note) => wrap(note, Math.floor((width - 28) / SOFT_CHARACTER)));
  const notes = noteLines.map((line) => {
    bottom += NOTE_LINE;
    return element('text', { x: x + 14, y: bottom - 5, class: 'note' }, escapeXml(line));
  });
  const height = bottom - y + (notes.length > 0 ? 4 : 0);
  const svg = [
    element('rect', { x, y, width, height, rx: 6, class: 'card' }),
    element('rect', { x, y, width: 5, height, rx: 2, class: device.ready ? 'edge-ready' : 'edge-no' }),
    element(
      'text',
      { x: x + 14, y: y + 22 },
      element('tspan', { class: 'mono' }, escapeXml(device.bdf)),
      element('tspan', { dx: 10 }, escapeXml(device.kind)),
    ),
    ...detail.map((line) => element('text', { x: x + 14, y: y + 39, class: 'soft' }, escapeXml(line))),
    chips(facts, chipsX, chipsY).svg,
    ...notes,
  ];
  return { svg: element('g', { 'data-device': device.bdf }, ...svg), height };
}
