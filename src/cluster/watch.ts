import type { IncomingMessage } from 'node:http';
import * as z from 'zod';

import { Backoff, type BackoffOptions } from './backoff.js';
import type { KubeClient, Selection } from './kube-client.js';
import { errorOfAnswer, isKubeError, KubeError, malformedAnswer, unreachable } from './kube-error.js';
import { joinSignals } from './joined-signal.js';
import { type KubeObject, parseObject, type ResourceType } from './resource.js';

/**
 * What a watch tells, in this order and again from the start after each 410: `relisting`, one `listed` a page,
 * `synced`, then changes. Objects that no page listed are gone by the time of `synced`.
 */
export type WatchEvent =
  | { readonly type: 'relisting' }
  | { readonly type: 'listed'; readonly objects: readonly KubeObject[] }
  | { readonly type: 'synced' }
  | { readonly type: 'changed' | 'deleted'; readonly object: KubeObject }
  /** Nothing changed up to now: what is known is current. */
  | { readonly type: 'current' }
  /** The connection is lost; the watch goes on by itself. */
  | { readonly type: 'lost'; readonly error: KubeError };

export interface WatchOptions extends Selection {
  readonly signal: AbortSignal;
  readonly backoff?: BackoffOptions;
  /** The API server is asked to end a watch after this long; it sends a bookmark before. */
  readonly timeoutSeconds?: number;
  /**
   * Without a byte for this long the connection counts as half-open. The API server sends a bookmark about each
   * minute (k8s.io/apiserver cacher: bookmarkFrequency), so three missed ones.
   */
  readonly idleMs?: number;
}

const DEFAULT_BACKOFF: BackoffOptions = { baseMs: 500, maxMs: 30_000 };
const LINE_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Lists, then watches, for ever: resumes where it was after a closed or broken connection, lists anew after 410,
 * backs off while that fails. Ends only by the signal; refused rights (401, 403) and a missing CRD (404) are told
 * as `lost` and tried again, since both can be mended without us.
 */
export async function* listAndWatch(
  client: KubeClient,
  type: ResourceType,
  options: WatchOptions,
): AsyncGenerator<WatchEvent, void, undefined> {
  const { signal } = options;
  const backoff = new Backoff(options.backoff ?? DEFAULT_BACKOFF);
  let position: string | undefined;
  let fruitless = 0;
  while (!signal.aborted) {
    let progressed = false;
    try {
      if (position === undefined) position = yield* listFrom(client, type, options);
      for await (const event of watchFrom(client, type, position, options)) {
        position = event.position;
        progressed = true;
        fruitless = 0;
        backoff.reset();
        yield event.event;
      }
      // A watch that ends in good order is resumed; one that ends at once, again and again, is paused for.
      if (!progressed) await backoff.pause(signal);
    } catch (error) {
      if (aborted(signal)) return;
      const lost = asKubeError(error, type);
      if (isKubeError(lost, 'KUBE_GONE')) position = undefined;
      // A position that never works again without a 410 (an unreadable event) is given up too.
      else if (!progressed && ++fruitless >= 5) position = undefined;
      yield { type: 'lost', error: lost };
      await backoff.pause(signal, (lost.retryAfterSeconds ?? 0) * 1000);
    }
  }
}

/** Read anew: another task may have aborted it since the loop's head. */
function aborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

async function* listFrom(
  client: KubeClient,
  type: ResourceType,
  options: WatchOptions,
): AsyncGenerator<WatchEvent, string, undefined> {
  yield { type: 'relisting' };
  let position = '';
  for await (const page of client.list(type, options, options.signal)) {
    position = page.resourceVersion;
    yield { type: 'listed', objects: page.objects };
  }
  yield { type: 'synced' };
  return position;
}

interface Positioned {
  readonly event: WatchEvent;
  readonly position: string;
}

async function* watchFrom(
  client: KubeClient,
  type: ResourceType,
  position: string,
  options: WatchOptions,
): AsyncGenerator<Positioned, void, undefined> {
  const { timeoutSeconds = 290, idleMs = 200_000, signal } = options;
  const connection = new AbortController();
  const watchdog = setTimeout(() => connection.abort(new Error(`no byte for ${idleMs} ms`)), idleMs);
  const both = joinSignals(signal, connection.signal);
  const query = { resourceVersion: position, allowWatchBookmarks: true, timeoutSeconds };
  try {
    const answer = await client.openWatch(type, options, query, both.signal);
    for await (const line of lines(answer, () => watchdog.refresh())) yield parseLine(line, type);
  } catch (error) {
    throw connection.signal.aborted
      ? unreachable(`watch of ${type.plural}`, connection.signal.reason)
      : error;
  } finally {
    clearTimeout(watchdog);
    // The consumer may have stopped in the middle.
    connection.abort();
    both.release();
  }
}

async function* lines(answer: IncomingMessage, onBytes: () => void): AsyncGenerator<string, void, undefined> {
  let rest: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    onBytes();
    let start = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      const line = Buffer.concat([...rest, chunk.subarray(start, end)]).toString('utf8');
      rest = [];
      size = 0;
      start = end + 1;
      if (line.trim() !== '') yield line;
    }
    const tail = chunk.subarray(start);
    size += tail.byteLength;
    if (size > LINE_BYTES_MAX)
      throw malformedAnswer('watch', `has a line longer than ${LINE_BYTES_MAX} bytes`);
    if (tail.byteLength > 0) rest.push(tail);
  }
  if (size > 0) throw malformedAnswer('watch', 'ends in the middle of a line');
}

const eventSchema = z.object({ type: z.string(), object: z.unknown() });
/** A bookmark carries nothing but the position. */
const bookmarkSchema = z.object({ metadata: z.object({ resourceVersion: z.string() }) });
const statusCode = z.object({ code: z.number() });

function parseLine(line: string, type: ResourceType): Positioned {
  const place = `watch of ${type.plural}`;
  const parsed = eventSchema.safeParse(parseJson(line, place));
  if (!parsed.success) throw malformedAnswer(place, 'holds a line that is no watch event');
  const { type: kind, object: json } = parsed.data;
  if (kind === 'ERROR') {
    const status = statusCode.safeParse(json);
    throw errorOfAnswer(place, status.success ? status.data.code : 500, json, undefined);
  }
  if (kind === 'BOOKMARK') {
    const bookmark = bookmarkSchema.safeParse(json);
    if (!bookmark.success) throw malformedAnswer(place, 'holds a bookmark without a resource version');
    return { event: { type: 'current' }, position: bookmark.data.metadata.resourceVersion };
  }
  const object = parseObject(json);
  if (object?.metadata.resourceVersion === undefined || !isChange(kind))
    throw malformedAnswer(place, `holds an event ${JSON.stringify(kind.slice(0, 40))} that is none`);
  const change = kind === 'DELETED' ? 'deleted' : 'changed';
  return { event: { type: change, object }, position: object.metadata.resourceVersion };
}

function isChange(kind: string): boolean {
  return kind === 'ADDED' || kind === 'MODIFIED' || kind === 'DELETED';
}

function parseJson(line: string, place: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw malformedAnswer(place, 'holds a line that is no JSON', cause);
  }
}

function asKubeError(error: unknown, type: ResourceType): KubeError {
  return error instanceof KubeError ? error : unreachable(`watch of ${type.plural}`, error);
}
