import { createServer, type Server, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';

import { errnoOf, messageOf, VsmmuError } from '../errors.js';
import type { KeyPair } from './certificates/issue.js';
import { Front } from './front.js';
import { DEFAULT_LIMITS, type HttpLimits } from './http-limits.js';
import type { AdmissionRequest, Verdict } from './review.js';

/** Judges one request; pure or nearly so. What it throws becomes a 500, which the API server takes as "no answer". */
export type ReviewHandler = (request: AdmissionRequest) => Verdict;

/** A handler that may have to wait for something, well within the shortest patience of an API server (1 s). */
export type PatientHandler = (request: AdmissionRequest) => Verdict | Promise<Verdict>;

/** A request to one of the handlers' paths that got its answer. */
export interface AnsweredRequest {
  /** One of the handlers'. */
  readonly path: string;
  /** Of HTTP. */
  readonly status: number;
  /** From the request's head to the answer. */
  readonly seconds: number;
  /** Of its body, as far as it was read. */
  readonly bytes: number;
  /** undefined: it was no review, or was turned away before it was judged. */
  readonly review: JudgedReview | undefined;
}

export interface JudgedReview {
  readonly operation: AdmissionRequest['operation'];
  readonly outcome: 'unchanged' | 'patched' | 'warned' | 'refused' | 'failed';
}

export type TlsVersion = 'TLSv1.2' | 'TLSv1.3';

export interface HttpsOptions {
  /** Empty: every address, of IPv6 where the machine has it and of IPv4. */
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly certificate: KeyPair;
  readonly minVersion?: TlsVersion;
  readonly limits?: Partial<HttpLimits>;
  /** Only these clients may ask for reviews; undefined: anyone who can connect. Probes need no certificate. */
  readonly clients?: AllowedClients;
  /** By path: "/mutate". */
  readonly handlers: Readonly<Record<string, PatientHandler>>;
  /** Answers /readyz: undefined where ready, else what is missing. */
  readonly unready?: () => string | undefined;
  /** Answers /metrics, in Prometheus' text format; undefined: there is no such path. */
  readonly metrics?: (state: ServerState) => string;
  /** Hears of every request to a handler, for metrics. */
  readonly onAnswer?: (request: AnsweredRequest) => void;
  /** Hears of failures that are this program's own. */
  readonly onFailure?: (message: string, error: unknown) => void;
}

export interface ServerState {
  /** Requests to handlers that are being answered. */
  readonly inFlight: number;
  /** What /readyz says. */
  readonly ready: boolean;
}

export interface AllowedClients {
  /** PEM of the authorities that sign their certificates. */
  readonly ca: string;
  /** Common names; empty: every client with a certificate of the authorities. */
  readonly names: readonly string[];
}

export interface AdmissionServer {
  /** What it is bound to: "::" or "0.0.0.0" for every address. */
  readonly address: string;
  readonly port: number;
  /** From now on new connections get this certificate; open ones go on. */
  setCertificate(certificate: KeyPair): void;
  /**
   * From now on /readyz says no and every answer ends its connection, so that the API server's idle ones move to
   * other replicas; new connections are still answered until endpoints have been withdrawn.
   */
  retire(): void;
  /** Stops accepting, answers what is open with "Connection: close", cuts what is left after the grace period. */
  close(graceMs?: number): Promise<void>;
}

/**
 * Serves AdmissionReview v1 over HTTPS. HTTP/1.1 only: the API server uses nothing else, and HTTP/2 would only
 * bring its denial-of-service class (CVE-2023-44487).
 *
 * @throws VsmmuError TLS_FILES, LISTEN_FAILED
 */
export async function serveAdmission(options: HttpsOptions): Promise<AdmissionServer> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const { clients } = options;
  const tls = {
    minVersion: options.minVersion ?? 'TLSv1.3',
    ...(clients === undefined ? {} : { ca: clients.ca, requestCert: true, rejectUnauthorized: false }),
  } as const;
  const front = new Front(options, limits);
  const server = createServer(
    {
      ...tls,
      ...options.certificate,
      ALPNProtocols: ['http/1.1'],
      handshakeTimeout: limits.handshakeMs,
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: limits.checkMs,
    } satisfies ServerOptions,
    (request, response) => front.answer(request, response),
  );
  server.maxConnections = limits.connections;
  const { address, port } = await listen(server, options.host, options.port);
  return {
    address,
    port,
    setCertificate: (certificate) => server.setSecureContext({ ...tls, ...certificate }),
    retire: () => front.retire(),
    close: (graceMs = 10_000) => front.drain(server, graceMs),
  };
}

function listen(server: Server, host: string, port: number): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(
        new VsmmuError('LISTEN_FAILED', messageOf(error), {
          place: `${host}:${port}`,
          remedy:
            errnoOf(error) === 'EADDRINUSE'
              ? 'Choose another port, or stop the program that has this one.'
              : 'Choose an address of this machine and a port above 1023.',
          cause: error,
        }),
      );
    });
    server.listen(port, host, () => {
      resolve(server.address() as AddressInfo);
    });
  });
}
