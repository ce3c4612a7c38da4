import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { Info } from '../../gen/kubevirt/hooks/info/api_pb.js';
import { Callbacks } from '../../gen/kubevirt/hooks/v1alpha3/api_pb.js';
import { unixClient } from '../../grpc/client.js';

export interface HookAnswer {
  readonly name: string;
  readonly versions: readonly string[];
  readonly domainXml: string;
}

/** Plays virt-launcher: finds the hook's socket, asks who it is, has it rewrite the domain, and tells it to go. */
export async function playVirtLauncher(
  socketDir: string,
  domainXml: string,
  vmi: object,
): Promise<HookAnswer> {
  const [socket] = await readdir(socketDir);
  if (socket === undefined) throw new Error(`no hook serves in ${socketDir}`);
  const path = join(socketDir, socket);
  const info = unixClient(Info, path);
  const callbacks = unixClient(Callbacks, path);
  try {
    const { name, versions } = await info.call.info({});
    const answer = await callbacks.call.onDefineDomain({
      domainXML: Buffer.from(domainXml),
      vmi: Buffer.from(JSON.stringify(vmi)),
    });
    await callbacks.call.shutdown({});
    return { name, versions, domainXml: Buffer.from(answer.domainXML).toString('utf8') };
  } finally {
    info.close();
    callbacks.close();
  }
}
