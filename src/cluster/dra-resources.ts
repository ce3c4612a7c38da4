import type { ResourceType } from './resource.js';

/** Name of our DRA driver, and the domain of its attributes. */
export const DRA_DRIVER = 'vsmmu.io';

const type = (kind: string, plural: string, namespaced: boolean): ResourceType => ({
  group: 'resource.k8s.io',
  version: 'v1',
  kind,
  plural,
  namespaced,
});

export const RESOURCE_CLAIMS = type('ResourceClaim', 'resourceclaims', true);
export const RESOURCE_CLAIM_TEMPLATES = type('ResourceClaimTemplate', 'resourceclaimtemplates', true);
export const DEVICE_CLASSES = type('DeviceClass', 'deviceclasses', false);
