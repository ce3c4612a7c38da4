import type { PageNode, PageValues } from '../page-fleet.js';
import { chip, deviceBar } from './chips.js';
import { h } from './dom.js';

const PROPERTIES = ['ats', 'ril', 'ssidsize', 'oas', 'cmdqv'] as const;
const TITLES = ['Node', 'Devices by ATS', ...PROPERTIES, 'Ready', 'VMs', 'Baselines'];

/** The most that any node of the fleet has: what is less stands out. */
export type Best = Readonly<Record<keyof PageValues, number>>;

export function bestOf(nodes: readonly PageNode[]): Best {
  const most = (property: keyof PageValues) =>
    nodes.reduce((best, { values }) => Math.max(best, values === null ? 0 : rank(values[property])), 0);
  return {
    ats: most('ats'),
    ril: most('ril'),
    ssidsize: most('ssidsize'),
    oas: most('oas'),
    cmdqv: most('cmdqv'),
  };
}

function rank(value: string | number): number {
  return typeof value === 'number' ? value : value === 'on' ? 1 : 0;
}

/** A row a node: what the least of its SMMUs has, and what is less than elsewhere marked. */
export function nodeTable(nodes: readonly PageNode[], best: Best, open: (node: string) => void): HTMLElement {
  if (nodes.length === 0) return h('p', { class: 'soft' }, 'No node matches.');
  const head = TITLES.map((title) => h('th', { scope: 'col' }, title));
  const table = h(
    'table',
    {},
    h('thead', {}, h('tr', {}, ...head)),
    h('tbody', {}, ...nodes.map((node) => row(node, best))),
  );
  // One listener for a thousand rows.
  table.addEventListener('click', ({ target }) => {
    const node = target instanceof HTMLButtonElement ? target.dataset['node'] : undefined;
    if (node !== undefined) open(node);
  });
  return table;
}

function row(node: PageNode, best: Best): HTMLElement {
  const name = h('button', { type: 'button', 'data-node': node.name }, node.name);
  return h(
    'tr',
    {},
    h('th', { scope: 'row' }, name, ...(node.stale ? [' ', chip('unknown', 'stale')] : [])),
    h('td', {}, deviceBar(node.ats)),
    ...valueCells(node, best),
    h('td', {}, `${node.ready} of ${node.ats.length}`),
    h('td', {}, String(node.vms)),
    h('td', {}, node.baselines.join(', ') || '–'),
  );
}

function valueCells({ values, because }: PageNode, best: Best): HTMLElement[] {
  if (values === null)
    return [
      h(
        'td',
        { colspan: String(PROPERTIES.length) },
        chip('no', 'no accelerated vSMMU'),
        h('div', { class: 'soft' }, because),
      ),
    ];
  return PROPERTIES.map((property) => {
    const value = values[property];
    if (rank(value) >= best[property]) return h('td', { class: 'value' }, String(value));
    const less = h('span', { class: 'less', title: 'less than other nodes have' }, `▾ ${value}`);
    return h('td', { class: 'value' }, less);
  });
}
