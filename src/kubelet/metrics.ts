import { type MetricDefinitions, Metrics as Registry } from '../metrics/metrics.js';

/** The metrics of the agent; docs/metrics.md is made from this table. */
export const METRICS = {
  vsmmu_devices: {
    type: 'gauge',
    labels: ['resource', 'health'],
    help: 'Devices advertised, by health ("healthy", "unhealthy").',
  },
  vsmmu_devices_not_advertised: { type: 'gauge', labels: [], help: 'PCI functions that no resource has.' },
  vsmmu_registered: {
    type: 'gauge',
    labels: ['resource'],
    help: '1 while the kubelet watches the devices of the resource.',
  },
  vsmmu_registrations_total: {
    type: 'counter',
    labels: ['resource'],
    help: 'Registrations that the kubelet took.',
  },
  vsmmu_registration_failures_total: {
    type: 'counter',
    labels: ['resource'],
    help: 'Attempts to register that failed.',
  },
  vsmmu_allocations_total: {
    type: 'counter',
    labels: ['resource', 'outcome'],
    help: 'Answers to Allocate ("ok", "refused").',
  },
  vsmmu_allocate_seconds: {
    type: 'histogram',
    labels: [],
    help: "Time of Allocate's own work.",
    // Allocate is to stay under 2 ms.
    buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1],
  },
  vsmmu_groups_claimed: { type: 'gauge', labels: [], help: 'IOMMU groups that are handed out.' },
  vsmmu_scans_total: {
    type: 'counter',
    labels: ['outcome'],
    help: 'Scans of the host ("ok", "failed").',
    from: [['ok'], ['failed']],
  },
  vsmmu_scan_seconds: { type: 'gauge', labels: [], help: 'Time that the last scan took.' },
  vsmmu_config_reloads_total: {
    type: 'counter',
    labels: ['outcome'],
    help: 'Reloads of the configuration ("ok", "refused").',
    from: [['ok'], ['refused']],
  },
  vsmmu_events_total: {
    type: 'counter',
    labels: ['outcome'],
    help: 'Kubernetes Events about the node ("ok", "failed", "dropped").',
  },
  vsmmu_dra_prepared_claims: { type: 'gauge', labels: [], help: 'ResourceClaims that are prepared.' },
  vsmmu_dra_requests_total: {
    type: 'counter',
    labels: ['method', 'outcome'],
    help: 'Claims in the kubelet\'s DRA calls ("prepare", "unprepare"; "ok", "failed").',
  },
  vsmmu_dra_slice_writes_total: {
    type: 'counter',
    labels: ['outcome'],
    help: 'Writes of ResourceSlices ("ok", "failed").',
  },
} as const satisfies MetricDefinitions;

export class Metrics extends Registry<typeof METRICS> {
  constructor() {
    super(METRICS);
  }
}
