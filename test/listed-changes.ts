import assert from 'node:assert/strict';

import { XmlC14NMode, XmlDocument, XmlElement } from 'libxml2-wasm';

import type { RewriteResult } from '../src/domain/rewrite.js';

const QEMU = { q: 'http://libvirt.org/schemas/domain/qemu/1.0' };

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
    .replace(/\s*([<>])\s*/g, '$1');
}

/** What the result's list of changes says, in the words of the two functions above. */
function listed({ changes }: RewriteResult): { attributes: string[]; overrides: string[] } {
  const sets = changes.flatMap((change) => change.sets);
  const attributes = sets.filter((one) => one.as === 'attribute');
  const properties = sets.filter((one) => one.as === 'override');
  return {
    attributes: attributes.map(({ name, value }) => `${name}=${value}`).sort(),
    overrides: properties.map(({ alias, name, value }) => `${alias} ${name}=${value}`).sort(),
  };
}

/**
 * Seen by libxml2, which knows nothing of our scanner: what a rewrite says it changes is all that it changes.
 * Of vSMMUs that were there; not of topologies that were built.
 */
export function expectOnlyListed(text: string, result: RewriteResult): void {
  using before = XmlDocument.fromString(text.replace(/^\uFEFF/, ''));
  using after = XmlDocument.fromString(result.text.replace(/^\uFEFF/, ''));
  const without = (all: string[], some: string[]) => all.filter((one) => !some.includes(one)).sort();
  const list = listed(result);
  const attributes = without(driverAttributes(after), driverAttributes(before));
  assert.deepEqual(attributes.map((one) => one.replace(/^\d+ /, '')).sort(), list.attributes);
  assert.deepEqual(without(overrides(after), overrides(before)), list.overrides);
  const modes = (document: XmlDocument) => document.find("/domain/devices/hostdev[@mode='subsystem']").length;
  const said = result.changes.filter(({ what }) => what === "<hostdev> gets mode='subsystem'").length;
  assert.equal(modes(after) - modes(before), said);
  assert.equal(remainder(after), remainder(before));
}
