import type { YesNoUnknown } from '../../smmu/answer.js';
import type { PageValues } from '../page-fleet.js';
import { h } from './dom.js';

const MARKS: Readonly<Record<YesNoUnknown, string>> = { yes: '✓', no: '–', unknown: '?' };

/** A fact by colour and by words. */
export function chip(state: YesNoUnknown, text: string): HTMLElement {
  return h('span', { class: `chip ${state}` }, `${MARKS[state]} ${text}`);
}

export function valueChip(property: keyof PageValues, value: string | number): HTMLElement {
  const state = value === 'off' || value === 0 ? 'no' : 'yes';
  return chip(state, `${property} ${value}`);
}

/** "1,000" */
export function number(value: number): string {
  return value.toLocaleString('en');
}

/** Devices as one bar of up to three parts, each as wide as its share and with its count; in words for a screen reader. */
export function deviceBar(ats: readonly YesNoUnknown[]): HTMLElement {
  const count = (state: YesNoUnknown) => ats.filter((one) => one === state).length;
  const words = `${count('yes')} with ATS, ${count('no')} without, ${count('unknown')} unknown`;
  const parts = (['yes', 'no', 'unknown'] as const).flatMap((state) => {
    const devices = count(state);
    if (devices === 0) return [];
    const part = h('i', { class: state }, `${MARKS[state]} ${number(devices)}`);
    part.style.flexGrow = String(devices);
    return [part];
  });
  return h('span', { class: 'bar-of-devices', role: 'img', 'aria-label': words, title: words }, ...parts);
}
