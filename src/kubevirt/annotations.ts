/** Names that vsmmu and KubeVirt give to annotations of a VirtualMachineInstance. */

/** Values of the node's SMMUs and devices; written by the webhook only, read by the hook (docs/annotation.md). */
export const RESOLVED_ANNOTATION = 'vsmmu.io/resolved';

/** What a VMI requires of its node, and by that a wish to be served by vsmmu (docs/webhook.md). */
export const REQUIRE_ANNOTATION = 'vsmmu.io/require';

/** Explicit properties that a user asks for: "ril=off,ssidsize=16" (docs/rewrite.md). */
export const SET_ANNOTATION = 'vsmmu.io/set';

/** What the Baseline that a VMI is bound to says of its devices' ATS, by model; the webhook's (docs/policies.md). */
export const BASELINE_DEVICES_ANNOTATION = 'vsmmu.io/baseline-devices';

/** JSON array of sidecar containers (KubeVirt, pkg/hooks/hooks.go). */
export const HOOK_SIDECARS_ANNOTATION = 'hooks.kubevirt.io/hookSidecars';
