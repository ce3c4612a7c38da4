import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { rewriteDomain } from '../src/domain/rewrite.js';
import { Info } from '../src/gen/kubevirt/hooks/info/api_pb.js';
import { Callbacks } from '../src/gen/kubevirt/hooks/v1alpha3/api_pb.js';
import { unixClient } from '../src/grpc/client.js';
import { RESOLVED_ANNOTATION } from '../src/kubevirt/annotations.js';
import { parseAnnotation } from '../src/kubevirt/read-resolved.js';
import { sharedData } from './shared-data.js';

/** The program as it is shipped; `npm test` builds it first. */
const PROGRAM = 'dist/vsmmu.js';
const DEMO_DOMAIN = readFileSync('src/cli/demo/two-gpu.domain.xml', 'utf8');
const DEMO_VMI = JSON.parse(readFileSync('src/cli/demo/two-gpu.vmi.json', 'utf8')) as VmiJson;

interface VmiJson {
  metadata: { annotations?: Record<string, string> };
}

const encode = (text: string) => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

let dir: string;
let children: ChildProcessWithoutNullStreams[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'hk-'));
  children = [];
});

afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(dir, { recursive: true, force: true });
});

interface Started {
  readonly child: ChildProcessWithoutNullStreams;
  readonly socket: string;
  readonly exited: Promise<number | null>;
  readonly log: () => string;
}

async function startHook(...args: string[]): Promise<Started> {
  const child = spawn(process.execPath, [PROGRAM, 'hook', '--socket-dir', dir, ...args], {
    env: { PATH: process.env['PATH'], CONTAINER_NAME: 'hook-sidecar-1' },
  });
  children.push(child);
  let stderr = '';
  const serving = new Promise<void>((resolve) => {
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
      if (stderr.includes('"serving"')) resolve();
    });
  });
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  await Promise.race([serving, exited]);
  const [name = 'no socket'] = readdirSync(dir);
  return { child, socket: join(dir, name), exited, log: () => stderr };
}

/** `vsmmu resolve -o annotation`, as the program prints it for the demo's host. */
async function annotationOfDemoHost(node: string): Promise<string> {
  const child = spawn(process.execPath, [
    PROGRAM,
    ...['resolve', '--host', 'src/cli/demo/two-gpu-host', '-o', 'annotation', '--node', node],
  ]);
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  expect(await once(child, 'close')).toEqual([0, null]);
  return text.trim();
}

function vmiWith(annotation: string, base: VmiJson = DEMO_VMI): Uint8Array {
  const annotations = { ...base.metadata.annotations, [RESOLVED_ANNOTATION]: annotation };
  return encode(JSON.stringify({ ...base, metadata: { ...base.metadata, annotations } }));
}

/**
 * What becomes of the XML between two calls: virt-launcher keeps what its own structs know of `<iommu>`
 * (pciBus, accel, ats, ril, ssidSize, oas), and libvirt's read-back has hexadecimal addresses.
 */
