import { VsmmuError } from '../../errors.js';
import type { HostReport } from '../../host/report.js';
import { takeInventory } from '../inventory.js';
import { namingOf, type AgentConfig } from './agent-config.js';

/**
 * Refuses a configuration that does not do for the devices as they are.
 *
 * @throws VsmmuError RESOURCE_NAMES_COLLIDE, which only names of templates can show here
 */
export function refuseCollisions(host: HostReport, config: AgentConfig): void {
  const { notAdvertised } = takeInventory({ host, naming: namingOf(config) });
  const collided = notAdvertised.find(({ fault }) => fault === 'collision');
  if (collided === undefined) return;
  throw new VsmmuError('RESOURCE_NAMES_COLLIDE', `${collided.reason}.`, {
    place: collided.bdf,
    remedy: 'Rename one so that they differ in more than case, "/", "." and "_".',
  });
}
