import type { NodeProfileSpec } from '../../cluster/node-profile-schema.js';
import { renderMapSvg } from '../../map/svg-map.js';
import { MAP_STYLE } from '../../map/svg-style.js';
import { mapOfProfile } from '../node-map.js';
import type { PageVm } from '../page-fleet.js';
import { byId, fetchJson, h } from './dom.js';

interface NodeDetails {
  readonly spec: NodeProfileSpec;
  readonly vms: readonly string[];
}

const drawingStyle = new CSSStyleSheet();
drawingStyle.replaceSync(MAP_STYLE);
document.adoptedStyleSheets.push(drawingStyle);

/** Opens the dialog about one node: picture, evidence, VMs. Esc and the button close it. */
export async function openNode(name: string): Promise<void> {
  const dialog = byId('node', HTMLDialogElement);
  const body = h('div', {}, h('p', { role: 'status' }, 'Loading…'));
  const shut = h('button', { type: 'button', class: 'plain', onclick: () => dialog.close() }, 'Close');
  dialog.replaceChildren(h('div', { class: 'bar' }, h('h2', { id: 'node-title' }, name), shut), body);
  // The focus was on what has just been replaced.
  if (dialog.open) shut.focus();
  else dialog.showModal();
  try {
    const details = await fetchJson<NodeDetails>(`nodes/${encodeURIComponent(name)}.json`);
    body.replaceChildren(picture(details.spec), evidence(details.spec), machines(details.vms));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    body.replaceChildren(h('p', { class: 'notice', role: 'alert' }, `Nothing is known of it: ${message}`));
  }
}

/**
 * The same drawing as `vsmmu map`; its text was escaped when it was made. The page allows no inline style, so the
 * drawing's comes as a sheet.
 */
function picture(spec: NodeProfileSpec): HTMLElement {
  const svg = renderMapSvg(mapOfProfile(spec)).replace(/<style>[^<]*<\/style>/, '');
  const parsed = new DOMParser().parseFromString(svg, 'image/svg+xml');
  return h('div', { class: 'map' }, document.importNode(parsed.documentElement, true));
}

function evidence({ smmus, devices }: NodeProfileSpec): HTMLElement {
  const ofSmmus = smmus.map(({ name, evidence: read = [], obstacles = [] }) =>
    about(name, [...read, ...obstacles.map(({ message, remedy }) => `${message}. ${remedy}`)]),
  );
  const ofDevices = devices.map((device) =>
    about(`${device.bdf}: ATS ${device.ats}`, [
      `the kernel says: ${device.kernelAts}`,
      `ATS capability in config space: ${device.atsCapability ?? 'not readable'}`,
      `PASID bits for a guest: ${device.pasidBits ?? 'unknown'}`,
      device.ready ? 'ready for passthrough' : 'not ready for passthrough',
      ...(device.because === undefined ? [] : [device.because]),
    ]),
  );
  return h('section', {}, h('h3', {}, 'Evidence'), ...ofSmmus, ...ofDevices);
}

function about(title: string, lines: readonly string[]): HTMLElement {
  const told = lines.length === 0 ? ['nothing was read'] : lines;
  return h('details', {}, h('summary', {}, title), h('ul', {}, ...told.map((line) => h('li', {}, line))));
}

function machines(vms: readonly string[]): HTMLElement {
  const shown = h('div', { 'aria-live': 'polite' });
  const show = async (key: string) => {
    const [namespace = '', name = ''] = key.split('/');
    try {
      const path = `vms/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}.json`;
      shown.replaceChildren(...machine(await fetchJson<PageVm>(path)));
    } catch (error) {
      shown.replaceChildren(
        h('p', { class: 'notice' }, error instanceof Error ? error.message : String(error)),
      );
    }
  };
  const buttons = vms.map((key) =>
    h('li', {}, h('button', { type: 'button', onclick: () => void show(key) }, key)),
  );
  const list = vms.length === 0 ? h('p', { class: 'soft' }, 'None.') : h('ul', {}, ...buttons);
  return h('section', {}, h('h3', {}, 'Running VMs with devices'), list, shown);
}

function machine({ key, served, settings, smmus }: PageVm): HTMLElement[] {
  const rows = settings.map(({ name, value, from }) =>
    h('tr', {}, h('th', { scope: 'row' }, name), h('td', {}, value), h('td', {}, from)),
  );
  const head = ['Setting', 'Value', 'From'].map((title) => h('th', { scope: 'col' }, title));
  return [
    h('h3', {}, key),
    h('p', {}, served),
    h('table', {}, h('thead', {}, h('tr', {}, ...head)), h('tbody', {}, ...rows)),
    ...smmus.flatMap(({ smmu, before, after, errors }) => [
      h('h3', {}, `Its vSMMU in front of ${smmu}: before and after`),
      ...errors.map((error) => h('p', { class: 'notice' }, error)),
      ...(after === '' ? [] : [difference(before, after)]),
    ]),
  ];
}

/** Lines that go and lines that come; screen readers say "deletion" and "insertion". */
function difference(before: string, after: string): HTMLElement {
  const [old, now] = [before.split('\n'), after.split('\n')];
  const lines = [
    ...old.map((line) => (now.includes(line) ? undefined : h('del', {}, `- ${line}`))),
    ...now.map((line) => (old.includes(line) ? h('span', {}, `  ${line}\n`) : h('ins', {}, `+ ${line}`))),
  ].filter((line) => line !== undefined);
  const [first = '', ...rest] = now;
  const kept = lines.find((line) => line.textContent.trim() === first);
  const ordered =
    kept === undefined || rest.length === 0 ? lines : [kept, ...lines.filter((line) => line !== kept)];
  return h('pre', { tabindex: '0', 'aria-label': 'Difference' }, ...ordered);
}
