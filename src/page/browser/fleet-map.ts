import type { PageFleet, PageNode } from '../page-fleet.js';
import { number } from './chips.js';
import { h } from './dom.js';
import { type NodeState, STALE_MARK, STATES, stateOf } from './node-state.js';

/** Up to so many nodes their names fit into the cells. */
const NAMED = 60;
const ROOMY = 300;

/**
 * Every node as a cell: the whole fleet in one look. It is a picture; the table below it says the same to a keyboard
 * and to a screen reader, node by node.
 */
export class FleetMap {
  readonly element: HTMLElement;
  readonly #cells: ReadonlyMap<string, HTMLElement>;

  constructor({ nodes, baselines }: PageFleet, open: (node: string) => void) {
    const limiting = new Set(
      baselines.flatMap(({ limits }) =>
        limits.flatMap(({ limitedBy }) => (limitedBy.length < nodes.length / 2 ? limitedBy : [])),
      ),
    );
    const named = nodes.length <= NAMED;
    this.#cells = new Map(nodes.map((node) => [node.name, cell(node, limiting.has(node.name), named)]));
    const size = named ? 'named' : nodes.length <= ROOMY ? 'roomy' : 'dense';
    const grid = h(
      'div',
      { class: `cells ${size}`, role: 'img', 'aria-label': inWords(nodes) },
      ...this.#cells.values(),
    );
    grid.addEventListener('click', ({ target }) => {
      const node = target instanceof HTMLElement ? target.dataset['node'] : undefined;
      if (node !== undefined) open(node);
    });
    this.element = h('div', {}, grid, legend(nodes, limiting.size));
  }

  /** What the filters leave out fades. */
  show(nodes: readonly PageNode[]): void {
    const shown = new Set(nodes.map(({ name }) => name));
    for (const [name, one] of this.#cells) one.classList.toggle('faded', !shown.has(name));
  }
}

function cell(node: PageNode, limiting: boolean, named: boolean): HTMLElement {
  const state = stateOf(node);
  const words = [
    node.name,
    STATES[state].words,
    ...(node.stale ? ['stale'] : []),
    ...(limiting ? ['limits a baseline'] : []),
  ].join(': ');
  const mark = node.stale ? STALE_MARK : state === 'yes' ? '' : STATES[state].mark;
  const classes = ['cell', state, ...(limiting ? ['limiting'] : []), ...(node.stale ? ['stale'] : [])];
  const text = named ? `${node.stale ? STALE_MARK : STATES[state].mark} ${node.name}` : mark;
  // The picture's words are its label; what is drawn on a cell is style.
  return h('span', { class: classes.join(' '), title: words, 'data-node': node.name, 'data-mark': text });
}

function counts(nodes: readonly PageNode[]): [NodeState, number][] {
  const states = nodes.map(stateOf);
  return (['yes', 'part', 'unknown', 'no'] as const).map((state) => [
    state,
    states.filter((one) => one === state).length,
  ]);
}

function inWords(nodes: readonly PageNode[]): string {
  const told = counts(nodes).filter(([, count]) => count > 0);
  return `${number(nodes.length)} nodes: ${told.map(([state, count]) => `${number(count)} ${STATES[state].words}`).join('; ')}`;
}

function legend(nodes: readonly PageNode[], limiting: number): HTMLElement {
  const line = (classes: string, mark: string, words: string, count: number) =>
    count === 0
      ? []
      : [
          h(
            'li',
            {},
            h('span', { class: `cell ${classes}`, 'aria-hidden': 'true', 'data-mark': mark }),
            ` ${words}: ${number(count)}`,
          ),
        ];
  return h(
    'ul',
    { class: 'key' },
    ...counts(nodes).flatMap(([state, count]) => line(state, STATES[state].mark, STATES[state].words, count)),
    ...line('stale', STALE_MARK, 'silent for too long', nodes.filter(({ stale }) => stale).length),
    ...line('limiting', '', 'limits a baseline', limiting),
  );
}
