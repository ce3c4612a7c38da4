import type { PageFleet, PageNode } from '../page-fleet.js';
import { baselineCards } from './baseline-cards.js';
import { number } from './chips.js';
import { byId, fetchJson } from './dom.js';
import { matches, offerBaselines, readFilter, setFilter } from './filters.js';
import { FleetMap } from './fleet-map.js';
import { openNode } from './node-panel.js';
import { type Best, bestOf, nodeTable } from './node-table.js';
import { attention, tiles } from './tiles.js';

const REFRESH_MS = 15_000;
const filters = byId('filters', HTMLFormElement);

let fleet: PageFleet = { nodes: [], baselines: [], policies: 0 };
let map: FleetMap | undefined;
let best: Best = bestOf([]);
let shown = '';
/** The node that the dialog is about; two changes of the address may be told as two events at once. */
let opened = '';

/** The node in the address is the one that is open, so that it can be sent to others and "back" closes it. */
function open(node: string): void {
  location.hash = `node=${encodeURIComponent(node)}`;
}

function followAddress(): void {
  const node = /^#node=(.+)$/.exec(location.hash)?.[1];
  const dialog = byId('node', HTMLDialogElement);
  if (node === undefined) {
    opened = '';
    dialog.close();
  } else if (!dialog.open || node !== opened) {
    opened = node;
    void openNode(decodeURIComponent(node));
  }
}

function renderOverview(): void {
  map = new FleetMap(fleet, open);
  best = bestOf(fleet.nodes);
  byId('tiles', HTMLDListElement).replaceChildren(...tiles(fleet));
  byId('attention', HTMLDivElement).replaceChildren(...attention(fleet, showOnly));
  byId('map', HTMLDivElement).replaceChildren(map.element);
  byId('baselines', HTMLDivElement).replaceChildren(...baselineCards(fleet.baselines, open));
}

function showOnly(filter: Readonly<Record<string, string>>): void {
  setFilter(filters, filter);
  renderNodes();
  byId('nodes-title', HTMLHeadingElement).focus();
}

function renderNodes(): void {
  const filter = readFilter(filters);
  const nodes = fleet.nodes.filter((node) => matches(node, filter));
  byId('nodes', HTMLDivElement).replaceChildren(nodeTable(nodes, best, open));
  map?.show(nodes);
  byId('shown', HTMLParagraphElement).textContent =
    nodes.length === fleet.nodes.length
      ? ''
      : `${number(nodes.length)} of ${number(fleet.nodes.length)} nodes match.`;
}

function summaryOf({ nodes, baselines, policies }: PageFleet): string {
  const devices = nodes.reduce((sum, { ats }) => sum + ats.length, 0);
  const count = (holds: (node: PageNode) => boolean) => nodes.filter(holds).length;
  return [
    plural(nodes.length, 'node'),
    `${number(count(({ values }) => values !== null))} with accelerated vSMMUs`,
    plural(devices, 'device'),
    `${number(count(({ stale }) => stale))} stale`,
    plural(baselines.length, 'baseline'),
    policies === 1 ? '1 policy' : `${policies} policies`,
  ].join(' · ');
}

function plural(count: number, thing: string): string {
  return `${number(count)} ${thing}${count === 1 ? '' : 's'}`;
}

async function refresh(): Promise<void> {
  const summary = byId('summary', HTMLParagraphElement);
  try {
    fleet = await fetchJson<PageFleet>('fleet.json');
  } catch {
    summary.textContent = 'The controller does not answer; what is shown may be old.';
    return;
  }
  summary.textContent = summaryOf(fleet);
  // What is the same stays as it is: focus and scrolling are a person's.
  const text = JSON.stringify(fleet);
  if (text === shown) return;
  shown = text;
  const focused = document.activeElement?.textContent;
  offerBaselines(fleet.baselines);
  renderOverview();
  renderNodes();
  if (focused !== undefined && document.activeElement === document.body) refocus(focused);
  document.body.dataset['ready'] = 'true';
}

function refocus(text: string): void {
  for (const button of document.querySelectorAll('main button'))
    if (button instanceof HTMLElement && button.textContent === text) {
      button.focus();
      return;
    }
}

filters.addEventListener('input', renderNodes);
filters.addEventListener('submit', (event) => event.preventDefault());
// The form's fields are empty only after this event.
filters.addEventListener('reset', () => setTimeout(renderNodes));
addEventListener('hashchange', followAddress);
byId('node', HTMLDialogElement).addEventListener('close', () => {
  if (location.hash !== '') history.pushState(null, '', location.pathname + location.search);
});
await refresh();
followAddress();
setInterval(() => void refresh(), REFRESH_MS);
