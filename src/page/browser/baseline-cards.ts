import type { PageBaseline, PageLimit } from '../page-fleet.js';
import { valueChip } from './chips.js';
import { h } from './dom.js';

/** Node names that one line can bear. */
const NAMED = 3;

/** Each baseline as a card: values, who limits each, what leaving a node out would gain, who can't take part. */
export function baselineCards(
  baselines: readonly PageBaseline[],
  open: (node: string) => void,
): HTMLElement[] {
  if (baselines.length === 0) return [h('p', { class: 'soft' }, 'There is no Baseline.')];
  return baselines.map((baseline) => card(baseline, open));
}

function card(baseline: PageBaseline, open: (node: string) => void): HTMLElement {
  const { name, limits, members, excluded, leavingOut, heldBack } = baseline;
  return h(
    'article',
    { class: 'card', 'aria-label': `Baseline ${name}` },
    h('h3', {}, name),
    h('p', { class: 'soft' }, `${members} members, ${excluded.length} left out`),
    ...(heldBack === '' ? [] : [h('p', { class: 'notice' }, `Held back: ${heldBack}`)]),
    ...(limits.length === 0 ? [h('p', { class: 'notice' }, 'No node can take part.')] : []),
    h('ul', {}, ...limits.map((limit) => limitLine(limit, open))),
    ...gains(leavingOut, open),
    ...leftOut(excluded, open),
  );
}

function limitLine({ property, value, limitedBy }: PageLimit, open: (node: string) => void): HTMLElement {
  const by = limitedBy.length === 0 ? [] : [' limited by ', ...nodeButtons(limitedBy, open)];
  return h('li', {}, valueChip(property, value), ...by);
}

function nodeButtons(nodes: readonly string[], open: (node: string) => void): (HTMLElement | string)[] {
  const buttons = nodes
    .slice(0, NAMED)
    .map((node) => h('button', { type: 'button', onclick: () => open(node) }, node));
  return nodes.length > NAMED ? [...buttons, ` and ${nodes.length - NAMED} more`] : buttons;
}

function gains(leavingOut: PageBaseline['leavingOut'], open: (node: string) => void): HTMLElement[] {
  const gaining = leavingOut.filter((one) => one.gains.length > 0);
  if (gaining.length === 0) return [];
  const items = gaining
    .slice(0, 10)
    .map(({ node, gains: texts }) =>
      h('li', {}, 'Without ', ...nodeButtons([node], open), `: ${texts.join(', ')}`),
    );
  return [h('ul', {}, ...items)];
}

function leftOut(excluded: PageBaseline['excluded'], open: (node: string) => void): HTMLElement[] {
  if (excluded.length === 0) return [];
  const items = excluded
    .slice(0, 50)
    .map(({ name, reason }) => h('li', {}, ...nodeButtons([name], open), `: ${reason}`));
  const more = excluded.length > 50 ? [h('li', {}, `and ${excluded.length - 50} more`)] : [];
  return [h('details', {}, h('summary', {}, 'Left out, and why'), h('ul', {}, ...items, ...more))];
}
