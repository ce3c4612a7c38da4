import type { NodeProfileSpec } from '../../cluster/node-profile-schema.js';
import { byId, fetchJson, h } from './dom.js';
import { evidence } from './node-evidence.js';
import { picture } from './node-picture.js';
import { machines } from './vm-view.js';

interface NodeDetails {
  readonly spec: NodeProfileSpec;
  readonly vms: readonly string[];
}

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
    const { spec, vms } = await fetchJson<NodeDetails>(`nodes/${encodeURIComponent(name)}.json`);
    const read = evidence(spec);
    body.replaceChildren(
      h('p', { class: 'soft' }, inWords(spec, vms.length)),
      picture(spec, (bdf) => read.show(bdf)),
      machines(vms),
      read.element,
    );
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    body.replaceChildren(h('p', { class: 'notice', role: 'alert' }, `Nothing is known of it: ${message}`));
  }
}

function inWords({ kernel, summary }: NodeProfileSpec, vms: number): string {
  const { smmus, devices, ats, pasid } = summary;
  return [
    `Linux ${kernel ?? 'of unknown version'}`,
    smmus === 1 ? '1 SMMU' : `${smmus} SMMUs`,
    devices === 1 ? '1 device' : `${devices} devices`,
    `${ats} with ATS`,
    `${pasid} with PASID`,
    vms === 1 ? '1 VM' : `${vms} VMs`,
  ].join(' · ');
}
