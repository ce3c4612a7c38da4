import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';

import { Program, type Surroundings } from './program.js';

/** Shipped: 7 days and 180. At this pace a leaf is renewed every 40 s and an authority every 200 s. */
const LEAF_SECONDS = 60;
const CA_SECONDS = 300;

type Name = 'agent' | 'reader' | 'webhook' | 'controller' | 'hook';
export type Programs = Readonly<Record<Name, Program>>;

export interface Places {
  readonly dir: string;
  readonly sockets: string;
  readonly ports: Readonly<Record<'agent' | 'controller', number>>;
}

/** Each as the chart starts it, but for the pace of rescans and certificates; the hook as the image does. */
export function startAll(around: Surroundings, { dir, sockets, ports }: Places): Programs {
  const quiet = ['--log-level', 'error'];
  const http = (name: 'agent' | 'controller') => ['--http', `127.0.0.1:${ports[name]}`];
  const agent = [
    ...['agent', '--kubelet-dir', join(dir, 'kubelet'), '--state-dir', join(dir, 'state')],
    ...[
      '--cdi-dir',
      join(dir, 'cdi'),
      '--node-name',
      'node-1',
      '--dra',
      '--no-bind',
      '--rescan-seconds',
      '1',
    ],
    ...[...http('agent'), ...quiet],
  ];
  const webhook = [
    ...['webhook', '--listen', '127.0.0.1:0', '--certificate-name', '127.0.0.1'],
    ...['--cluster', '--policies', '--dra', '--shutdown-delay', '1'],
    ...['--ca-lifetime', String(CA_SECONDS), '--leaf-lifetime', String(LEAF_SECONDS), ...quiet],
  ];
  const controller = ['controller', '--namespace', 'vsmmu-system', ...http('controller'), ...quiet];
  const reader = ['reader', '--rescan-seconds', '1', ...quiet];
  return {
    agent: new Program('agent', { args: agent, semiSpaceMiB: 1 }, around),
    reader: new Program('reader', { args: reader, semiSpaceMiB: 1 }, around),
    webhook: new Program('webhook', { args: webhook, semiSpaceMiB: 2 }, around),
    controller: new Program('controller', { args: controller, semiSpaceMiB: 2 }, around),
    hook: new Program('hook', { args: ['hook', '--socket-dir', sockets], semiSpaceMiB: 1 }, around),
  };
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
