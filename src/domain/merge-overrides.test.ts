import { describe, expect, test } from '@jest/globals';

import { oneGpu } from '../../test/fixtures/domain/documents.js';
import { graceHost } from '../../test/fixtures/domain/host.js';
import { rewriteDomain } from './rewrite.js';

const root = " xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'";
const property = (name: string, value: string) =>
  `<q:property name='${name}' type='string' value='${value}'/>`;
const entry = (...properties: readonly string[]) =>
  `<q:device alias='ua-gpu0'><q:frontend>${properties.join('')}</q:frontend></q:device>`;
const block = (...entries: readonly string[]) => `<q:override>${entries.join('')}</q:override>`;

function overridesOf(after: string): string {
  const host = graceHost();
  const { text } = rewriteDomain(oneGpu({ root, after }), host);
  expect(rewriteDomain(text, host).text).toBe(text);
  return text.slice(text.indexOf('</devices>') + '</devices>'.length).replaceAll(/\s*\n\s*/g, '');
}

const rest = (blocks: string) => `${blocks}</domain>`;

test('a no-break space is text, and an entry with text is left alone', () => {
  const spaced = block(
    `<q:device alias='ua-gpu0'>\u00A0<q:frontend/></q:device>`,
    entry(property('ats', 'on')),
  );
  expect(overridesOf(spaced)).toBe(rest(spaced));
});

describe('several entries of one alias become one, in which the last word of each counts', () => {
  test.each([
    [
      'two entries',
      block(entry(property('ats', 'on'), property('x-a', '1')), entry(property('ats', 'off'))),
      block(entry(property('ats', 'on'), property('x-a', '1'))),
    ],
    [
      'two blocks, of which one is left empty',
      block(entry(property('x-a', '1'))) + block(entry(property('x-a', '2'))),
      block(entry(property('x-a', '2'), property('ats', 'on'))),
    ],
    [
      'one property twice',
      block(entry(property('ats', 'off'), property('x-a', '1'), property('ats', 'off'))),
      block(entry(property('ats', 'on'), property('x-a', '1'))),
    ],
    [
      'a property that is taken away',
      block(entry("<q:property name='rombar' type='remove'/>"), entry(property('ats', 'on'))),
      block(entry("<q:property name='rombar' type='remove'/>", property('ats', 'on'))),
    ],
    [
      'another alias between them',
      block(
        entry(property('x-a', '1')),
        "<q:device alias='rng0'><q:frontend/></q:device>",
        entry(property('x-b', '2')),
      ),
      block(
        "<q:device alias='rng0'><q:frontend/></q:device>",
        entry(property('x-a', '1'), property('x-b', '2'), property('ats', 'on')),
      ),
    ],
  ])('%s', (_, before, after) => {
    expect(overridesOf(before)).toBe(rest(after));
  });

  test.each([
    ['a comment', `${property('ats', 'off')}<!-- mine -->`],
    ['an element of no known name', `${property('ats', 'off')}<q:other/>`],
    ['an attribute of no known name', property('ats', 'off').replace(' name', " note='mine' name")],
  ])('but not where %s would be lost', (_, content) => {
    const before = block(entry(property('x-a', '1')), entry(content));
    expect(overridesOf(before)).toBe(rest(before.replace("value='off'", "value='on'")));
  });

  test('an alias that nothing is written for keeps its entries', () => {
    const other = "<q:device alias='rng0'><q:frontend/></q:device>";
    expect(overridesOf(block(other, other, entry(property('ats', 'on'))))).toBe(
      rest(block(other, other, entry(property('ats', 'on')))),
    );
  });
});
