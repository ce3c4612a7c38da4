// docs/labels.md: every name that vsmmu gives to labels, annotations, resources and taints, from the code's constants.

/** What each annotation is for; the names come from the code, and one without a word here is an error. */
const ANNOTATIONS = {
  RESOLVED_ANNOTATION: [
    'the webhook',
    '[values of the node](annotation.md), for the hook; nobody else may write it',
  ],
  REQUIRE_ANNOTATION: [
    'a user',
    '[features that its node must have](webhook.md#what-a-vmi-may-say): `ats, ssidsize>=16`',
  ],
  SET_ANNOTATION: [
    'a user, the webhook',
    'explicit values, kept and checked: `ril=off,ssidsize=16`; policies add theirs behind',
  ],
  BASELINE_DEVICES_ANNOTATION: [
    'the webhook',
    'what [that Baseline](policies.md#what-becomes-of-it) says of devices: `10de:2941=yes,15b3:a2dc=no`',
  ],
  BASELINE_ANNOTATION: ['a user', 'name of the [Baseline](fleet.md#baselines) whose values it gets'],
  HOOK_SIDECARS_ANNOTATION: ['the webhook, behind what a user wrote', "KubeVirt's list of sidecars"],
};

const LABELS = {
  accel: '`on`, `off`: can any SMMU of the node carry an accelerated vSMMU?',
  ats: '`on`, `off`: the least of its usable SMMUs',
  ril: '`on`, `off`, likewise',
  ssidsize: 'a number, likewise',
  oas: 'a number, likewise',
  cmdqv: '`on`, `off`, likewise',
  profile: '`current`, or `stale` when its agent has been silent for 35 minutes',
};

/** @param {{ annotations: Record<string, string>, labelKeys: string[], memberLabel: string, taint: string, domain: string, driver: string }} names */
export function labelsPage({ annotations, labelKeys, memberLabel, taint, domain, driver }) {
  same(Object.keys(annotations), Object.keys(ANNOTATIONS), 'annotations');
  same(
    labelKeys.map((key) => key.replace(/^.*\//, '')),
    Object.keys(LABELS),
    'labels of nodes',
  );
  return [
    '# Labels and annotations',
    '',
    'Generated from the constants in the code.',
    '',
    '## Annotations of a VirtualMachineInstance',
    '| name | written by | is |',
    '|---|---|---|',
    ...Object.entries(annotations).map(([key, name]) => `| \`${name}\` | ${ANNOTATIONS[key].join(' | ')} |`),
    '',
    '## Labels of nodes',
    'Written by the [controller](fleet.md#the-controller) only, so that no node speaks for another.',
    '',
    '| name | is |',
    '|---|---|',
    ...labelKeys.map((key) => `| \`${key}\` | ${LABELS[key.replace(/^.*\//, '')]} |`),
    `| \`${memberLabel}NAME\` | \`member\`: of the Baseline NAME |`,
    '',
    '## Resources, driver, taint',
    '| name | is |',
    '|---|---|',
    `| \`${domain}/VENDOR-DEVICE\`, and \`-ats\` behind it | extended resources, unless a [configuration](configuration.md) names them |`,
    `| \`${driver}\` | [DRA driver](dra.md) and its DeviceClass |`,
    `| \`${taint}\` | taint of a DRA device that may not be given out: \`unhealthy\`, \`in-use\` |`,
    '',
    '## Labels of the installation',
    "Every object of the chart has Kubernetes' recommended labels; `app.kubernetes.io/part-of=vsmmu` selects them all, and",
    '`app.kubernetes.io/component` is `agent`, `webhook`, `controller`, `crds`, `policy`, `cleanup`, `test`, `monitoring`, `dashboard` or `quota`.',
    '',
  ].join('\n');
}

function same(found, described, what) {
  const missing = found.filter((name) => !described.includes(name));
  const gone = described.filter((name) => !found.includes(name));
  if (missing.length + gone.length > 0)
    throw new Error(`labels-page.mjs: ${what}: no word about ${missing}, nothing called ${gone}`);
}
