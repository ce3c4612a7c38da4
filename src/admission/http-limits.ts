/** Limits of the HTTPS server, in milliseconds, bytes and counts. */
export interface HttpLimits {
  /** An UPDATE carries object and oldObject of at most 3 MB each, as controller-runtime reckons. */
  readonly bodyBytes: number;
  readonly headerBytes: number;
  readonly headersMs: number;
  readonly requestMs: number;
  readonly handshakeMs: number;
  /**
   * Go keeps idle connections for 90 s (k8s.io/apimachinery, util/net/http.go). A server that closes earlier, as
   * Node does after 5 s, meets a request on its way.
   */
  readonly keepAliveMs: number;
  /** Requests answered at once; more get 429. */
  readonly concurrent: number;
  /** Of all bodies that are held at once; more get 429. */
  readonly bodiesBytes: number;
  /** How often Node looks for connections that overstay. */
  readonly checkMs: number;
}

export const DEFAULT_LIMITS: HttpLimits = {
  bodyBytes: 7 * 1024 * 1024,
  headerBytes: 16 * 1024,
  headersMs: 5000,
  requestMs: 10_000,
  handshakeMs: 5000,
  keepAliveMs: 100_000,
  concurrent: 1024,
  bodiesBytes: 32 * 1024 * 1024,
  checkMs: 1000,
};
