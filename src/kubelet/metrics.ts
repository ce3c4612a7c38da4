/** The metrics of the agent; docs/device-plugin.md repeats this table and a test compares them. */
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
  vsmmu_allocate_seconds: { type: 'histogram', labels: [], help: "Time of Allocate's own work." },
  vsmmu_groups_claimed: { type: 'gauge', labels: [], help: 'IOMMU groups that are handed out.' },
  vsmmu_scans_total: { type: 'counter', labels: ['outcome'], help: 'Scans of the host ("ok", "failed").' },
  vsmmu_scan_seconds: { type: 'gauge', labels: [], help: 'Time that the last scan took.' },
  vsmmu_config_reloads_total: {
    type: 'counter',
    labels: ['outcome'],
    help: 'Reloads of the configuration ("ok", "refused").',
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
} as const satisfies Record<
  string,
  { type: 'gauge' | 'counter' | 'histogram'; labels: readonly string[]; help: string }
>;

export type MetricName = keyof typeof METRICS;
type LabelsOf<N extends MetricName> = Readonly<Record<(typeof METRICS)[N]['labels'][number], string>>;

/** Upper bounds of the histogram's buckets, seconds: Allocate is to stay under 2 ms. */
const BUCKETS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1];

interface Histogram {
  readonly counts: number[];
  sum: number;
  count: number;
}

/**
 * Counters and gauges in Prometheus' text format 0.0.4. Label values come from the configuration and from fixed
 * words, never from pods, so that their number is bounded.
 */
export class Metrics {
  readonly #values = new Map<MetricName, Map<string, number>>();
  readonly #histograms = new Map<MetricName, Histogram>();

  add<N extends MetricName>(name: N, labels: LabelsOf<N>, amount = 1): void {
    const series = this.#series(name);
    const key = labelsText(labels);
    series.set(key, (series.get(key) ?? 0) + amount);
  }

  set<N extends MetricName>(name: N, labels: LabelsOf<N>, value: number): void {
    this.#series(name).set(labelsText(labels), value);
  }

  observe(name: MetricName, value: number): void {
    const histogram = this.#histograms.get(name) ?? { counts: BUCKETS.map(() => 0), sum: 0, count: 0 };
    this.#histograms.set(name, histogram);
    for (const [index, bound] of BUCKETS.entries()) {
      if (value <= bound) histogram.counts[index] = (histogram.counts[index] ?? 0) + 1;
    }
    histogram.sum += value;
    histogram.count++;
  }

  /** Forgets the series of a gauge, before they are all set anew. */
  clear(name: MetricName): void {
    this.#values.delete(name);
  }

  render(): string {
    const lines: string[] = [];
    for (const [name, { type, help }] of Object.entries(METRICS)) {
      if (!isMetric(name)) continue;
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
      for (const [labels, value] of this.#values.get(name) ?? []) lines.push(`${name}${labels} ${value}`);
      lines.push(...histogramLines(name, this.#histograms.get(name)));
    }
    return `${lines.join('\n')}\n`;
  }

  #series(name: MetricName): Map<string, number> {
    const series = this.#values.get(name) ?? new Map<string, number>();
    this.#values.set(name, series);
    return series;
  }
}

function histogramLines(name: string, histogram: Histogram | undefined): string[] {
  if (histogram === undefined) return [];
  return [
    ...BUCKETS.map((bound, index) => `${name}_bucket{le="${bound}"} ${histogram.counts[index] ?? 0}`),
    `${name}_bucket{le="+Inf"} ${histogram.count}`,
    `${name}_sum ${histogram.sum}`,
    `${name}_count ${histogram.count}`,
  ];
}

function isMetric(name: string): name is MetricName {
  return Object.hasOwn(METRICS, name);
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(
    ([key, value]) => `${key}="${value.replace(/[\\"\n]/g, escaped)}"`,
  );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escaped(character: string): string {
  return character === '\n' ? '\\n' : `\\${character}`;
}
