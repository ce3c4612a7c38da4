/** A signal that aborts with several others, until it is released. */
export interface JoinedSignal {
  readonly signal: AbortSignal;
  /** Leaves nothing on the others. Idempotent. */
  release(): void;
}

/**
 * For signals that live long, such as a program's own: AbortSignal.any() of Node 20 leaves an entry with each of them for
 * every call, for good (nodejs/node#54614), which a daemon must not.
 *
 * @param signals undefined ones never abort
 */
export function joinSignals(...signals: readonly (AbortSignal | undefined)[]): JoinedSignal {
  const controller = new AbortController();
  const sources = signals.filter((signal) => signal !== undefined);
  const release = () => {
    for (const source of sources) source.removeEventListener('abort', abort);
  };
  const abort = (event: Event) => end(event.currentTarget);
  const end = (source: unknown) => {
    release();
    controller.abort(source instanceof AbortSignal ? source.reason : undefined);
  };
  const aborted = sources.find((signal) => signal.aborted);
  if (aborted !== undefined) end(aborted);
  else for (const source of sources) source.addEventListener('abort', abort);
  return { signal: controller.signal, release };
}
