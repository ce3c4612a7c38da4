import type { PageFleet, PageNode } from '../page-fleet.js';
import { deviceBar, number } from './chips.js';
import { h } from './dom.js';
import { STALE_MARK, STATES } from './node-state.js';

/** Sets filters that show just these nodes. */
export type ShowOnly = (filter: Readonly<Record<string, string>>) => void;

/** The fleet in four figures. */
export function tiles({ nodes, baselines, policies }: PageFleet): HTMLElement[] {
  const ats = nodes.flatMap((node) => node.ats);
  const devices = ats.length;
  const ready = sum(nodes, (node) => node.ready);
  const accelerated = nodes.filter(({ values }) => values !== null).length;
  const held = baselines.filter(({ heldBack }) => heldBack !== '').length;
  return [
    tile('Nodes', nodes.length, `${number(accelerated)} can run accelerated vSMMUs`),
    tile('Devices', devices, `${number(ready)} ready for passthrough`, devices === 0 ? [] : [deviceBar(ats)]),
    tile(
      'Running VMs with devices',
      sum(nodes, ({ vms }) => vms),
      'on nodes with a profile',
    ),
    tile(
      baselines.length === 1 ? 'Baseline' : 'Baselines',
      baselines.length,
      [
        held === 0 ? 'none held back' : `${held} held back`,
        policies === 1 ? '1 policy' : `${policies} policies`,
      ].join(' · '),
    ),
  ];
}

function tile(title: string, count: number, words: string, more: readonly HTMLElement[] = []): HTMLElement {
  return h(
    'div',
    { class: 'tile' },
    h('dt', {}, title),
    h('dd', {}, h('strong', {}, number(count)), h('span', { class: 'soft' }, words), ...more),
  );
}

/** What wants a person's look; each leads to its nodes. Empty where nothing does. */
export function attention({ nodes, baselines }: PageFleet, showOnly: ShowOnly): HTMLElement[] {
  const of = (holds: (node: PageNode) => boolean) => nodes.filter(holds).length;
  const wants = (mark: string, count: number, words: string, filter: Readonly<Record<string, string>>) =>
    count === 0
      ? []
      : [
          h(
            'button',
            { type: 'button', class: 'plain', 'data-mark': mark, onclick: () => showOnly(filter) },
            `${number(count)} ${words}`,
          ),
        ];
  return [
    ...baselines
      .filter(({ heldBack }) => heldBack !== '')
      .map(({ name, heldBack }) => h('p', { class: 'notice' }, `Baseline ${name} is held back: ${heldBack}`)),
    ...wants(
      STATES.no.mark,
      of(({ values }) => values === null),
      'without accelerated vSMMUs',
      { accel: 'no' },
    ),
    ...wants(
      STATES.unknown.mark,
      of(({ ats }) => ats.includes('unknown')),
      'with devices of unknown ATS',
      { ats: 'unknown' },
    ),
    ...wants(
      STALE_MARK,
      of(({ stale }) => stale),
      'silent for too long',
      { stale: 'on' },
    ),
  ];
}

function sum(nodes: readonly PageNode[], of: (node: PageNode) => number): number {
  return nodes.reduce((total, node) => total + of(node), 0);
}
