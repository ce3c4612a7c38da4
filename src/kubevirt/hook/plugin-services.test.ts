import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { DomainHookService, NodeHookService } from '../../gen/kubevirt/hooks/plugins/v1alpha1/api_pb.js';
import { unixClient, type UnixClient } from '../../grpc/client.js';
import { REQUIRE_ANNOTATION, RESOLVED_ANNOTATION, SET_ANNOTATION } from '../annotations.js';
import { type RunningHook, servePlugins } from './serve-hook.js';

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (encoded: Uint8Array) => new TextDecoder().decode(encoded);

function vmi(annotations: Record<string, string>, nodeName = 'gpu-7'): Uint8Array {
  return bytes(JSON.stringify({ metadata: { name: 'vm', annotations }, status: { nodeName } }));
}

const VALUES = JSON.stringify({ version: 1, node: 'gpu-7', smmus: {}, groups: [], devices: {} });
const resolved = { [RESOLVED_ANNOTATION]: VALUES };

let dir: string;
let running: RunningHook[];
let domainHook: UnixClient<typeof DomainHookService>;
let nodeHook: UnixClient<typeof NodeHookService>;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'plugin-'));
  const sockets = { domainHook: join(dir, 'domain.sock'), nodeHook: join(dir, 'node.sock') };
  running = await servePlugins(sockets, {
    rewrite: (xml, host, { set }) => `${xml} on ${host.origin}${set === undefined ? '' : ` with ${set}`}`,
    onFailure: () => undefined,
  });
  domainHook = unixClient(DomainHookService, sockets.domainHook);
  nodeHook = unixClient(NodeHookService, sockets.nodeHook);
});

afterEach(async () => {
  domainHook.close();
  nodeHook.close();
  await Promise.all(running.map((one) => one.close()));
  expect(readdirSync(dir)).toEqual([]);
  rmSync(dir, { recursive: true, force: true });
});

describe('DomainHookService', () => {
  const boot = {
    domainType: 'libvirt',
    domain: bytes('<domain/>'),
    sidecarContext: { invocationContext: 'Boot' },
  };

  test('rewrites as the sidecar does, with the VMI’s own wishes', async () => {
    const { call } = domainHook;
    expect(text((await call.mutateDomain({ ...boot, vmi: vmi(resolved) })).domain)).toBe(
      '<domain/> on node gpu-7',
    );
    const wishing = vmi({ ...resolved, [SET_ANNOTATION]: 'ril=off' });
    expect(text((await call.mutateDomain({ ...boot, vmi: wishing })).domain)).toBe(
      '<domain/> on node gpu-7 with ril=off',
    );
  });

  test('fails closed without values', async () => {
    await expect(domainHook.call.mutateDomain({ ...boot, vmi: vmi({}) })).rejects.toMatchObject({
      status: 'FAILED_PRECONDITION',
      details: expect.stringContaining('ANNOTATION_MISSING') as unknown,
    });
  });

  test('leaves the target of a migration as its source made it, values or not', async () => {
    const migration = { ...boot, sidecarContext: { invocationContext: 'MigrationTarget' }, vmi: vmi({}) };
    expect(text((await domainHook.call.mutateDomain(migration)).domain)).toBe('<domain/>');
  });

  test('refuses another kind of domain', async () => {
    await expect(
      domainHook.call.mutateDomain({ ...boot, domainType: 'ch', vmi: vmi(resolved) }),
    ).rejects.toMatchObject({
      status: 'INVALID_ARGUMENT',
    });
  });
});

describe('NodeHookService', () => {
  test.each<[string, string, Uint8Array, boolean]>([
    ['PreVMStart', 'with the node’s values', vmi(resolved), true],
    ['PreVMStart', 'with another node’s', vmi(resolved, 'gpu-8'), false],
    ['PreVMStart', 'that requires and has none', vmi({ [REQUIRE_ANNOTATION]: 'ats' }), false],
    ['PreVMStart', 'that is none of ours', vmi({}), true],
    ['PostVMStop', 'with another node’s', vmi(resolved, 'gpu-8'), true],
  ])('%s of a VMI %s', async (hookPoint, _, json, passes) => {
    const call = nodeHook.call.executeNodeHook({ hookPoint, vmi: json, nodeContext: { nodeName: 'gpu-7' } });
    if (passes) await expect(call).resolves.toBeDefined();
    else await expect(call).rejects.toMatchObject({ status: 'FAILED_PRECONDITION' });
  });
});
