import { parseCpuset } from './cpuset.js';
import { attribute, childrenOf, descend, type XmlElement } from './element.js';
import { parseLibvirtNumber } from './libvirt-number.js';

/** Ids of the guest's NUMA cells; libvirt numbers those without an id by their place. */
export function guestCells(root: XmlElement): ReadonlySet<number> {
  const cells = childrenOf(descend(root, 'cpu', 'numa'), 'cell');
  return new Set(cells.map((cell, place) => parseLibvirtNumber(attribute(cell, 'id') ?? '', 10) ?? place));
}

/**
 * The guest cell whose memory `<numatune>` takes from this host node.
 * @returns undefined where no cell, or more than one, does
 */
export function guestCellOf(root: XmlElement, hostNode: number): number | undefined {
  const cells = guestCells(root);
  if (cells.size === 1) return [...cells][0];
  const matches = childrenOf(descend(root, 'numatune'), 'memnode')
    .filter((memnode) => parseCpuset(attribute(memnode, 'nodeset') ?? '')?.has(hostNode) === true)
    .map((memnode) => parseLibvirtNumber(attribute(memnode, 'cellid') ?? '', 10));
  const [cell] = matches;
  return matches.length === 1 && cell !== undefined && cells.has(cell) ? cell : undefined;
}
