import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import { claimLookup, whenClaimsAreKnown } from '../../admission/device-claims.js';
import { type PatientHandler, serveAdmission, type TlsVersion } from '../../admission/https-server.js';
import { WebhookMetrics } from '../../admission/metrics.js';
import { mutateHandler } from '../../admission/mutate.js';
import { nodeLookup } from '../../admission/node-values.js';
import { placementReasons } from '../../admission/placement.js';
import { validateHandler } from '../../admission/validate.js';
import { vmiPolicy } from '../../admission/vmi-policy.js';
import { ExitStatus, messageOf, VsmmuError } from '../../errors.js';
import type { HookContainer } from '../../kubevirt/hook-sidecars.js';
import type { Vmi } from '../../kubevirt/vmi.js';
import { type LogFormat, type LogLevel, winstonLog } from '../../log/winston-log.js';
import type { CliIo } from '../io.js';
import { clusterClient } from '../kubeconfig.js';
import { unlisted, watchForWebhook, type WebhookCaches } from '../webhook-caches.js';
import { allowedClients, type CertificateOptions, certificateSource } from '../webhook-certificates.js';

export interface WebhookCommandOptions extends CertificateOptions {
  /** "ADDR:PORT", ":PORT" for every address, "[::1]:PORT". */
  readonly listen: string;
  readonly tlsMinVersion: TlsVersion;
  readonly clientCa?: string;
  readonly clientName: readonly string[];
  /** Extended resources that are vsmmu's: a domain with its "/", or a full name. */
  readonly resource: readonly string[];
  readonly hookImage: string;
  readonly hookPullPolicy: HookContainer['imagePullPolicy'];
  readonly hookArg: readonly string[];
  readonly otherHooks: 'refuse' | 'allow';
  /** Talk to the API server: hand node values over, validate, and make certificates where no files are named. */
  readonly cluster: boolean;
  /** With `cluster`: apply Policy and Baseline objects to VMIs that are created. */
  readonly policies: boolean;
  /** With `cluster`: recognise VMIs that ask for devices by ResourceClaims. */
  readonly dra: boolean;
  readonly kubeconfig?: string;
  readonly kubevirtNamespace: string;
  /** Seconds an agent may be silent; 0: for ever. */
  readonly maxProfileAge: number;
  /** Seconds between the signal to stop and the end of service, for endpoints to be withdrawn. */
  readonly shutdownDelay: number;
  readonly logLevel?: LogLevel;
  readonly logFormat?: LogFormat;
}

/** Serves admission reviews until told to stop; 0 then. Standard output gets one line: where it listens. */
export async function runWebhook(options: WebhookCommandOptions, io: CliIo): Promise<ExitStatus> {
  // Taken first: a SIGTERM that comes while it starts must stop it, not kill it.
  const { signal } = io;
  const log = winstonLog(io.stderr, { level: options.logLevel, format: options.logFormat });
  const { host, port } = parseListen(options.listen);
  const clients = allowedClients(options.clientCa, options.clientName);
  const client = options.cluster ? await clusterClient({ kubeconfig: options.kubeconfig }, io) : undefined;
  // What runs beside the server goes on through the drain: reviews are answered until the last moment.
  const background = new AbortController();
  const caches = client && watchForWebhook(client, options, log, background.signal);
  const certificates = certificateSource(options, client, log, background.signal);
  const certificate = await Promise.race([certificates.first, aborted(signal)]);
  if (certificate !== undefined) {
    const metrics = new WebhookMetrics();
    metrics.certificateTaken(certificate.cert);
    const server = await serveAdmission({
      host,
      port,
      certificate,
      minVersion: options.tlsMinVersion,
      ...(clients === undefined ? {} : { clients }),
      handlers: handlersOf(options, caches),
      unready: () => certificates.missing() ?? (caches && unlisted(caches)),
      metrics: (state) => metrics.render(state, caches?.all ?? {}),
      onAnswer: (request) => metrics.answered(request),
      onFailure: (message, error) => log.error(message, { cause: messageOf(error) }),
    });
    certificates.onChange((pair) => {
      server.setCertificate(pair);
      metrics.certificateTaken(pair.cert);
    });
    const name = host === '' ? server.address : host;
    io.stdout.write(`https://${name.includes(':') ? `[${name}]` : name}:${server.port}\n`);
    log.info('serving', { host: name, port: server.port });

    await aborted(signal);
    log.info('stopping', { delaySeconds: options.shutdownDelay });
    server.retire();
    await sleep(options.shutdownDelay * 1000);
    await server.close();
  }
  background.abort();
  client?.close();
  log.info('stopped');
  return ExitStatus.ok;
}

async function aborted(signal: AbortSignal): Promise<undefined> {
  if (!signal.aborted) await once(signal, 'abort');
  return undefined;
}

function handlersOf(
  options: WebhookCommandOptions,
  caches: WebhookCaches | undefined,
): Readonly<Record<string, PatientHandler>> {
  const { resource: resources, hookImage, kubevirtNamespace, otherHooks } = options;
  const hook = { image: hookImage, imagePullPolicy: options.hookPullPolicy, args: options.hookArg };
  if (caches === undefined) return { '/mutate': mutateHandler({ resources, hook }) };
  const { profiles, policies } = caches;
  const claims = caches.claims && claimLookup(caches.claims);
  const lookup = nodeLookup(profiles, { maxAgeMs: options.maxProfileAge * 1000 });
  const placement = (vmi: Vmi) => placementReasons(vmi, resources, profiles.values());
  const policy = policies === undefined ? {} : { policy: vmiPolicy(policies) };
  const mutate = mutateHandler({
    resources,
    hook,
    lookup,
    placement,
    ...policy,
    ...(claims === undefined ? {} : { claims }),
  });
  return {
    '/mutate': claims === undefined ? mutate : whenClaimsAreKnown(mutate, claims),
    '/validate': validateHandler({
      resources,
      lookup,
      kubevirtNamespace,
      ...policy,
      ...(otherHooks === 'refuse' ? { onlyHook: hook } : {}),
      placement,
    }),
  };
}

/** @returns an empty host where none is named: every address @throws VsmmuError USAGE */
export function parseListen(listen: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(listen);
  const port = Number(match?.[3] ?? NaN);
  if (match === null || !(port <= 65535))
    throw new VsmmuError('USAGE', `"${listen}" is not ADDR:PORT`, {
      place: '--listen',
      remedy: 'Write an address and a port, such as 0.0.0.0:8443, [::1]:8443 or :8443.',
      exitStatus: ExitStatus.usage,
    });
  return { host: match[1] ?? match[2] ?? '', port };
}
