import type { NodeProfileSpec } from '../../cluster/node-profile-schema.js';
import { renderMapSvg } from '../../map/svg-map.js';
import { MAP_STYLE } from '../../map/svg-style.js';
import { mapOfProfile } from '../node-map.js';
import { h } from './dom.js';

const drawingStyle = new CSSStyleSheet();
drawingStyle.replaceSync(MAP_STYLE);
document.adoptedStyleSheets.push(drawingStyle);

/**
 * The same drawing as `vsmmu map`, in which a device is a button; its text was escaped when it was made. The page
 * allows no inline style, so the drawing's comes as a sheet.
 */
export function picture(spec: NodeProfileSpec, onDevice: (bdf: string) => void): HTMLElement {
  const svg = renderMapSvg(mapOfProfile(spec), { heading: false }).replace(/<style>[^<]*<\/style>/, '');
  const parsed = new DOMParser().parseFromString(svg, 'image/svg+xml');
  const drawing = document.importNode(parsed.documentElement, true);
  // An image has no buttons in it.
  drawing.setAttribute('role', 'group');
  for (const device of drawing.querySelectorAll<SVGGElement>('g[data-device]')) {
    const bdf = device.dataset['device'] ?? '';
    device.setAttribute('role', 'button');
    device.setAttribute('tabindex', '0');
    device.setAttribute('aria-label', `Evidence of ${bdf}`);
    device.addEventListener('click', () => onDevice(bdf));
    device.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' && event.key !== ' ') return;
      event.preventDefault();
      onDevice(bdf);
    });
  }
  return h('div', { class: 'map' }, drawing);
}
