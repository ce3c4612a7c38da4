import { attribute } from './element.js';
import type { Plan } from './plan.js';

/**
 * Says mode='subsystem' on PCI hostdevs that leave it out, as KubeVirt's do. It is libvirt's default, but KubeVirt's
 * plugin pipeline refuses a domain without it (libvirtxml: "Missing 'mode' attribute on domain hostdev"), so it is
 * written where the target foresees that pipeline.
 */
export function planSubsystemMode(plan: Plan): void {
  if (plan.options.target === 'native') return;
  for (const { element } of plan.model.passthrough) {
    if (element.local !== 'hostdev' || attribute(element, 'mode') !== undefined) continue;
    const what = "<hostdev> gets mode='subsystem'";
    const why = "libvirt's default, which KubeVirt's plugin pipeline insists on";
    plan.edits.push(plan.layout.addAttribute(element, undefined, 'mode', 'subsystem', { what, why }));
  }
}
