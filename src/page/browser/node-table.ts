import type { PageNode } from '../page-fleet.js';
import { chip, deviceBar, valueChip } from './chips.js';
import { h } from './dom.js';

const TITLES = ['Node', 'Devices by ATS', 'Least of its SMMUs', 'Ready', 'VMs', 'Baselines'];

/** A row a node. Rows out of sight cost the browser nothing (content-visibility in page.css). */
export function nodeTable(nodes: readonly PageNode[], open: (node: string) => void): HTMLElement {
  if (nodes.length === 0) return h('p', { class: 'soft' }, 'No node matches.');
  const head = TITLES.map((title) => h('th', { scope: 'col' }, title));
  return h(
    'table',
    {},
    h('thead', {}, h('tr', {}, ...head)),
    h('tbody', {}, ...nodes.map((node) => row(node, open))),
  );
}

function row(node: PageNode, open: (node: string) => void): HTMLElement {
  const name = h('button', { type: 'button', onclick: () => open(node.name) }, node.name);
  return h(
    'tr',
    {},
    h('th', { scope: 'row' }, name, ...(node.stale ? [' ', chip('unknown', 'stale')] : [])),
    h('td', {}, deviceBar(node.ats)),
    h('td', {}, ...values(node)),
    h('td', {}, `${node.ready} of ${node.ats.length}`),
    h('td', {}, String(node.vms)),
    h('td', {}, node.baselines.join(', ') || '–'),
  );
}

function values({ values: known, because }: PageNode): (HTMLElement | string)[] {
  if (known === null) return [chip('no', 'no accelerated vSMMU'), h('div', { class: 'soft' }, because)];
  const { ats, ril, ssidsize, oas, cmdqv } = known;
  return (
    [
      ['ats', ats],
      ['ril', ril],
      ['ssidsize', ssidsize],
      ['oas', oas],
      ['cmdqv', cmdqv],
    ] as const
  ).flatMap(([property, value]) => [valueChip(property, value), ' ']);
}
