import type { NodeProfileSpec } from '../../cluster/node-profile-schema.js';
import { h } from './dom.js';

export interface Evidence {
  readonly element: HTMLElement;
  /** Opens what is known of a device and leads there. */
  show(bdf: string): void;
}

/** What each answer was read from: SMMUs, then devices. */
export function evidence({ smmus, devices }: NodeProfileSpec): Evidence {
  const ofSmmus = smmus.map(({ name, evidence: read = [], obstacles = [] }) =>
    about(name, [...read, ...obstacles.map(({ message, remedy }) => `${message}. ${remedy}`)]),
  );
  const ofDevices = new Map(
    devices.map((device) => [
      device.bdf,
      about(`${device.bdf}: ATS ${device.ats}`, [
        `the kernel says: ${device.kernelAts}`,
        `ATS capability in config space: ${device.atsCapability ?? 'not readable'}`,
        `PASID bits for a guest: ${device.pasidBits ?? 'unknown'}`,
        device.ready ? 'ready for passthrough' : 'not ready for passthrough',
        ...(device.because === undefined ? [] : [device.because]),
      ]),
    ]),
  );
  const hint = h('p', { class: 'soft' }, 'A click on a device in the picture opens its part.');
  return {
    element: h('section', {}, h('h3', {}, 'Evidence'), hint, ...ofSmmus, ...ofDevices.values()),
    show: (bdf) => {
      const details = ofDevices.get(bdf);
      if (details === undefined) return;
      details.open = true;
      details.querySelector('summary')?.focus();
      details.scrollIntoView({ block: 'center' });
    },
  };
}

function about(title: string, lines: readonly string[]): HTMLDetailsElement {
  const told = lines.length === 0 ? ['nothing was read'] : lines;
  return h('details', {}, h('summary', {}, title), h('ul', {}, ...told.map((line) => h('li', {}, line))));
}
