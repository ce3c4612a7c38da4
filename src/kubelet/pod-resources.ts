import { parseBdf, type Bdf } from '../bdf.js';
import { PodResourcesLister } from '../gen/kubelet/podresources/v1/api_pb.js';
import { unixClient } from '../grpc/client.js';

/** A device that a pod has, as the kubelet lists it. */
export interface DeviceInUse {
  readonly bdf: Bdf;
  /** "namespace/name" */
  readonly pod: string;
  readonly resource: string;
}

/** The kubelet allows 100 calls a second to all its clients together; a busy node answers in milliseconds. */
const TIMEOUT_MS = 5_000;

/**
 * The devices that pods have by the device plugin API, of any plugin whose ids are BDFs. Needs no rights at the
 * API server. Failures are thrown as RpcError.
 */
export async function listDevicesInUse(podResourcesSocket: string): Promise<readonly DeviceInUse[]> {
  const client = unixClient(PodResourcesLister, podResourcesSocket);
  try {
    const { podResources } = await client.call.list({}, { timeoutMs: TIMEOUT_MS });
    return podResources.flatMap(({ namespace, name, containers }) =>
      containers.flatMap(({ devices }) =>
        devices.flatMap(({ resourceName, deviceIds }) =>
          deviceIds.flatMap((id) => {
            const bdf = parseBdf(id);
            return bdf === undefined ? [] : [{ bdf, pod: `${namespace}/${name}`, resource: resourceName }];
          }),
        ),
      ),
    );
  } finally {
    client.close();
  }
}
