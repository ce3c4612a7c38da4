import { X509Certificate } from 'node:crypto';

import { type MetricDefinitions, Metrics } from '../metrics/metrics.js';
import type { AnsweredRequest, ServerState } from './https-server.js';

/** The metrics of the webhook; docs/metrics.md is made from this table. */
export const WEBHOOK_METRICS = {
  vsmmu_webhook_review_seconds: {
    type: 'histogram',
    labels: ['path', 'operation', 'outcome'],
    help: 'Time from the head of a review to its answer, the arrival of its body included ("unchanged", "patched", "warned", "refused", "failed").',
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 3],
    from: [
      ['/mutate', 'CREATE', 'failed'],
      ['/mutate', 'UPDATE', 'failed'],
      ['/validate', 'CREATE', 'failed'],
      ['/validate', 'UPDATE', 'failed'],
    ],
  },
  vsmmu_webhook_request_bytes: {
    type: 'histogram',
    labels: [],
    help: 'Size of reviews.',
    buckets: [2_048, 8_192, 32_768, 131_072, 524_288, 2_097_152, 7_340_032],
  },
  vsmmu_webhook_unjudged_requests_total: {
    type: 'counter',
    labels: ['code'],
    help: 'Requests that were no review, or could not be judged, by HTTP status; 429 is the limit of requests at once.',
  },
  vsmmu_webhook_in_flight: { type: 'gauge', labels: [], help: 'Reviews that are being answered.' },
  vsmmu_webhook_ready: { type: 'gauge', labels: [], help: '1 while /readyz says yes.' },
  vsmmu_webhook_certificate_expiration_timestamp_seconds: {
    type: 'gauge',
    labels: [],
    help: 'When the serving certificate expires, Unix time.',
  },
  vsmmu_webhook_certificates_total: {
    type: 'counter',
    labels: [],
    help: 'Serving certificates taken into use since the start.',
  },
  vsmmu_webhook_cache_age_seconds: {
    type: 'gauge',
    labels: ['cache'],
    help: 'Time since a cache was known to be current; a quiet watch says so about once a minute.',
  },
  vsmmu_webhook_cache_objects: { type: 'gauge', labels: ['cache'], help: 'Objects in a cache.' },
  vsmmu_webhook_cache_unusable_objects: {
    type: 'gauge',
    labels: ['cache'],
    help: 'Objects that are there but cannot be read, of another release for example.',
  },
} as const satisfies MetricDefinitions;

/** What is measured of a watch cache. */
export interface MeasuredCache {
  readonly staleMs: number;
  readonly size: number;
  unusable(): readonly unknown[];
}

/** What the webhook did so far, for /metrics. */
export class WebhookMetrics {
  readonly #metrics = new Metrics(WEBHOOK_METRICS);
  #certificate = '';

  answered({ path, status, seconds, bytes, review }: AnsweredRequest): void {
    if (review === undefined) {
      this.#metrics.add('vsmmu_webhook_unjudged_requests_total', { code: `${status}` });
      return;
    }
    const { operation, outcome } = review;
    this.#metrics.observe('vsmmu_webhook_review_seconds', { path, operation, outcome }, seconds);
    this.#metrics.observe('vsmmu_webhook_request_bytes', {}, bytes);
  }

  /** @param cert PEM, the leaf first */
  certificateTaken(cert: string): void {
    if (cert === this.#certificate) return;
    this.#certificate = cert;
    const expires = Date.parse(new X509Certificate(cert).validTo) / 1000;
    this.#metrics.set('vsmmu_webhook_certificate_expiration_timestamp_seconds', {}, expires);
    this.#metrics.add('vsmmu_webhook_certificates_total', {});
  }

  /** @param caches by plural: "nodeprofiles" */
  render({ inFlight, ready }: ServerState, caches: Readonly<Record<string, MeasuredCache>>): string {
    this.#metrics.set('vsmmu_webhook_in_flight', {}, inFlight);
    this.#metrics.set('vsmmu_webhook_ready', {}, ready ? 1 : 0);
    for (const [cache, measured] of Object.entries(caches)) {
      this.#metrics.set('vsmmu_webhook_cache_age_seconds', { cache }, measured.staleMs / 1000);
      this.#metrics.set('vsmmu_webhook_cache_objects', { cache }, measured.size);
      this.#metrics.set('vsmmu_webhook_cache_unusable_objects', { cache }, measured.unusable().length);
    }
    return this.#metrics.render();
  }
}
