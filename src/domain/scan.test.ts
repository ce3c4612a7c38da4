import { describe, expect, test } from '@jest/globals';

import { VsmmuError } from '../errors.js';
import { attributeSpans } from './attribute-span.js';
import type { XmlElement } from './element.js';
import { SCAN_LIMITS, scanXml } from './scan.js';

function all(element: XmlElement): XmlElement[] {
  return [element, ...element.children.flatMap(all)];
}

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof VsmmuError) return error.code;
    throw error;
  }
  return 'accepted';
}

const WELL_FORMED: readonly (readonly [name: string, text: string])[] = [
  ['plain', '<a b="1"><c/>text</a>'],
  ['byte order mark', '\uFEFF<a><b/></a>'],
  ['names that begin with white space of JavaScript', '<a \uFEFFb="1" \u1680c = "2"/>'],
  ['declaration', '<?xml version="1.0" encoding="UTF-8"?>\n<a><b/></a>'],
  ['declared XML 1.1', '<?xml version="1.1"?><a><b/></a>'],
  ['CRLF', '<a>\r\n  <b\r\n    c="1"/>\r\n</a>\r\n'],
  ['lone CR', '<a>\r<b/>\r</a>'],
  ['> in an attribute', '<a b="x > y" c=\'<\'/>'.replace("'<'", "'&lt;'")],
  ['CDATA that looks like markup', '<a><![CDATA[<b></a>]]><b/></a>'],
  ['comment that looks like markup', '<a><!-- <b c="1"> </a> --><b/></a>'],
  ['processing instructions', '<?x <b?><a><?y </a>?><b/></a><?z?>'],
  ['non-ASCII', '<a b="Grüße 😀"><b>日本語 😀</b><ü/></a>'],
  ['references', '<a b="&#10;&lt;&quot;">&amp;&#x1F600;</a>'],
  ['space in tags', '<a  b = "1"  ><c /></a  >'],
  ['prefixes', '<p:a xmlns:p="u" p:x="1"><b xmlns="v"><c/></b></p:a>'],
  ['empty element', '<a></a>'],
];

test.each(WELL_FORMED)('offsets delimit every element: %s', (_, text) => {
  const elements = all(scanXml(text, 'test'));
  for (const element of elements) {
    const open = text.slice(element.start, element.openEnd);
    expect(open.startsWith(`<${element.name}`)).toBe(true);
    expect(open.endsWith('>')).toBe(true);
    if (element.selfClosing) expect(open.endsWith('/>')).toBe(true);
    else expect(text.slice(element.closeStart, element.end)).toMatch(new RegExp(`^</${element.name}\\s*>$`));
    const spans = attributeSpans(text, element);
    expect([...spans.keys()]).toEqual(element.attributes.map(({ name }) => name));
  }
});

test('an element has its namespace, parent and children', () => {
  const root = scanXml('<p:a xmlns:p="u"><b xmlns="v"><c/></b><p:d/></p:a>', 'test');
  expect(all(root).map(({ uri, local }) => `${uri}|${local}`)).toEqual(['u|a', 'v|b', 'v|c', 'u|d']);
  expect(root.children[0]?.children[0]?.parent).toBe(root.children[0]);
});

test('an attribute is named like anything and harms nothing', () => {
  const root = scanXml('<a __proto__="1" constructor="2" toString="3"/>', 'test');
  expect(root.attributes.map(({ name, value }) => `${name}=${value}`)).toEqual([
    '__proto__=1',
    'constructor=2',
    'toString=3',
  ]);
});

