/** One figure over time; `at` in milliseconds. */
export type Series = readonly { readonly at: number; readonly value: number }[];

/** What may not grow, its unit, and how much its trend may add over the judged part of a run. */
export interface Limit {
  readonly what: string;
  readonly unit: string;
  readonly growth: number;
}

export interface Judged extends Limit {
  readonly samples: number;
  /** Medians of the second and of the last third: the first third warms up. */
  readonly early: number;
  readonly late: number;
  /** What the trend of the last two thirds adds over them. */
  readonly grown: number;
  readonly max: number;
  readonly flat: boolean;
}

/** Fewer say nothing of a trend. */
const SAMPLES_MIN = 12;

/**
 * Is a series flat? By the trend of all its points after the warm-up, not by two readings: what goes up and down, such as
 * space that V8 keeps for later, has none. One with too few samples is not flat.
 */
export function judge(series: Series, limit: Limit): Judged {
  const third = Math.floor(series.length / 3);
  const judged = series.slice(third);
  const values = judged.map(({ value }) => value);
  const grown = slope(judged) * ((judged.at(-1)?.at ?? 0) - (judged[0]?.at ?? 0));
  return {
    ...limit,
    samples: series.length,
    early: median(values.slice(0, third)),
    late: median(values.slice(-third)),
    grown,
    max: Math.max(...values),
    flat: series.length >= SAMPLES_MIN && grown <= limit.growth,
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
