import { checkVmi, type VmiCheck } from '../../admission/check-vmi.js';
import { ExitStatus } from '../../errors.js';
import { renderNodes } from '../explanation-text.js';
import type { CliIo } from '../io.js';
import { isData, renderData, type TableFormat } from '../output.js';
import { printable } from '../../printable.js';
import { readClaims } from '../read-claims.js';
import { type FleetOptions, readFleet } from '../read-fleet.js';
import { readVmi } from '../vmi-input.js';
import { write } from '../write.js';

export interface CheckVmiOptions extends FleetOptions {
  readonly namespace: string;
  readonly resource: readonly string[];
  readonly output: TableFormat;
}

/**
 * Tells before a VMI is created what webhook, policies and nodes would make of it.
 * @returns findings where it would be refused or could start nowhere
 */
export async function runCheckVmi(file: string, options: CheckVmiOptions, io: CliIo): Promise<ExitStatus> {
  const { vmi, labels } = await readVmi(file, io);
  const view = await readFleet(options, io);
  const namespace = vmi.namespace === '' ? options.namespace : vmi.namespace;
  const about = { vmi: labels, namespace: view.namespaces.get(namespace) ?? {} };
  const claimed = await readClaims(vmi, namespace, options, io);
  const check = checkVmi(vmi, about, { ...view, resources: options.resource }, claimed);
  const { output } = options;
  const ok = check.findings.length === 0;
  const text = isData(output)
    ? await renderData(output, { vmi: `${namespace}/${vmi.name}`, ok, ...check })
    : render(`${namespace}/${vmi.name}`, check, output === 'wide');
  await write(io.stdout, text);
  return ok ? ExitStatus.ok : ExitStatus.findings;
}

function render(name: string, { findings, notes, explanation }: VmiCheck, wide: boolean): string {
  const nodes = explanation?.nodes ?? [];
  const fitting = nodes.filter(({ fits }) => fits !== 'no').length;
  const fits = nodes.length === 0 ? '' : `; ${fitting} of ${nodes.length} nodes could start it`;
  const sound = `Nothing found that would stop VMI ${printable(name)}${fits}.\n`;
  return [
    ...(findings.length === 0 ? [sound] : []),
    ...findings.map(
      ({ code, place, message, remedy }) =>
        `${code} at ${printable(place)}: ${printable(message)}\n  remedy: ${remedy}\n`,
    ),
    ...notes.map((note) => `note: ${printable(note)}\n`),
    ...(wide && nodes.length > 0 ? ['\n', renderNodes({ nodes }, true)] : []),
  ].join('');
}
