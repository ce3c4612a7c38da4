import type { KubeClient } from '../../cluster/kube-client.js';
import { joinSignals } from '../../cluster/joined-signal.js';
import { messageOf, VsmmuError } from '../../errors.js';
import { DRAPlugin as DraV1 } from '../../gen/kubelet/dra/v1/api_pb.js';
import { DRAPlugin as DraV1beta1 } from '../../gen/kubelet/dra/v1beta1/api_pb.js';
import { DRAResourceHealth as HealthV1 } from '../../gen/kubelet/drahealth/v1/api_pb.js';
import {
  DRAResourceHealth as HealthV1alpha1,
  HealthStatus,
} from '../../gen/kubelet/drahealth/v1alpha1/api_pb.js';
import { service, type ServedService } from '../../grpc/server.js';
import type { Log } from '../../log/log.js';
import type { Feed } from '../feed.js';
import type { Metrics } from '../metrics.js';
import type { Health } from '../plugin-device.js';
import { readClaim, type ClaimRef } from './claim.js';
import type { Preparer } from './prepare.js';

export interface DeviceHealth {
  readonly name: string;
  readonly health: Health;
}

export interface DraServicesOptions {
  readonly client: KubeClient;
  readonly nodeName: string;
  readonly preparer: Preparer;
  readonly health: Feed<readonly DeviceHealth[]>;
  readonly metrics: Metrics;
  readonly log: Log;
}

/** The kubelet gives each call 45 s; the API server gets less, so that the error is ours and says what was tried. */
const CLAIM_READ_MS = 30_000;
/** Not refreshed for 30 s, a device's health counts as unknown. */
const HEARTBEAT_MS = 10_000;
const MESSAGE_MAX = 1024;

/**
 * What the kubelet calls. It takes the first service it knows of this order, which the registration announces by
 * the short names.
 */
export const DRA_VERSIONS = [
  'v1.DRAPlugin',
  'v1beta1.DRAPlugin',
  'v1.DRAResourceHealth',
  'v1alpha1.DRAResourceHealth',
] as const;

export function draServices(options: DraServicesOptions): ServedService[] {
  const handlers = {
    nodePrepareResources: async (
      { claims }: { claims: ClaimRef[] },
      { signal }: { signal: AbortSignal },
    ) => ({
      claims: await each(claims, (claim) => prepareOne(options, claim, signal)),
    }),
    nodeUnprepareResources: async ({ claims }: { claims: ClaimRef[] }) => ({
      claims: await each(claims, (claim) => unprepareOne(options, claim)),
    }),
  };
  const watch = (_: unknown, { signal }: { signal: AbortSignal }) =>
    heartbeat(options.health, options.nodeName, signal);
  return [
    service(DraV1, handlers),
    service(DraV1beta1, handlers),
    service(HealthV1, { nodeWatchResources: watch }),
    service(HealthV1alpha1, { nodeWatchResources: watch }),
  ];
}

/** Every claim gets its answer, whatever becomes of the others. */
async function each<T>(
  claims: readonly ClaimRef[],
  work: (claim: ClaimRef) => Promise<T>,
): Promise<Record<string, T>> {
  const answers = await Promise.all(
    claims.map(async (claim): Promise<[string, T]> => [claim.uid, await work(claim)]),
  );
  return Object.fromEntries(answers);
}

async function prepareOne(
  { client, preparer, metrics, log }: DraServicesOptions,
  ref: ClaimRef,
  signal: AbortSignal,
) {
  const claim = `${ref.namespace}/${ref.name}`;
  const limit = joinSignals(signal, AbortSignal.timeout(CLAIM_READ_MS));
  try {
    const { devices } = await preparer.prepare(await readClaim(client, ref, limit.signal));
    metrics.add('vsmmu_dra_requests_total', { method: 'prepare', outcome: 'ok' });
    log.info('A claim is prepared.', {
      claim,
      uid: ref.uid,
      devices: devices.map(({ bdf }) => bdf).join(','),
    });
    return {
      devices: devices.map(({ request, pool, name, cdiIds }) => ({
        // The kubelet knows a subrequest's devices by the request alone.
        requestNames: [request.split('/', 1)[0] ?? request],
        poolName: pool,
        deviceName: name,
        cdiDeviceIds: [...cdiIds],
      })),
      error: '',
    };
  } catch (error) {
    metrics.add('vsmmu_dra_requests_total', { method: 'prepare', outcome: 'failed' });
    log.warn('A claim could not be prepared.', { claim, uid: ref.uid, reason: messageOf(error) });
    return { devices: [], error: errorText(error) };
  } finally {
    limit.release();
  }
}

async function unprepareOne({ preparer, metrics, log }: DraServicesOptions, ref: ClaimRef) {
  const claim = `${ref.namespace}/${ref.name}`;
  try {
    await preparer.unprepare(ref.uid);
    metrics.add('vsmmu_dra_requests_total', { method: 'unprepare', outcome: 'ok' });
    log.info('A claim is unprepared.', { claim, uid: ref.uid });
    return { error: '' };
  } catch (error) {
    metrics.add('vsmmu_dra_requests_total', { method: 'unprepare', outcome: 'failed' });
    log.warn('A claim could not be unprepared.', { claim, uid: ref.uid, reason: messageOf(error) });
    return { error: errorText(error) };
  }
}

function errorText(error: unknown): string {
  if (!(error instanceof VsmmuError)) return messageOf(error);
  const place = error.place === undefined ? '' : `${error.place}: `;
  return `${error.code}: ${place}${error.message} Remedy: ${error.remedy}`;
}

async function* heartbeat(health: Feed<readonly DeviceHealth[]>, pool: string, signal: AbortSignal) {
  for await (const devices of health.watch(signal, forEver(HEARTBEAT_MS))) {
    const now = BigInt(Math.floor(Date.now() / 1000));
    yield {
      devices: devices.map((device) => ({
        device: { poolName: pool, deviceName: device.name },
        health: device.health.healthy ? HealthStatus.HEALTHY : HealthStatus.UNHEALTHY,
        lastUpdatedTime: now,
        message: device.health.healthy ? '' : device.health.reason.slice(0, MESSAGE_MAX),
      })),
    };
  }
}

function* forEver(ms: number): Iterable<number> {
  for (;;) yield ms;
}
