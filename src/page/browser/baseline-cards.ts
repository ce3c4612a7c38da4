import type { PageBaseline, PageLimit } from '../page-fleet.js';
import { number, valueChip } from './chips.js';
import { h } from './dom.js';

/** Node names that one line can bear. */
const NAMED = 3;
const GAINS_SHOWN = 10;
const EXCLUDED_SHOWN = 50;

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
    h(
      'div',
      { class: 'card-head' },
      h('h3', {}, name),
      h('p', { class: 'soft' }, `${number(members)} members, ${number(excluded.length)} left out`),
    ),
    ...(heldBack === '' ? [] : [h('p', { class: 'notice' }, `Held back: ${heldBack}`)]),
    ...(limits.length === 0 ? [h('p', { class: 'notice' }, 'No node can take part.')] : []),
    h('ul', { class: 'limits' }, ...limits.map((limit) => limitLine(limit, open))),
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
  const changing = leavingOut.filter(({ gains: more, losesModels }) => more.length + losesModels.length > 0);
  if (changing.length === 0) return [];
  const items = changing.slice(0, GAINS_SHOWN).map(({ node, gains: more, losesModels }) => {
    const told = [...more, ...losesModels.map((model) => `no ${model} any more`)];
    return h(
      'li',
      {},
      'Without ',
      ...nodeButtons([node], open),
      `: ${told.join(', ').replaceAll('->', '→')}`,
    );
  });
  const rest = changing.length - items.length;
  return [h('ul', { class: 'gains' }, ...items, ...(rest > 0 ? [h('li', {}, `and ${rest} more`)] : []))];
}

function leftOut(excluded: PageBaseline['excluded'], open: (node: string) => void): HTMLElement[] {
  if (excluded.length === 0) return [];
  const items = excluded
    .slice(0, EXCLUDED_SHOWN)
    .map(({ name, reason }) => h('li', {}, ...nodeButtons([name], open), `: ${reason}`));
  const rest = excluded.length - items.length;
  return [
    h(
      'details',
      {},
      h('summary', {}, 'Left out, and why'),
      h('ul', {}, ...items, ...(rest > 0 ? [h('li', {}, `and ${rest} more`)] : [])),
    ),
  ];
}
