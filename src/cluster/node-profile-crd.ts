import * as z from 'zod';

import { NODE_PROFILES } from './node-profile.js';
import { nodeProfileSpec, nodeProfileStatus } from './node-profile-schema.js';

type Json = Readonly<Record<string, unknown>>;

/** Rules that reach over several fields, in CEL. `self` is the whole object or the SMMU. */
const OBJECT_RULES = [
  { rule: 'self.spec.node == self.metadata.name', message: 'spec.node must be the name of the object' },
  {
    rule: 'self.spec.devices.all(d, self.spec.smmus.exists(s, s.name == d.smmu))',
    message: 'every device must name one of the SMMUs',
  },
  {
    rule: 'self.spec.summary.smmus == size(self.spec.smmus) && self.spec.summary.devices == size(self.spec.devices)',
    message: 'the summary must count what is listed',
  },
];
const SMMU_RULES = [
  { rule: "self.accel != 'on' || has(self.limits)", message: 'accel: on needs limits' },
  {
    rule: "self.accel != 'impossible' || (has(self.obstacles) && size(self.obstacles) > 0)",
    message: 'accel: impossible needs an obstacle',
  },
];

const column = (name: string, type: string, jsonPath: string, description: string, priority = 0) => ({
  name,
  type,
  jsonPath,
  description,
  ...(priority === 0 ? {} : { priority }),
});

/** The CustomResourceDefinition; `npm run generate:crds` writes it into the chart. */
export function nodeProfileCrd(): Json {
  const { group, version, kind, plural } = NODE_PROFILES;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Cluster',
      names: { kind, listKind: `${kind}List`, plural, singular: kind.toLowerCase(), shortNames: ['nprof'] },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: [
            column('SMMUs', 'integer', '.spec.summary.smmus', 'SMMUs of the node'),
            column('Accel', 'integer', '.spec.summary.accel', 'SMMUs that an accelerated vSMMU can use'),
            column('Devices', 'integer', '.spec.summary.devices', 'devices bound to a VFIO driver'),
            column('ATS', 'integer', '.spec.summary.ats', 'devices with effective ATS'),
            column('PASID', 'integer', '.spec.summary.pasid', 'devices with PASID'),
            column(
              'Complete',
              'string',
              '.status.conditions[?(@.type=="Complete")].status',
              'everything could be read',
            ),
            column('Renewed', 'date', '.status.renewedAt', 'when the agent last found it so'),
            column('Kernel', 'string', '.spec.kernel', 'kernel release', 1),
          ],
          schema: { openAPIV3Schema: objectSchema() },
        },
      ],
    },
  };
}

function objectSchema(): Json {
  return {
    type: 'object',
    description:
      "What a node's SMMUs and passed-through devices can do; written by the node's own agent, read by webhook and controller.",
    required: ['spec'],
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object' },
      spec: structural(z.toJSONSchema(nodeProfileSpec)),
      status: structural(z.toJSONSchema(nodeProfileStatus)),
    },
    'x-kubernetes-validations': OBJECT_RULES,
  };
}

/**
 * A JSON schema as Kubernetes wants it: no $schema, no additionalProperties beside properties. Lists are replaced as
 * a whole (atomic): with a thousand devices, ownership of single items would be larger than the items.
 */
function structural(schema: unknown): Json {
  if (!isJson(schema)) throw new TypeError('not a schema');
  const { properties, items, ...rest } = schema;
  const converted: Record<string, unknown> = { ...rest };
  delete converted['$schema'];
  delete converted['additionalProperties'];
  if (isJson(properties)) {
    converted['properties'] = Object.fromEntries(
      Object.entries(properties).map(([name, property]) => [name, structural(property)]),
    );
    if ('obstacles' in properties) converted['x-kubernetes-validations'] = SMMU_RULES;
  }
  if (items !== undefined) {
    converted['items'] = structural(items);
    converted['x-kubernetes-list-type'] = 'atomic';
  }
  return converted;
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