function lossyReadBack(xml: string): string {
  return xml
    .replaceAll(/ (ssidsize|cmdqv)="[^"]*"/g, '')
    .replaceAll(/(<address type="pci" domain="0x0000" bus=")(\d+)"/g, (_, head: string, bus: string) => {
      return `${head}0x${Number(bus).toString(16).padStart(2, '0')}"`;
    });
}

describe('vsmmu hook, as virt-launcher uses it', () => {
  test('rewrites with the annotated values exactly as the command line does with the host', async () => {
    const { socket } = await startHook();
    expect(socket).toBe(join(dir, 'hook-sidecar-1.sock'));
    const annotation = await annotationOfDemoHost('gpu-7');
    const callbacks = unixClient(Callbacks, socket);
    const answer = await callbacks.call.onDefineDomain({
      domainXML: encode(DEMO_DOMAIN),
      vmi: vmiWith(annotation),
    });
    callbacks.close();
    expect(decode(answer.domainXML)).toBe(
      rewriteDomain(DEMO_DOMAIN, parseAnnotation(annotation).features).text,
    );
    expect(decode(answer.domainXML)).not.toBe(DEMO_DOMAIN);
  });

  test('gives the same values in each of the three calls of a boot, whatever got lost in between', async () => {
    const { socket } = await startHook();
    const vmi = vmiWith(await annotationOfDemoHost('gpu-7'));
    const callbacks = unixClient(Callbacks, socket);
    const define = async (xml: string) =>
      decode((await callbacks.call.onDefineDomain({ domainXML: encode(xml), vmi })).domainXML);
    const drivers = (xml: string) =>
      [...xml.matchAll(/<driver ([^>]*pciBus[^>]*)>/g)].map(([, attributes = '']) =>
        attributes.match(/\w+="[^"]*"/g)?.sort(),
      );
    const first = await define(DEMO_DOMAIN);
    const second = await define(lossyReadBack(first));
    const third = await define(lossyReadBack(second));
    callbacks.close();
    expect(drivers(first)).not.toEqual(drivers(DEMO_DOMAIN));
    expect(drivers(lossyReadBack(first))).not.toEqual(drivers(first));
    expect(drivers(second)).toEqual(drivers(first));
    expect(drivers(third)).toEqual(drivers(first));
  });

  test('a domain it must not start is refused with the place in the XML, and told in the log', async () => {
    const { socket, log } = await startHook();
    const callbacks = unixClient(Callbacks, socket);
    const unknown = DEMO_DOMAIN.replace('domain="0x0019"', 'domain="0x0029"');
    const call = callbacks.call.onDefineDomain({
      domainXML: encode(unknown),
      vmi: vmiWith(await annotationOfDemoHost('gpu-7')),
    });
    await expect(call).rejects.toMatchObject({
      status: 'FAILED_PRECONDITION',
      details: expect.stringMatching(/0029:01:00\.0.*node gpu-7/s) as unknown,
    });
    callbacks.close();
    expect(log()).toContain('0029:01:00.0');
  });

  test("the VMI's own wishes (vsmmu.io/set) are kept, checked, and refused where they make no sense", async () => {
    const { socket } = await startHook();
    const annotation = await annotationOfDemoHost('gpu-7');
    const callbacks = unixClient(Callbacks, socket);
    const define = (set: string) => {
      const base = { ...DEMO_VMI, metadata: { ...DEMO_VMI.metadata, annotations: { 'vsmmu.io/set': set } } };
      return callbacks.call.onDefineDomain({
        domainXML: encode(DEMO_DOMAIN),
        vmi: vmiWith(annotation, base),
      });
    };
    expect(decode((await define('ssidsize=3')).domainXML)).toContain('ssidsize="3"');
    await expect(define('oas=52')).rejects.toMatchObject({
      details: expect.stringContaining('oas=52') as unknown,
    });
    await expect(define('x="/><evil')).rejects.toMatchObject({
      details: expect.stringContaining('WISH_MALFORMED') as unknown,
    });
    callbacks.close();
  });

  test('a launcher whose libvirt knows no attributes gets the values as overrides', async () => {
    const { socket } = await startHook('--libvirt', '12.5.0', '--qemu', '11.1.0');
    const callbacks = unixClient(Callbacks, socket);
    const vmi = vmiWith(await annotationOfDemoHost('gpu-7'));
    const answer = await callbacks.call.onDefineDomain({ domainXML: encode(DEMO_DOMAIN), vmi });
    callbacks.close();
    expect(decode(answer.domainXML)).toMatch(/<(\w+:)?device alias=["']iommu0["']/);
  });

  test('nothing of the VMI reaches the XML but validated values', async () => {
    const { socket } = await startHook();
    const annotation = await annotationOfDemoHost('gpu-7');
    const evil = '"/><evil x="';
    const base = { ...DEMO_VMI, metadata: { name: evil, annotations: { [evil]: evil } } };
    const callbacks = unixClient(Callbacks, socket);
    const answer = await callbacks.call.onDefineDomain({
      domainXML: encode(DEMO_DOMAIN),
      vmi: vmiWith(annotation, base),
    });
    callbacks.close();
    expect(decode(answer.domainXML)).not.toContain('evil');
  });

  test('exits with 0 on Shutdown, and its socket goes with it', async () => {
    const { socket, exited } = await startHook();
    const callbacks = unixClient(Callbacks, socket);
    await callbacks.call.shutdown({});
    callbacks.close();
    expect(await exited).toBe(0);
    expect(existsSync(socket)).toBe(false);
  });

  test('exits with 0 on SIGTERM, even while a client stays connected', async () => {
    const { child, socket, exited } = await startHook();
    const info = unixClient(Info, socket);
    await info.call.info({});
    child.kill('SIGTERM');
    expect(await exited).toBe(0);
    info.close();
    expect(readdirSync(dir)).toEqual([]);
  });

  test('a folder that is not there ends it with status 3 and a remedy', async () => {
    const child = spawn(process.execPath, [PROGRAM, 'hook', '--socket-dir', join(dir, 'missing')]);
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    expect(await once(child, 'close')).toEqual([3, null]);
    expect(stderr).toMatch(/^error\[\w+\] at .*missing.*remedy: /s);
  });
});

const graceTest = existsSync(sharedData('kubevirt')) ? test : test.skip;

graceTest("KubeVirt's own XML of a Grace VM with two GPUs (needs the shared data)", async () => {
  const { socket } = await startHook();
  const domain = readFileSync(sharedData('kubevirt', 'grace-2gpu.domain.xml'), 'utf8');
  const vmi = JSON.parse(readFileSync(sharedData('kubevirt', 'grace-2gpu.vmi.json'), 'utf8')) as VmiJson;
  const annotation = JSON.stringify({
    version: 1,
    node: 'node-a',
    smmus: {
      'smmu3.0x0000000011000000': { accel: 'on', ats: 'on', ril: 'on', ssidsize: 20, oas: 48, cmdqv: 'on' },
      'smmu3.0x0000000012000000': {
        accel: 'on',
        ats: 'off',
        ril: 'off',
        ssidsize: 16,
        oas: 44,
        cmdqv: 'off',
      },
    },
    groups: [
      { smmu: 'smmu3.0x0000000011000000', ats: 'supported' },
      { smmu: 'smmu3.0x0000000012000000', ats: 'silent' },
    ],
    devices: { '0009:01:00.0': 0, '0019:01:00.0': 1 },
  });
  const callbacks = unixClient(Callbacks, socket);
  const answer = await callbacks.call.onDefineDomain({
    domainXML: encode(domain),
    vmi: vmiWith(annotation, vmi),
  });
  callbacks.close();
  const drivers = [...decode(answer.domainXML).matchAll(/<driver [^>]*pciBus="(\d)"[^>]*>/g)];
  const has = (bus: string) => drivers.find(([, found]) => found === bus)?.[0];
  for (const text of ['ats="on"', 'ril="on"', 'ssidsize="20"', 'oas="48"', 'cmdqv="on"'])
    expect(has('1')).toContain(text);
  for (const text of ['ats="off"', 'ril="off"', 'ssidsize="16"', 'oas="44"'])
    expect(has('3')).toContain(text);
  expect(decode(answer.domainXML)).not.toContain('ssidSize');
});
