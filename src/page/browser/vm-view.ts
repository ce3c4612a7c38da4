import type { PageDomain, PageVm } from '../page-fleet.js';
import { fetchJson, h } from './dom.js';

/** The node's running VMs; a click shows what decides about one and what the hook makes of its domain. */
export function machines(vms: readonly string[]): HTMLElement {
  const shown = h('div', { 'aria-live': 'polite' });
  const show = async (key: string) => {
    const [namespace = '', name = ''] = key.split('/');
    try {
      const path = `vms/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}.json`;
      shown.replaceChildren(...machine(await fetchJson<PageVm>(path)));
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      shown.replaceChildren(h('p', { class: 'notice' }, message));
    }
  };
  const buttons = vms.map((key) =>
    h('li', {}, h('button', { type: 'button', class: 'plain', onclick: () => void show(key) }, key)),
  );
  const list =
    vms.length === 0 ? h('p', { class: 'soft' }, 'None.') : h('ul', { class: 'row-of-buttons' }, ...buttons);
  return h('section', {}, h('h3', {}, 'Running VMs with devices'), list, shown);
}

function machine({ key, node, served, settings, domain }: PageVm): HTMLElement[] {
  const rows = settings.map(({ name, value, from }) =>
    h('tr', {}, h('th', { scope: 'row' }, name), h('td', {}, value), h('td', {}, from)),
  );
  const head = ['Setting', 'Value', 'From'].map((title) => h('th', { scope: 'col' }, title));
  return [
    h('h3', {}, key),
    h('p', {}, served),
    h('table', { class: 'settings' }, h('thead', {}, h('tr', {}, ...head)), h('tbody', {}, ...rows)),
    ...(domain === null ? [] : change(domain, node)),
  ];
}

function change({ devices, missing, lines, errors }: PageDomain, node: string): HTMLElement[] {
  const lacking = missing === 0 ? '' : ` The node has ${missing} too few.`;
  const about =
    `The domain as KubeVirt makes it, and as the hook would hand it on by the values of ${node}. The API tells ` +
    `neither a running VM's XML nor its devices: ${devices.join(', ')} stand for them.${lacking}`;
  return [
    h('h3', {}, 'Its devices and vSMMUs in the domain: before and after'),
    h('p', { class: 'soft' }, about),
    ...errors.map((error) => h('p', { class: 'notice' }, `The hook would refuse it: ${error}`)),
    ...(lines.length === 0 ? [] : [difference(lines)]),
  ];
}

/** Lines that go and lines that come; screen readers say "deletion" and "insertion". */
function difference(lines: PageDomain['lines']): HTMLElement {
  const drawn = lines.map(({ kind, text }) => {
    if (kind === 'keep') return h('span', {}, `  ${text}\n`);
    return kind === 'add' ? h('ins', {}, `+ ${text}`) : h('del', {}, `- ${text}`);
  });
  return h('pre', { tabindex: '0', 'aria-label': 'Difference of the domain' }, ...drawn);
}
