import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import { followCertificateFiles } from '../../admission/certificates/certificate-files.js';
import { serveAdmission, type TlsVersion } from '../../admission/https-server.js';
import { mutateHandler } from '../../admission/mutate.js';
import { ExitStatus, messageOf, VsmmuError } from '../../errors.js';
import type { HookContainer } from '../../kubevirt/hook-sidecars.js';
import { type LogFormat, type LogLevel, winstonLog } from '../../log/winston-log.js';
import type { CliIo } from '../io.js';

export interface WebhookCommandOptions {
  /** "ADDR:PORT", ":PORT" for every address, "[::1]:PORT". */
  readonly listen: string;
  readonly tlsCert: string;
  readonly tlsKey: string;
  readonly tlsMinVersion: TlsVersion;
  /** Extended resources that are vsmmu's: a domain with its "/", or a full name. */
  readonly resource: readonly string[];
  readonly hookImage: string;
  readonly hookPullPolicy: HookContainer['imagePullPolicy'];
  readonly hookArg?: readonly string[];
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
  const files = followCertificateFiles({
    certFile: options.tlsCert,
    keyFile: options.tlsKey,
    onChange: (pair) => {
      server.setCertificate(pair);
      log.info('certificate reloaded', { file: options.tlsCert });
    },
    onBadPair: ({ message, place, code }) =>
      log.warn(`certificate not reloaded: ${message}`, { place, code }),
  });
  let stopping = false;
  const server = await serveAdmission({
    host,
    port,
    certificate: files.current(),
    minVersion: options.tlsMinVersion,
    handlers: {
      '/mutate': mutateHandler({
        resources: options.resource,
        hook: {
          image: options.hookImage,
          imagePullPolicy: options.hookPullPolicy,
          args: options.hookArg ?? [],
        },
      }),
    },
    unready: () => (stopping ? 'shutting down' : undefined),
    onFailure: (message, error) => log.error(message, { cause: messageOf(error) }),
  });
  io.stdout.write(`https://${host.includes(':') ? `[${host}]` : host}:${server.port}\n`);
  log.info('serving', { host, port: server.port });

  if (!signal.aborted) await once(signal, 'abort');
  stopping = true;
  log.info('stopping', { delaySeconds: options.shutdownDelay });
  await sleep(options.shutdownDelay * 1000);
  await server.close();
  files.stop();
  log.info('stopped');
  return ExitStatus.ok;
}

/** @throws VsmmuError USAGE */
export function parseListen(listen: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(listen);
  const port = Number(match?.[3] ?? NaN);
  if (match === null || !(port <= 65535))
    throw new VsmmuError('USAGE', `"${listen}" is not ADDR:PORT`, {
      place: '--listen',
      remedy: 'Write an address and a port, such as 0.0.0.0:8443, [::1]:8443 or :8443.',
      exitStatus: ExitStatus.usage,
    });
  const host = match[1] ?? match[2] ?? '';
  // Node's "::" takes IPv4 too, where the kernel has IPv6 at all; 0.0.0.0 is there on every node.
  return { host: host === '' ? '0.0.0.0' : host, port };
}
