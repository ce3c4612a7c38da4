import { compareBdf } from '../bdf.js';
import type { PassthroughDevice } from './domain-model.js';
import { childOf, descend } from './element.js';
import { guestCells } from './numa.js';
import type { Plan } from './plan.js';
import type { NewElement } from './render.js';

/** QEMU's MAX_NODES. */
const NODES_MAX = 128;

/**
 * Plans NUMA cells without memory or CPUs for devices that bring memory of their own into the guest (Grace GPUs:
 * eight each, one for every partition), and makes each device the Generic Initiator of its cells. A device that has
 * a nodeset keeps it.
 */
export function planInitiators(plan: Plan, devices: readonly PassthroughDevice[]): void {
  const count = plan.options.initiators;
  const wanting = devices
    .filter(({ element }) => element.local === 'hostdev' && childOf(element, 'acpi') === undefined)
    .sort((a, b) => (a.bdf === undefined || b.bdf === undefined ? 0 : compareBdf(a.bdf, b.bdf)));
  const [first] = wanting;
  if (count === 0 || first === undefined) return;
  const numa = descend(plan.model.root, 'cpu', 'numa');
  if (numa === undefined) {
    plan.refuse(
      first.element,
      'NODESET',
      'Generic Initiators are asked for, and the guest has no NUMA cells',
      'Give <cpu><numa> with the cells that have memory, or ask for no Generic Initiators.',
    );
    return;
  }
  let next = Math.max(-1, ...guestCells(plan.model.root)) + 1;
  if (next + count * wanting.length > NODES_MAX) {
    plan.refuse(
      numa,
      'NODESET',
      `${count} Generic Initiator nodes for each of ${wanting.length} devices make more than ${NODES_MAX} guest NUMA nodes`,
      'Ask for fewer with --initiators, or pass fewer devices.',
    );
    return;
  }
  const why = 'memory that a device brings along needs guest nodes of its own';
  const cells: NewElement[] = [];
  for (const device of wanting) {
    const ids = Array.from({ length: count }, (_, offset) => next + offset);
    next += count;
    cells.push(...ids.map(emptyCell));
    const nodeset = count === 1 ? String(ids[0]) : `${String(ids[0])}-${String(ids.at(-1))}`;
    const acpi: NewElement = { name: 'acpi', attributes: [['nodeset', nodeset]] };
    const what = `${device.alias} becomes the Generic Initiator of cells ${nodeset}`;
    plan.edits.push(plan.layout.append(device.element, [acpi], { what, why }));
  }
  const what = `<numa> gets ${cells.length} cells without memory`;
  plan.edits.push(plan.layout.append(numa, cells, { what, why }));
}

function emptyCell(id: number): NewElement {
  return {
    name: 'cell',
    attributes: [
      ['id', String(id)],
      ['memory', '0'],
      ['unit', 'KiB'],
    ],
  };
}
