/** One figure over time; `at` in milliseconds. */
export type Series = readonly { readonly at: number; readonly value: number }[];

/** What may not grow, its unit, and by how much it may differ between an early and a late quarter of a run. */
export interface Limit {
  readonly what: string;
  readonly unit: string;
  readonly growth: number;
}

export interface Judged extends Limit {
  readonly samples: number;
  /** Medians of the second and the last quarter: the first quarter warms up. */
  readonly early: number;
  readonly late: number;
  readonly perHour: number;
  readonly max: number;
  readonly flat: boolean;
}

const HOUR_MS = 3_600_000;
/** Fewer say nothing of a trend. */
const SAMPLES_MIN = 8;

/** Is a series flat? One with too few samples is not. */
export function judge(series: Series, limit: Limit): Judged {
  const quarter = Math.floor(series.length / 4);
  const early = median(series.slice(quarter, 2 * quarter).map(({ value }) => value));
  const late = median(series.slice(-quarter).map(({ value }) => value));
  return {
    ...limit,
    samples: series.length,
    early,
    late,
    perHour: slope(series.slice(quarter)) * HOUR_MS,
    max: Math.max(...series.map(({ value }) => value)),
    flat: series.length >= SAMPLES_MIN && late - early <= limit.growth,
  };
}

/** Theil and Sen: the median of all slopes between two points, which single outliers do not move. */
export function slope(series: Series): number {
  const slopes: number[] = [];
  for (const [index, one] of series.entries())
    for (const other of series.slice(index + 1))
      if (other.at !== one.at) slopes.push((other.value - one.value) / (other.at - one.at));
  return slopes.length === 0 ? 0 : median(slopes);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? NaN)
    : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}
