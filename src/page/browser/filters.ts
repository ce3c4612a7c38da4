import type { PageBaseline, PageNode } from '../page-fleet.js';
import { byId, h } from './dom.js';

/** What the form asks for. */
export interface Filter {
  readonly name: string;
  readonly ats: string;
  readonly accel: string;
  readonly baseline: string;
  readonly stale: boolean;
}

export function readFilter(form: HTMLFormElement): Filter {
  const data = new FormData(form);
  const text = (name: string) => {
    const value = data.get(name);
    return typeof value === 'string' ? value : '';
  };
  return {
    name: text('name').trim().toLowerCase(),
    ats: text('ats'),
    accel: text('accel'),
    baseline: text('baseline'),
    stale: data.has('stale'),
  };
}

/** Empties the form, and fills in these fields. */
export function setFilter(form: HTMLFormElement, fields: Readonly<Record<string, string>>): void {
  for (const control of form.elements) {
    if (control instanceof HTMLInputElement && control.type === 'checkbox')
      control.checked = fields[control.name] !== undefined;
    else if (control instanceof HTMLInputElement || control instanceof HTMLSelectElement)
      control.value = fields[control.name] ?? '';
  }
}

export function matches(node: PageNode, filter: Filter): boolean {
  return (
    node.name.includes(filter.name) &&
    matchesAts(node, filter.ats) &&
    (filter.accel === '' || (filter.accel === 'yes') === (node.values !== null)) &&
    (filter.baseline === '' || node.baselines.includes(filter.baseline)) &&
    (!filter.stale || node.stale)
  );
}

function matchesAts({ ats }: PageNode, wanted: string): boolean {
  if (wanted === 'yes') return ats.includes('yes');
  if (wanted === 'no') return !ats.includes('yes') && !ats.includes('unknown');
  return wanted !== 'unknown' || ats.includes('unknown');
}

/** Offers the baselines there are, and keeps the choice. */
export function offerBaselines(baselines: readonly PageBaseline[]): void {
  const form = byId('filters', HTMLFormElement);
  const select = form.elements.namedItem('baseline');
  if (!(select instanceof HTMLSelectElement)) return;
  const names = baselines.map(({ name }) => name);
  if (
    [...select.options]
      .slice(1)
      .map(({ value }) => value)
      .join('\n') === names.join('\n')
  )
    return;
  const chosen = select.value;
  select.replaceChildren(
    h('option', { value: '' }, 'any'),
    ...names.map((name) => h('option', { value: name }, name)),
  );
  select.value = names.includes(chosen) ? chosen : '';
}
