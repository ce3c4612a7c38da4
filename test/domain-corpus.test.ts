import { existsSync, readdirSync, readFileSync } from 'node:fs';

import { describe, expect, test } from '@jest/globals';
import { RelaxNGValidator, XmlDocument, XmlValidateError } from 'libxml2-wasm';
import { xmlRegisterFsInputProviders } from 'libxml2-wasm/lib/nodejs.mjs';

import { DomainRefused } from '../src/domain/refused.js';
import { rewriteDomain } from '../src/domain/rewrite.js';
import { graceHost, NO_HOST } from './fixtures/domain/host.js';
import { sharedData } from './shared-data.js';

const CORPUS = ['libvirt/current', 'libvirt/9.0', 'kubevirt'];
const missing = !existsSync(sharedData('libvirt'));
const read = (path: string) => readFileSync(sharedData(path), 'utf8');

function documents(): string[] {
  return CORPUS.flatMap((folder) =>
    readdirSync(sharedData(folder))
      .filter((name) => name.endsWith('.xml'))
      .map((name) => `${folder}/${name}`),
  );
}

/** Domains with an accelerated vSMMU: no host has their devices, or no device is there at all. */
const REFUSED: Readonly<Record<string, string>> = {
  'libvirt/current/iommu-smmuv3-pci-bus-accel.xml': 'HOSTDEV_UNKNOWN',
  'libvirt/current/iommu-smmuv3-pci-bus-accel.aarch64-latest.xml': 'HOSTDEV_UNKNOWN',
  'libvirt/current/iommu-smmuv3-pci-bus-accel-auto.xml': 'HOSTDEV_UNKNOWN',
  'libvirt/current/iommu-smmuv3-pci-bus-accel-auto.aarch64-latest.xml': 'HOSTDEV_UNKNOWN',
  'libvirt/current/iommu-smmuv3-pci-bus-accel-cmdqv.xml': 'EMULATED_DEVICE',
  'libvirt/current/iommu-smmuv3-pci-bus-accel-cmdqv.aarch64-latest.xml': 'EMULATED_DEVICE',
  'kubevirt/grace-1gpu.domain.xml': 'HOSTDEV_UNKNOWN',
  'kubevirt/grace-2gpu.domain.xml': 'HOSTDEV_UNKNOWN',
};
/** Fragments with several root elements. */
const NO_DOMAIN: Readonly<Record<string, string>> = {
  'kubevirt/pkg__virt-launcher__virtwrap__api__testdata__cpu_pinning.xml': 'XML_MALFORMED',
  'kubevirt/pkg__virt-launcher__virtwrap__api__testdata__domain_numa_topology.xml': 'XML_MALFORMED',
};

(missing ? describe.skip : describe)('the corpus (needs the shared libvirt domains)', () => {
  test('with nothing to change, every document comes out byte for byte or is refused for a stated reason', () => {
    const outcomes: Record<string, string> = {};
    let unchanged = 0;
    for (const path of documents()) {
      const text = read(path);
      try {
        expect(rewriteDomain(text, NO_HOST).text).toBe(text);
        unchanged++;
      } catch (error) {
        if (!(error instanceof Error) || !('code' in error)) throw error;
        outcomes[path] = String(error.code);
        if (error instanceof DomainRefused)
          expect(error.findings.every(({ remedy }) => remedy !== '')).toBe(true);
      }
    }
    expect(outcomes).toEqual({ ...REFUSED, ...NO_DOMAIN });
    expect(unchanged).toBeGreaterThan(600);
  });
});

(missing ? describe.skip : describe)("libvirt's RELAX NG schema (needs the shared schema)", () => {
  /** The validator stops at the first part that is wrong, so these messages tell where, not how often. */
  function schemaErrors(text: string): string[] {
    xmlRegisterFsInputProviders();
    using schema = XmlDocument.fromBuffer(readFileSync(sharedData('libvirt/schema/domain.rng')), {
      url: sharedData('libvirt/schema/domain.rng'),
    });
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- the only RELAX NG validator on npm; a test's oracle
    using validator = RelaxNGValidator.fromDoc(schema);
    using document = XmlDocument.fromString(text);
    try {
      validator.validate(document);
      return [];
    } catch (error) {
      if (!(error instanceof XmlValidateError)) throw error;
      return error.details.map(({ message }) => message.trim()).sort();
    }
  }

  /**
   * Without what KubeVirt writes in every domain and the schema refuses (libvirt takes it). The schema has hostdev
   * children in any order, but libxml2 fails where driver and source stand apart, so the driver is put first.
   */
  function repaired(text: string): string {
    return text
      .replace(/<(bios|baseBoard|chassis)><\/\1>/g, '')
      .replace(/<entry name="(sku|version)"><\/entry>/g, '')
      .replace(/(<source>\s*<address) type="pci"/g, '$1')
      .replace(/(<hostdev [^>]*)>([\s\S]*?)(<driver [^>]*><\/driver>)/g, '$1>$3$2');
  }

  test.each(['grace-1gpu.domain.xml', 'grace-2gpu.domain.xml'])(
    '%s has no new error, and one less',
    (name) => {
      const before = read(`kubevirt/${name}`);
      const after = rewriteDomain(before, graceHost()).text;
      expect(schemaErrors(after)).toEqual(schemaErrors(before));
      expect(schemaErrors(before).join()).toContain('sysinfo');
      // What is left in a repaired one is ssidSize, which the rewrite mends.
      expect(schemaErrors(repaired(before))).not.toEqual([]);
      expect(schemaErrors(repaired(after))).toEqual([]);
    },
  );

  test('every place that a rewrite can write to is valid', () => {
    const host = graceHost();
    for (const target of ['native', 'override', 'both'] as const)
      expect(schemaErrors(rewriteDomain(VALID, host, { target }).text)).toEqual([]);
  });
});

const VALID = `<domain type='qemu'>
  <name>guest</name>
  <uuid>1ccfd97d-5eb4-478a-bbe6-88d254c16db7</uuid>
  <memory unit='KiB'>1048576</memory>
  <os>
    <type arch='aarch64' machine='virt'>hvm</type>
  </os>
  <devices>
    <controller type='pci' index='0' model='pcie-root'/>
    <controller type='pci' index='1' model='pcie-expander-bus'>
      <target busNr='252'/>
    </controller>
    <controller type='pci' index='2' model='pcie-root-port'>
      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>
    </controller>
    <hostdev mode='subsystem' type='pci' managed='no'>
      <driver iommufd='yes'/>
      <source>
        <address domain='0x0009' bus='0x01' slot='0x00' function='0x0'/>
      </source>
      <address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>
    </hostdev>
    <iommu model='smmuv3'>
      <driver pciBus='1' accel='on'/>
    </iommu>
  </devices>
  <iommufd enabled='yes'/>
</domain>
`;
