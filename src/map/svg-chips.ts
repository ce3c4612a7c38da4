import type { MapFact } from './host-map.js';
import { element, escapeXml } from './svg-element.js';

const CHIP_HEIGHT = 20;
const GAP = 6;
/** Wider than any face in the style draws a character at this size, so that no label leaves its chip. */
const CHARACTER_WIDTH = 7.6;
const MARKS = { yes: '✓', no: '–', unknown: '?' } as const;

export interface Chips {
  readonly svg: string;
  readonly width: number;
}

/** A row of facts, left to right. A pointer that rests on one is shown what it was read from. */
export function chips(facts: readonly MapFact[], x: number, y: number): Chips {
  let at = x;
  const drawn = facts.map((fact) => {
    const text = `${MARKS[fact.state]} ${fact.label} ${fact.text}`;
    const width = chipWidth(text);
    const left = at;
    at += width + GAP;
    return element(
      'g',
      { class: `chip ${fact.state}` },
      element('title', {}, escapeXml(`${fact.label}: ${fact.text}. ${fact.because}`)),
      element('rect', { x: left, y, width, height: CHIP_HEIGHT, rx: 10 }),
      element('text', { x: left + width / 2, y: y + 14, 'text-anchor': 'middle' }, escapeXml(text)),
    );
  });
  return { svg: drawn.join(''), width: Math.max(0, at - x - GAP) };
}

export function chipsWidth(facts: readonly MapFact[]): number {
  return chips(facts, 0, 0).width;
}

function chipWidth(text: string): number {
  return Math.ceil(text.length * CHARACTER_WIDTH) + 14;
}
