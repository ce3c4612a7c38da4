const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 };

/**
 * How long an answer may take. The API server sends its own patience as `?timeout=`, a Go duration in whole
 * seconds (k8s.io/apiserver, admission/plugin/webhook/mutating/dispatcher.go); the answer has to be back before.
 *
 * @param query of the URL, without its "?"
 * @returns milliseconds, at most `limitMs`; a tenth is kept for the way back
 */
export function budgetMs(query: string, limitMs: number): number {
  const match = /(?:^|&)timeout=(\d{1,9})(ms|s|m)(?:&|$)/.exec(query);
  if (match === null) return limitMs;
  const asked = Number(match[1]) * (UNIT_MS[match[2] ?? ''] ?? 1000);
  return Math.max(1, Math.min(limitMs, asked * 0.9));
}
