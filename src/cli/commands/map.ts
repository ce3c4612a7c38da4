import { ExitStatus } from '../../errors.js';
import { mapOfReport } from '../../map/map-report.js';
import { renderMapSvg } from '../../map/svg-map.js';
import { renderMapText } from '../../map/text-tree.js';
import { probe } from '../host.js';
import type { CliIo } from '../io.js';
import { write } from '../write.js';

export interface MapOptions {
  readonly host?: string | undefined;
  readonly output: 'svg' | 'text';
}

/** Draws one host's topology. What is unknown is part of the picture, not a failure. */
export async function runMap(options: MapOptions, io: CliIo): Promise<ExitStatus> {
  const map = mapOfReport(await probe(options.host, io));
  await write(io.stdout, options.output === 'svg' ? renderMapSvg(map) : renderMapText(map));
  return ExitStatus.ok;
}
