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
  /**
   * Open at once; more are closed before their handshake. Each holds 0.1 to 0.2 MiB, most of it OpenSSL's. An API server
   * has at most 200 changes under way (--max-mutating-requests-inflight), and one connection for each.
   */
  readonly connections: number;
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
  connections: 600,
  concurrent: 1024,
  bodiesBytes: 32 * 1024 * 1024,
  checkMs: 1000,
};
