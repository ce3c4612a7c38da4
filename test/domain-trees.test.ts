import { existsSync, readdirSync, readFileSync } from 'node:fs';

import { describe, expect, test } from '@jest/globals';

import { DomainRefused } from '../src/domain/refused.js';
import { rewriteDomain, type RewriteOptions } from '../src/domain/rewrite.js';
import { graceHost } from './fixtures/domain/host.js';
import { expectOnlyListed } from './listed-changes.js';
import { sharedData } from './shared-data.js';

const FOLDERS = ['libvirt/current', 'libvirt/9.0', 'kubevirt'];

function compare(text: string, options: RewriteOptions = {}): 'rewritten' | 'refused' {
  try {
    expectOnlyListed(text, rewriteDomain(text, graceHost({ limits: { ril: false } }), options));
    return 'rewritten';
  } catch (error) {
    if (error instanceof DomainRefused) return 'refused';
    throw error;
  }
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
      expect(compare(text, { target })).toBe('rewritten');
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
            outcomes[compare(text.slice(0, at) + FRAGMENT + text.slice(at), { target })]++;
          }
        expect(outcomes.rewritten).toBeGreaterThan(500);
        // Domains with an iommu of another kind.
        expect(outcomes.refused).toBeLessThan(60);
      },
    );
  },
);
