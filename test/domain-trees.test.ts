import { existsSync, readdirSync, readFileSync } from 'node:fs';

import { describe, expect, test } from '@jest/globals';
import { XmlC14NMode, XmlDocument, XmlElement } from 'libxml2-wasm';

import { DomainRefused } from '../src/domain/refused.js';
import { rewriteDomain, type RewriteOptions, type RewriteResult } from '../src/domain/rewrite.js';
import { graceHost } from './fixtures/domain/host.js';
import { sharedData } from './shared-data.js';

/** Seen by libxml2, which knows nothing of our scanner: what a rewrite says it changes is all that it changes. */

const QEMU = { q: 'http://libvirt.org/schemas/domain/qemu/1.0' };
const FOLDERS = ['libvirt/current', 'libvirt/9.0', 'kubevirt'];

/** Attributes of every vSMMU's driver, by place: "0 ats=on". */
function driverAttributes(document: XmlDocument): string[] {
  return document.find("/domain/devices/iommu[@model='smmuv3']").flatMap((iommu, place) => {
    const driver = iommu instanceof XmlElement ? iommu.get('driver') : null;
    return driver instanceof XmlElement
      ? driver.attrs.map(({ name, value }) => `${place} ${name}=${value}`)
      : [];
  });
}

/** "hostdev0 ats=on" */
function overrides(document: XmlDocument): string[] {
  return document.find('/domain/q:override/q:device', QEMU).flatMap((device) => {
    if (!(device instanceof XmlElement)) return [];
    const alias = device.attr('alias')?.value ?? '';
    return device
      .find('q:frontend/q:property', QEMU)
      .flatMap((property) =>
        property instanceof XmlElement
          ? [`${alias} ${property.attr('name')?.value ?? ''}=${property.attr('value')?.value ?? ''}`]
          : [],
      );
  });
}

/** The document in canonical form, without the places that are compared apart, the namespace that one needs, and indentation. */
function remainder(document: XmlDocument): string {
  for (const override of document.find('/domain/q:override', QEMU)) override.remove();
  for (const driver of document.find("/domain/devices/iommu[@model='smmuv3']/driver"))
    if (driver instanceof XmlElement) for (const { name } of driver.attrs) driver.attr(name)?.remove();
  for (const hostdev of document.find("/domain/devices/hostdev[@mode='subsystem']"))
    if (hostdev instanceof XmlElement) hostdev.attr('mode')?.remove();
  return document
    .canonicalizeToString({ mode: XmlC14NMode.XML_C14N_1_0, withComments: true })
    .replace(/ xmlns:\w+="http:\/\/libvirt.org\/schemas\/domain\/qemu\/1.0"/g, '')
    .replace(/>\s+</g, '><');
}

/** What the result's list of changes says, in the words of the two functions above. */
function listed({ changes }: RewriteResult): { attributes: string[]; overrides: string[] } {
  const attributes: string[] = [];
  const properties: string[] = [];
  for (const { what } of changes) {
    const attribute =
      /^<driver> gets (\w+)='(\w+)'$/.exec(what) ??
      /^<driver> (\w+)='[^']*' becomes '(\w+)'$/.exec(what) ??
      /^<driver> \w+='[^']*' becomes (\w+)='(\w+)'$/.exec(what);
    if (attribute !== null) attributes.push(`${attribute[1] ?? ''}=${attribute[2] ?? ''}`);
    for (const [, alias = '', list = ''] of what.matchAll(/override of ([\w-]+) gets ([^;]*)/g))
      properties.push(...list.split(', ').map((one) => `${alias} ${one}`));
    const corrected = /^override of ([\w-]+): (\w+)=\S* becomes (\w+)$/.exec(what);
    if (corrected !== null)
      properties.push(`${corrected[1] ?? ''} ${corrected[2] ?? ''}=${corrected[3] ?? ''}`);
  }
  return { attributes: attributes.sort(), overrides: properties.sort() };
}

