import { readFileSync } from 'node:fs';

import { timingOf } from '../admission/certificates/authorities.js';
import { followCertificateFiles } from '../admission/certificates/certificate-files.js';
import type { KeyPair } from '../admission/certificates/issue.js';
import { SelfSignedCertificates } from '../admission/certificates/self-signed.js';
import type { AllowedClients } from '../admission/https-server.js';
import type { KubeClient } from '../cluster/kube-client.js';
import { messageOf, VsmmuError } from '../errors.js';
import type { Log } from '../log/log.js';

export interface CertificateOptions {
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly namespace: string;
  readonly service: string;
  readonly certificateSecret: string;
  /** Names beside the Service's that the certificate is for. */
  readonly certificateName: readonly string[];
  readonly mutatingConfiguration: readonly string[];
  readonly validatingConfiguration: readonly string[];
  /** Seconds. */
  readonly caLifetime: number;
  readonly leafLifetime: number;
}

/** Where serving certificates come from: files that somebody else writes, or an authority of our own. */
export interface CertificateSource {
  /** The first certificate; waits for the API server where it makes them itself. */
  readonly first: Promise<KeyPair>;
  /** Later ones. */
  onChange(listener: (pair: KeyPair) => void): void;
  /** Why API servers can't use it yet; undefined where they can. */
  missing(): string | undefined;
}

export function certificateSource(
  options: CertificateOptions,
  client: KubeClient | undefined,
  log: Log,
  signal: AbortSignal,
): CertificateSource {
  const { tlsCert, tlsKey } = options;
  if (tlsCert !== undefined && tlsKey !== undefined) return fromFiles(tlsCert, tlsKey, log, signal);
  if (client !== undefined) return selfSigned(options, client, log, signal);
  throw new VsmmuError('USAGE', 'there is no serving certificate', {
    place: '--tls-cert, --tls-key',
    remedy: 'Name both files, or let the webhook make certificates itself: --cluster.',
    exitStatus: 2,
  });
}

function fromFiles(certFile: string, keyFile: string, log: Log, signal: AbortSignal): CertificateSource {
  let listener: (pair: KeyPair) => void = () => undefined;
  const files = followCertificateFiles({
    certFile,
    keyFile,
    onChange: (pair) => {
      listener(pair);
      log.info('certificate reloaded', { file: certFile });
    },
    onBadPair: ({ message, place, code }) =>
      log.warn(`certificate not reloaded: ${message}`, { place, code }),
  });
  signal.addEventListener('abort', () => files.stop(), { once: true });
  return {
    first: Promise.resolve(files.current()),
    onChange: (next) => {
      listener = next;
      // It may have been renewed between the first look and now.
      next(files.current());
    },
    missing: () => undefined,
  };
}

function selfSigned(
  options: CertificateOptions,
  client: KubeClient,
  log: Log,
  signal: AbortSignal,
): CertificateSource {
  const { namespace, service, certificateSecret, certificateName } = options;
  const host = `${service}.${namespace}.svc`;
  let listener: (pair: KeyPair) => void = () => undefined;
  let latest: KeyPair | undefined;
  let settle: (pair: KeyPair) => void = () => undefined;
  const first = new Promise<KeyPair>((resolve) => (settle = resolve));
  const certificates = new SelfSignedCertificates({
    client,
    secret: { name: certificateSecret, namespace },
    names: [host, `${host}.cluster.local`, ...certificateName],
    mutating: options.mutatingConfiguration,
    validating: options.validatingConfiguration,
    timing: timingOf(options.caLifetime * 1000, options.leafLifetime * 1000),
    onLeaf: (pair) => {
      latest = pair;
      settle(pair);
      listener(pair);
    },
    log,
  });
  void certificates.run(signal);
  return {
    first,
    onChange: (next) => {
      listener = next;
      if (latest !== undefined) next(latest);
    },
    missing: () => certificates.missing(),
  };
}

/** @throws VsmmuError TLS_FILES */
export function allowedClients(
  caFile: string | undefined,
  names: readonly string[],
): AllowedClients | undefined {
  if (caFile === undefined) return undefined;
  try {
    return { ca: readFileSync(caFile, 'utf8'), names };
  } catch (cause) {
    throw new VsmmuError('TLS_FILES', `it cannot be read: ${messageOf(cause)}`, {
      place: caFile,
      remedy: "Name the PEM file of the authority that signs the API servers' client certificates.",
      cause,
    });
  }
}
