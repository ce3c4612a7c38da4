/** A metric as its reference page has it. */
export interface MetricDefinition {
  readonly type: 'gauge' | 'counter' | 'histogram';
  readonly labels: readonly string[];
  readonly help: string;
  /** Of a histogram: upper bounds, ascending, in the metric's unit. */
  readonly buckets?: readonly number[];
  /**
   * Label values that are there with 0 from the start. What an alert counts must be: Prometheus' increase() does not see
   * the first event of a series that appears with it. In the order of `labels`.
   */
  readonly from?: readonly (readonly string[])[];
}

export type MetricDefinitions = Readonly<Record<string, MetricDefinition>>;
type NameOf<D extends MetricDefinitions> = keyof D & string;
type LabelsOf<D extends MetricDefinitions, N extends NameOf<D>> = Readonly<
  Record<D[N]['labels'][number], string>
>;

interface Histogram {
  /** One a bucket, not cumulative; the last counts what is above all bounds. */
  readonly counts: number[];
  sum: number;
}

/**
 * Counters, gauges and histograms in Prometheus' text format 0.0.4. Label values come from the configuration and from
 * fixed words, never from pods or VMs, so that their number is bounded.
 */
export class Metrics<D extends MetricDefinitions> {
  readonly #definitions: D;
  readonly #values = new Map<string, Map<string, number>>();
  readonly #histograms = new Map<string, Map<string, Histogram>>();

  constructor(definitions: D) {
    this.#definitions = definitions;
    for (const [name, { type, labels, from = [] }] of Object.entries(definitions))
      for (const values of from) {
        const key = labelsText(
          Object.fromEntries(labels.map((label, index) => [label, values[index] ?? ''])),
        );
        if (type === 'histogram') seriesOf(this.#histograms, name).set(key, this.#emptyHistogram(name));
        else seriesOf(this.#values, name).set(key, 0);
      }
  }

  add<N extends NameOf<D>>(name: N, labels: LabelsOf<D, N>, amount = 1): void {
    const series = seriesOf(this.#values, name);
    const key = labelsText(labels);
    series.set(key, (series.get(key) ?? 0) + amount);
  }

  set<N extends NameOf<D>>(name: N, labels: LabelsOf<D, N>, value: number): void {
    seriesOf(this.#values, name).set(labelsText(labels), value);
  }

  observe<N extends NameOf<D>>(name: N, labels: LabelsOf<D, N>, value: number): void {
    const series = seriesOf(this.#histograms, name);
    const key = labelsText(labels);
    const bounds = this.#boundsOf(name);
    const histogram = series.get(key) ?? this.#emptyHistogram(name);
    series.set(key, histogram);
    const above = bounds.findIndex((bound) => value <= bound);
    const index = above === -1 ? bounds.length : above;
    histogram.counts[index] = (histogram.counts[index] ?? 0) + 1;
    histogram.sum += value;
  }

  /** Forgets the series of a gauge, before they are all set anew. */
  clear(name: NameOf<D>): void {
    this.#values.delete(name);
  }

  render(): string {
    const lines: string[] = [];
    for (const [name, { type, help }] of Object.entries(this.#definitions)) {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
      for (const [labels, value] of this.#values.get(name) ?? [])
        lines.push(`${name}${labels} ${numberText(value)}`);
      for (const [labels, histogram] of this.#histograms.get(name) ?? [])
        lines.push(...histogramLines(name, labels, this.#boundsOf(name), histogram));
    }
    return `${lines.join('\n')}\n`;
  }

  #emptyHistogram(name: string): Histogram {
    return { counts: Array.from({ length: this.#boundsOf(name).length + 1 }, () => 0), sum: 0 };
  }

  #boundsOf(name: string): readonly number[] {
    return this.#definitions[name]?.buckets ?? [];
  }
}

function seriesOf<T>(all: Map<string, Map<string, T>>, name: string): Map<string, T> {
  const series = all.get(name) ?? new Map<string, T>();
  all.set(name, series);
  return series;
}

function histogramLines(
  name: string,
  labels: string,
  bounds: readonly number[],
  { counts, sum }: Histogram,
): string[] {
  const inner = labels.slice(1, -1);
  const bucket = (le: number | '+Inf', count: number) =>
    `${name}_bucket{${inner === '' ? '' : `${inner},`}le="${le}"} ${count}`;
  let total = 0;
  const buckets = bounds.map((bound, index) => bucket(bound, (total += counts[index] ?? 0)));
  total += counts[bounds.length] ?? 0;
  return [
    ...buckets,
    bucket('+Inf', total),
    `${name}_sum${labels} ${sum}`,
    `${name}_count${labels} ${total}`,
  ];
}

/** Go's spelling of numbers, which differs from JavaScript's for infinity only. */
function numberText(value: number): string {
  return value === Infinity ? '+Inf' : value === -Infinity ? '-Inf' : `${value}`;
}

/** Built without lists in between: a webhook does it for every review. */
function labelsText(labels: Readonly<Record<string, string>>): string {
  let text = '';
  for (const key of Object.keys(labels)) {
    const value = labels[key] ?? '';
    text += `${text === '' ? '{' : ','}${key}="${ESCAPED.test(value) ? value.replace(ALL_ESCAPED, escaped) : value}"`;
  }
  return text === '' ? '' : `${text}}`;
}

const ESCAPED = /[\\"\n]/;
const ALL_ESCAPED = /[\\"\n]/g;

function escaped(character: string): string {
  return character === '\n' ? '\\n' : `\\${character}`;
}
