import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { VsmmuError } from '../../errors.js';
import { Info } from '../../gen/kubevirt/hooks/info/api_pb.js';
import { Callbacks as V1alpha1 } from '../../gen/kubevirt/hooks/v1alpha1/api_pb.js';
import { Callbacks as V1alpha2 } from '../../gen/kubevirt/hooks/v1alpha2/api_pb.js';
import { Callbacks as V1alpha3 } from '../../gen/kubevirt/hooks/v1alpha3/api_pb.js';
import type { ServiceType } from '../../grpc/service.js';
import { unixClient, type UnixClient } from '../../grpc/client.js';
import { RESOLVED_ANNOTATION } from '../annotations.js';
import { type RunningHook, serveHook } from './serve-hook.js';

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (encoded: Uint8Array) => new TextDecoder().decode(encoded);

const ANNOTATION = JSON.stringify({
  version: 1,
  node: 'gpu-7',
  smmus: { 'smmu3.0x1': { accel: 'on', ats: 'on', ril: 'on', ssidsize: 20, oas: 48 } },
  groups: [{ smmu: 'smmu3.0x1', ats: 'supported' }],
  devices: { '0009:01:00.0': 0 },
});
const VMI = bytes(
  JSON.stringify({ metadata: { name: 'vm', annotations: { [RESOLVED_ANNOTATION]: ANNOTATION } } }),
);

let dir: string;
let hook: RunningHook;
let failures: unknown[];
const clients: { close(): void }[] = [];

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'hook-'));
  failures = [];
  hook = await serveHook({
    socketDir: dir,
    env: { CONTAINER_NAME: 'hook-sidecar-0' },
    rewrite: (xml, host) => {
      if (xml === 'refuse')
        throw new VsmmuError('MIXED_SMMUS', 'two SMMUs', { place: 'line 3', remedy: 'Split them.' });
      return `${xml} on ${host.origin}`;
    },
    onFailure: (_, error) => failures.push(error),
  });
});

afterEach(async () => {
  for (const one of clients.splice(0)) one.close();
  await hook.close();
  rmSync(dir, { recursive: true, force: true });
});

function client<S extends ServiceType>(description: S): UnixClient<S>['call'] {
  const made = unixClient(description, hook.socketPath);
  clients.push(made);
  return made.call;
}

test('no other name is ever in the folder, which virt-launcher would take for one more socket', async () => {
  const names: (string | null)[] = [];
  const watcher = watch(dir, (_, name) => names.push(name));
  const second = await serveHook({
    socketDir: dir,
    env: { CONTAINER_NAME: 'second' },
    rewrite: (xml) => xml,
    onFailure: () => undefined,
  });
  while (!names.includes('second.sock')) await once(watcher, 'change');
  await second.close();
  watcher.close();
  expect(new Set(names)).toEqual(new Set(['second.sock']));
});

test('only one file is in the folder: the socket, for its owner alone', () => {
  expect(readdirSync(dir)).toEqual(['hook-sidecar-0.sock']);
  expect(statSync(hook.socketPath).mode & 0o777).toBe(0o600);
});

test('Info names the hook points and all versions', async () => {
  const info = await client(Info).info({});
  expect(info.name).toBe('vsmmu');
  expect(info.versions).toEqual(['v1alpha3', 'v1alpha2', 'v1alpha1']);
  expect(info.hookPoints.map(({ name }) => name)).toEqual(['OnDefineDomain', 'Shutdown']);
});

describe('OnDefineDomain', () => {
  const params = { domainXML: bytes('<domain/>'), vmi: VMI };

  test('is answered in every version', async () => {
    for (const call of [client(V1alpha1), client(V1alpha2), client(V1alpha3)])
      expect(text((await call.onDefineDomain(params)).domainXML)).toBe('<domain/> on node gpu-7');
  });

  test('a refusal is a status with code, place and remedy, and the hook goes on', async () => {
    const call = client(V1alpha3);
    await expect(call.onDefineDomain({ ...params, domainXML: bytes('refuse') })).rejects.toMatchObject({
      status: 'FAILED_PRECONDITION',
      details: expect.stringMatching(/MIXED_SMMUS.*line 3.*Split them\./) as unknown,
    });
    expect(failures).toHaveLength(1);
    expect(text((await call.onDefineDomain(params)).domainXML)).toBe('<domain/> on node gpu-7');
  });

  test('a VMI without values is refused, never answered with the XML as it was', async () => {
    const vmi = bytes(JSON.stringify({ metadata: { name: 'vm' } }));
    await expect(client(V1alpha3).onDefineDomain({ ...params, vmi })).rejects.toMatchObject({
      status: 'FAILED_PRECONDITION',
      details: expect.stringContaining('ANNOTATION_MISSING') as unknown,
    });
  });

  test('ten calls at once', async () => {
    const call = client(V1alpha3);
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        call.onDefineDomain({ ...params, domainXML: bytes(`${index}`) }),
      ),
    );
    expect(answers.map(({ domainXML }) => text(domainXML))).toEqual(
      Array.from({ length: 10 }, (_, index) => `${index} on node gpu-7`),
    );
  });
});

test('PreCloudInitIso gives back what it got', async () => {
  const data = { cloudInitData: bytes('{"a":1}'), cloudInitNoCloudSource: bytes('{"b":2}'), vmi: VMI };
  for (const call of [client(V1alpha2), client(V1alpha3)]) {
    const answer = await call.preCloudInitIso(data);
    expect([text(answer.cloudInitData), text(answer.cloudInitNoCloudSource)]).toEqual(['{"a":1}', '{"b":2}']);
  }
});

test('Shutdown is answered, then the hook stops and its socket is gone', async () => {
  await client(V1alpha3).shutdown({});
  await hook.stopped;
  expect(existsSync(hook.socketPath)).toBe(false);
});

test('close stops it too, and may be called twice', async () => {
  await Promise.all([hook.close(), hook.close(), hook.stopped]);
  expect(readdirSync(dir)).toEqual([]);
});

test('a folder that is missing is an error with a remedy, not a crash', async () => {
  await expect(
    serveHook({
      socketDir: join(dir, 'missing'),
      env: {},
      rewrite: (xml) => xml,
      onFailure: () => undefined,
    }),
  ).rejects.toMatchObject({ name: 'VsmmuError', remedy: expect.stringContaining(dir) as unknown });
});