const MALFORMED: readonly (readonly [name: string, text: string])[] = [
  ['empty', ''],
  ['only space', '  \n'],
  ['no XML', 'hello'],
  ['two roots', '<a/><b/>'],
  ['text behind the root', '<a/>x'],
  ['unclosed', '<a><b></a>'],
  ['truncated', '<a><b c="'],
  ['duplicate attribute', '<a b="1" b="2"/>'],
  ['duplicate attribute by namespace', '<a xmlns:p="u" xmlns:q="u" p:x="1" q:x="2"/>'],
  ['unbound prefix', '<q:a/>'],
  ['unbound prefix of an attribute', '<a q:b="1"/>'],
  ['< in an attribute', '<a b="<"/>'],
  ['control character', '<a>\u0001</a>'],
  ['NUL', '<a>\u0000</a>'],
  ['reference to a control character', '<a>&#1;</a>'],
  [']]> in text', '<a>]]></a>'],
  ['unknown entity', '<a>&xxe;</a>'],
  ['-- in a comment', '<a><!-- -- --></a>'],
  ['declaration in the middle', '<a><?xml version="1.0"?></a>'],
  ['no space between attributes', '<a b="1"c="2"/>'],
  ['unquoted attribute', '<a b=1/>'],
  ['half a surrogate pair', '<a>\uD800</a>'],
];

test.each(MALFORMED)('refused as malformed: %s', (_, text) => {
  expect(codeOf(() => scanXml(text, 'test'))).toBe('XML_MALFORMED');
});

test('a message names file, line and column', () => {
  const text = '<domain>\n  <name>x</nam>\n</domain>';
  expect(() => scanXml(text, 'vm.xml')).toThrow(
    expect.objectContaining({ place: expect.stringMatching(/^vm\.xml:2:\d+$/) as unknown }),
  );
});

describe('hostile documents', () => {
  const bomb = `<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><a>&b;</a>`;
  test.each([
    ['entity bomb', bomb, 'XML_DOCTYPE'],
    ['external entity', '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', 'XML_DOCTYPE'],
    ['external subset', '<!DOCTYPE a SYSTEM "http://127.0.0.1/x.dtd"><a/>', 'XML_DOCTYPE'],
    ['a plain DOCTYPE', '<!DOCTYPE domain><domain/>', 'XML_DOCTYPE'],
    ['200,000 levels', '<a>'.repeat(200_000) + '</a>'.repeat(200_000), 'XML_LIMIT'],
    ['10 MB of text', `<a>${'x'.repeat(10_000_000)}</a>`, 'XML_LIMIT'],
    ['100,001 elements', `<a>${'<b/>'.repeat(100_000)}</a>`, 'XML_LIMIT'],
    [
      'nested namespaces',
      Array.from({ length: 300 }, (__, i) => `<p${i}:a xmlns:p${i}="u${i}">`).join(''),
      'XML_LIMIT',
    ],
  ])('%s', (_, text, code) => {
    expect(codeOf(() => scanXml(text, 'test'))).toBe(code);
  });

  test('100,000 attributes of one element are read', () => {
    const attributes = Array.from({ length: 100_000 }, (_, i) => ` a${i}="${i}"`).join('');
    expect(scanXml(`<a${attributes}/>`, 'test').attributes).toHaveLength(100_000);
  });

  test(`${SCAN_LIMITS.depth} levels are read, as libxml2 reads them`, () => {
    const { depth } = SCAN_LIMITS;
    const text = (levels: number) => '<a>'.repeat(levels) + '</a>'.repeat(levels);
    expect(all(scanXml(text(depth), 'test'))).toHaveLength(depth);
    expect(codeOf(() => scanXml(text(depth + 1), 'test'))).toBe('XML_LIMIT');
  });
});

describe('leaves', () => {
  const leaves = new Set(['metadata']);
  const text = '<a><metadata x="1"><b><metadata/></b>t</metadata><c><d/></c></a>';

  test('their content is not kept, and all around it is', () => {
    const root = scanXml(text, 'test', { leaves });
    expect(all(root).map(({ name }) => name)).toEqual(['a', 'metadata', 'c', 'd']);
    const [metadata] = root.children;
    expect(text.slice(metadata?.closeStart, metadata?.end)).toBe('</metadata>');
  });

  test.each([
    ['unbound prefix', '<a><metadata><q:b/></metadata></a>', 'XML_MALFORMED'],
    ['unclosed', '<a><metadata><b></metadata></a>', 'XML_MALFORMED'],
    ['too deep', `<a><metadata>${'<b>'.repeat(300)}`, 'XML_LIMIT'],
  ])('their content is checked: %s', (_, document, code) => {
    expect(codeOf(() => scanXml(document, 'test', { leaves }))).toBe(code);
  });
});