function expectOnlyListed(text: string, options: RewriteOptions = {}): 'rewritten' | 'refused' {
  let result: RewriteResult;
  try {
    result = rewriteDomain(text, graceHost({ limits: { ril: false } }), options);
  } catch (error) {
    if (error instanceof DomainRefused) return 'refused';
    throw error;
  }
  using before = XmlDocument.fromString(text.replace(/^\uFEFF/, ''));
  using after = XmlDocument.fromString(result.text.replace(/^\uFEFF/, ''));
  const without = (all: string[], some: string[]) => all.filter((one) => !some.includes(one)).sort();
  const list = listed(result);
  const attributes = without(driverAttributes(after), driverAttributes(before));
  expect(attributes.map((one) => one.replace(/^\d+ /, '')).sort()).toEqual(list.attributes);
  expect(without(overrides(after), overrides(before))).toEqual(list.overrides);
  const modes = (document: XmlDocument) => document.find("/domain/devices/hostdev[@mode='subsystem']").length;
  const said = result.changes.filter(({ what }) => what === "<hostdev> gets mode='subsystem'").length;
  expect(modes(after) - modes(before)).toBe(said);
  expect(remainder(after)).toBe(remainder(before));
  return 'rewritten';
}

/** A GPU behind an accelerated vSMMU, with indexes that no document of the corpus has. */
const FRAGMENT = `<controller type='pci' index='240' model='pcie-expander-bus'><target busNr='200'/></controller>
    <controller type='pci' index='241' model='pcie-root-port'><address type='pci' bus='0xf0'/></controller>
    <hostdev mode='subsystem' type='pci'><driver iommufd='yes'/><source><address domain='9' bus='1'/></source><address type='pci' bus='241'/></hostdev>
    <iommu model='smmuv3'><driver pciBus="240" ril = 'on' accel='on' ssidSize='4'/></iommu>
  `;

describe('hand-written documents', () => {
  const plain = `<domain type='kvm'>
  <name>x</name>
  <devices>
    ${FRAGMENT}</devices>
</domain>
`;
  test.each([
    ['plain', plain],
    ['CDATA', plain.replace('<name>x</name>', '<name><![CDATA[<iommu model="smmuv3"/>]]></name>')],
    ['processing instructions', plain.replace('<devices>', '<?a <devices>?><devices><?b?>')],
    ['byte order mark', `\uFEFF${plain}`],
    ['CRLF', plain.replaceAll('\n', '\r\n')],
    ['non-ASCII', plain.replace('<name>x', '<name ü="é">日本😀')],
    [
      'foreign prefixes',
      plain.replace('<name>', "<p:metadata xmlns:p='urn:p'><p:iommu model='smmuv3'/></p:metadata><name>"),
    ],
    ['the prefix qemu for something else', plain.replace("'kvm'", "'kvm' xmlns:qemu='urn:dummy'")],
    [
      'QEMU as the default namespace of a child',
      plain.replace(
        '</domain>',
        "<commandline xmlns='http://libvirt.org/schemas/domain/qemu/1.0'><arg value='x'/></commandline></domain>",
      ),
    ],
    [
      'comments that look like devices',
      plain.replace('<devices>', `<!-- ${FRAGMENT.replaceAll('--', '')} --><devices>`),
    ],
    ['references', plain.replace('<name>x', '<name>&lt;&#10;&amp;&#x1F600;')],
    ['one line', plain.replaceAll(/\n */g, '')],
  ])('%s', (_, text) => {
    for (const target of ['native', 'override', 'both'] as const)
      expect(expectOnlyListed(text, { target })).toBe('rewritten');
  });
});

const missing = !existsSync(sharedData('libvirt'));
(missing ? describe.skip : describe)(
  'the corpus with a vSMMU put in (needs the shared libvirt domains)',
  () => {
    test.each(['native', 'both'] as const)(
      'target %s: what is listed changes, and nothing else',
      (target) => {
        const outcomes = { rewritten: 0, refused: 0 };
        for (const folder of FOLDERS)
          for (const name of readdirSync(sharedData(folder))) {
            const text = name.endsWith('.xml') ? readFileSync(sharedData(folder, name), 'utf8') : '';
            const at = text.lastIndexOf('</devices>');
            if (at === -1 || text.includes('index="240"')) continue;
            outcomes[expectOnlyListed(text.slice(0, at) + FRAGMENT + text.slice(at), { target })]++;
          }
        expect(outcomes.rewritten).toBeGreaterThan(500);
        // Domains with an iommu of another kind.
        expect(outcomes.refused).toBeLessThan(60);
      },
    );
  },
);
