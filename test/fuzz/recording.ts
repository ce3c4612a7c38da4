import assert from 'node:assert/strict';

import { featuresOf } from '../../src/host/features.js';
import { probeHost } from '../../src/host/probe.js';
import { recordingOf } from '../../src/host/recording.js';
import type { HostReport } from '../../src/host/report.js';
import { parseAnnotation } from '../../src/kubevirt/read-resolved.js';
import { renderAnnotation } from '../../src/kubevirt/write-resolved.js';
import { Input } from './input.js';
import { refusalCode, resultOrRefusal } from './refusal.js';

/** Between the three files of a recording. */
const SEPARATOR = '\n=====\n';

/**
 * A recorded host: sysfs listing, lspci's print and hw_info in one text. It is probed or refused with a code; every
 * value of the report stands in the text; the same text gives the same report; and what the annotation carries of
 * it is what it says.
 */
export async function fuzz(data: Uint8Array): Promise<void> {
  const text = new Input(data).text();
  const [sysfs, pciConfig, hwInfo] = text.split(SEPARATOR);
  const probe = () => probeHost(recordingOf('/recording', { sysfs, pciConfig, hwInfo }));
  let report: HostReport;
  try {
    report = await probe();
  } catch (error) {
    refusalCode(error);
    return;
  }
  expectFromText(report, text);
  assert.deepEqual(await probe(), report, 'the same text, the same report');
  expectCarried(report);
}

function expectFromText({ devices, smmus }: HostReport, text: string): void {
  const lower = text.toLowerCase();
  const stands = (value: string | undefined, what: string) => {
    if (value !== undefined)
      assert.ok(text.includes(value), `${what} ${JSON.stringify(value)} stands in the text`);
  };
  for (const { bdf, vendor, device, driver, smmu, iommuGroup, numaNode, cdev } of devices) {
    const [, address = ''] = /^[0-9a-f]+:(.*)$/.exec(bdf) ?? [];
    assert.ok(lower.includes(address), `${bdf} stands in the text`);
    for (const id of [vendor, device])
      if (id !== undefined) assert.match(lower, new RegExp(`0x0*${id.toString(16)}\\b`));
    stands(driver, 'driver');
    stands(smmu.known ? smmu.value : undefined, 'SMMU');
    stands(iommuGroup.known ? `iommu_groups/` : undefined, 'group');
    if (numaNode.known && numaNode.value !== null) assert.match(text, new RegExp(`0*${numaNode.value}\\b`));
    stands(cdev.known ? cdev.value.split('/').at(-1) : undefined, 'cdev');
  }
  for (const { registers } of smmus) {
    if (!registers.known) continue;
    // IDR0 stands in the answer's hex, little-endian, behind flags and a reserved word.
    const word = Buffer.alloc(4);
    word.writeUInt32LE(registers.value.words[0]);
    assert.ok(lower.includes(word.toString('hex')), 'IDR0 stands in the recorded answer');
  }
}

function expectCarried(report: HostReport): void {
  const features = featuresOf(report);
  const outcome = resultOrRefusal(() => renderAnnotation(features, 'node-1'));
  if ('refused' in outcome) return;
  const read = parseAnnotation(outcome.value).features;
  for (const [bdf, device] of features.devices) {
    const carried = read.devices.get(bdf);
    assert.deepEqual(carried?.smmu.limits, device.smmu.limits);
    assert.equal(carried?.kernelAts, device.kernelAts);
    assert.equal(carried.atsCapability, device.atsCapability);
    assert.equal(carried.numaNode, device.numaNode);
  }
}
