import type { Naming } from '../inventory.js';
import type { IommufdPolicy } from '../allocation.js';
import { DEFAULT_DOMAIN, parseResourceName } from '../resource-name.js';
import { renderName } from './name-template.js';
import { matches, type Selector } from './selector.js';

export interface ResourceRule {
  /** A name, or a template: "example.com/gpu{-ats}{-pasid}". */
  readonly name: string;
  /** Any of them will do; none: every device. */
  readonly select: readonly Selector[];
  /** Does a bound on an unknown number hold? */
  readonly unknownMatches: boolean;
}

/** What `vsmmu agent --config` reads; docs/device-plugin.md describes the file. */
export interface AgentConfig {
  /** The first that matches names a device. */
  readonly resources: readonly ResourceRule[];
  /** Name for devices that no rule matches; undefined: they are not advertised. */
  readonly otherwise: string | undefined;
  readonly iommufd: IommufdPolicy | undefined;
  readonly cdi: boolean | undefined;
}

/** Serves without a file: vendor and device id, "-ats" where effective ATS is known. */
export const DEFAULT_TEMPLATE = `${DEFAULT_DOMAIN}/{vendor}-{device}{-ats}`;

export const DEFAULT_CONFIG: AgentConfig = {
  resources: [],
  otherwise: DEFAULT_TEMPLATE,
  iommufd: undefined,
  cdi: undefined,
};

/** @returns the naming that a configuration describes. */
export function namingOf(config: AgentConfig): Naming {
  return (device, host) => {
    const rule = config.resources.find(
      ({ select, unknownMatches }) =>
        select.length === 0 || select.some((selector) => matches(selector, device, host, unknownMatches)),
    );
    const template = rule?.name ?? config.otherwise;
    if (template === undefined) return { reason: 'no resource of the configuration selects it' };
    const rendered = renderName(template, device, host);
    return 'reason' in rendered
      ? { ...rendered, fault: 'name' }
      : { resource: parseResourceName(rendered.name) };
  };
}
