// A CycloneDX 1.6 bill of what the image holds. The same input gives the same bytes: no time, no random number.
import { createHash } from 'node:crypto';

/** @param {{ version: string, license: string }} project @param {import('./contents.mjs').Package[]} packages */
export function sbomOf(project, packages) {
  const self = `pkg:npm/vsmmu@${project.version}`;
  const components = packages.map(({ name, version, licence, integrity }) => {
    const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`;
    return {
      type: 'library',
      'bom-ref': purl,
      name,
      version,
      purl,
      licenses: licencesOf(licence),
      hashes: [hashOf(integrity)],
    };
  });
  const document = {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      component: {
        type: 'application',
        'bom-ref': self,
        name: 'vsmmu',
        version: project.version,
        purl: self,
        licenses: licencesOf(project.license),
      },
    },
    components,
    dependencies: [{ ref: self, dependsOn: components.map(({ purl }) => purl) }],
  };
  return { ...document, serialNumber: `urn:uuid:${uuidOf(JSON.stringify(document))}` };
}

function licencesOf(licence) {
  return / (AND|OR|WITH) /.test(licence)
    ? [{ expression: licence.replace(/^\((.*)\)$/, '$1') }]
    : [{ license: { id: licence } }];
}

/** npm's integrity is base64 with a prefix, CycloneDX wants hex. */
function hashOf(integrity) {
  const [, bits, content] = /^sha(\d+)-(.+)$/.exec(integrity);
  return { alg: `SHA-${bits}`, content: Buffer.from(content, 'base64').toString('hex') };
}

/** A version 8 UUID (RFC 9562: its bits are our own) of the content. */
function uuidOf(text) {
  const hex = createHash('sha256').update(text).digest('hex');
  const variant = ((parseInt(hex[16], 16) & 3) | 8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
