import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { XmlDocument, XmlElement as LibxmlElement, XmlParseError } from 'libxml2-wasm';

import { applyEdits, inOrder, type Edit } from '../src/domain/edit.js';
import type { XmlElement } from '../src/domain/element.js';
import { scanXml } from '../src/domain/scan.js';
import { untouchedElements } from '../src/domain/untouched.js';
import { VsmmuError } from '../src/errors.js';

/** What a tree means, without places: comparable between parsers. */
interface Meaning {
  readonly name: string;
  readonly uri: string;
  readonly attributes: readonly string[];
  readonly children: readonly Meaning[];
}

const XMLNS = /^xmlns(:|$)/;

function ours(element: XmlElement): Meaning {
  return {
    name: element.local,
    uri: element.uri,
    attributes: element.attributes
      .filter(({ name }) => !XMLNS.test(name))
      .map(({ uri, local, value }) => `{${uri}}${local}=${value}`)
      .sort(),
    children: element.children.map(ours),
  };
}

function theirs(element: LibxmlElement): Meaning {
  return {
    name: element.name,
    uri: element.namespaceUri,
    attributes: element.attrs
      .map(({ namespaceUri, name, value }) => `{${namespaceUri}}${name}=${value}`)
      .sort(),
    children: element.find('*').flatMap((child) => (child instanceof LibxmlElement ? [theirs(child)] : [])),
  };
}

function readByUs(text: string): Meaning | string {
  try {
    return ours(scanXml(text, 'test'));
  } catch (error) {
    if (error instanceof VsmmuError) return error.code;
    throw error;
  }
}

/** The text goes in as bytes, as libvirt gives them. */
function readByLibxml2(text: string): Meaning | 'refused' {
  try {
    using document = XmlDocument.fromBuffer(new TextEncoder().encode(text));
    return theirs(document.root);
  } catch (error) {
    if (error instanceof XmlParseError) return 'refused';
    throw error;
  }
}

/** Both take it and see the same, or both refuse it. */
const ALIKE: readonly string[] = [
  '<a/>',
  '<a></a>',
  '<a ></a >',
  '<a/ >',
  '< a/>',
  '<a></ a>',
  '<a></b>',
  '<a><b></a></b>',
  '</a>',
  '<a/></a>',
  '',
  ' ',
  'x<a/>',
  '<a/>x',
  '<a/><b/>',
  '\uFEFF<a/>',
  '\uFEFF\uFEFF<a/>',
  ' <a/>\n',
  '<a b="1"/>',
  "<a b='1'/>",
  '<a b = "1"/>',
  '<a b="1"c="2"/>',
  '<a b="1" b="2"/>',
  '<a b=1/>',
  '<a b/>',
  '<a b=/>',
  '<a b="/>',
  '<a ="1"/>',
  '<a "1"/>',
  '<a b="<"/>',
  '<a b=">"/>',
  '<a b="&"/>',
  '<a b="&lt;&gt;&amp;&quot;&apos;"/>',
  '<a b="\t\n\r\r\n x"/>',
  '<a b="&#9;&#10;&#13;&#x20;"/>',
  '<a b="&#x1F600;😀"/>',
  '<a b="&#0;"/>',
  '<a b="&#xD800;"/>',
  '<a b="&#xFFFE;"/>',
  '<a b="&#x110000;"/>',
  '<a b="&#X41;"/>',
  '<a b="&#x;"/>',
  '<a b="&#;"/>',
  '<a b="&#00000000000000000065;"/>',
  '<a b="&#99999999999999999999;"/>',
  '<a b="&lt"/>',
  '<a b="&none;"/>',
  '<a b="&toString;"/>',
  '<a>&lt;&#65;</a>',
  '<a>&lt</a>',
  '<a>&lt<b/>;</a>',
  '<a>&</a>',
  '<a>& b;</a>',
  '<a>]]></a>',
  '<a>]]&gt;</a>',
  '<a b="]]>"/>',
  '<a><!-- ]]> & < --></a>',
  '<a><!-- - --></a>',
  '<a><!----></a>',
  '<a><!--->--></a>',
  '<a><!---></a>',
  '<a><!-- -- --></a>',
  '<a><!-- ---></a>',
  '<a><!--</a>',
  '<!-- x --><a/><!-- y -->',
  '<a><![CDATA[ <b> & ]] > ]]></a>',
  '<a><![CDATA[]]></a>',
  '<a><![CDATA[</a>',
  '<![CDATA[ ]]><a/>',
  '<a/><![CDATA[ ]]>',
  '<a><![cdata[ ]]></a>',
  '<a><!x></a>',
  '<a><?p?></a>',
  '<a><?p ?></a>',
  '<a><?p x ? > ?></a>',
  '<a><??></a>',
  '<a><? p?></a>',
  '<a><?p/?></a>',
  '<a><?p</a>',
  '<a><?xml?></a>',
  '<a><?xml version="1.0"?></a>',
  '<a><?xml-x?></a>',
  '<?p x?><a/><?q?>',
  '<?xml version="1.0"?><a/>',
  "<?xml version='1.0' encoding='utf-8' standalone='yes' ?><a/>",
  '<?xml version="1.0" encoding="US-ASCII"?><a/>',
  '<?xml version="1.1"?><a/>',
  '<?xml version="2.0"?><a/>',
  '<?xml version="1.0"standalone="no"?><a/>',
  '<?xml version="1.0" standalone="maybe"?><a/>',
  '<?xml encoding="UTF-8"?><a/>',
  '<?xml?><a/>',
  '<?xml version="1.0"><a/>',
  ' <?xml version="1.0"?><a/>',
  '<?xml-stylesheet href="x"?><a/>',
  '<é/>',
  '<a é="1"/>',
  '<日本 語="1"></日本>',
  '<a·/>',
  '<·a/>',
  '<-a/>',
  '<1/>',
  '<a1.-_/>',
  '<a😀/>',
  '<𐀀/>',
  '<a\u00d7/>',
  '<a\u037e/>',
  '<a\u2028/>',
  '<a>\u0001</a>',
  '<a>\u0085\u2028</a>',
  '<a\u0085/>',
  '<a b="\u007f"/>',
  '<a>\uFFFE</a>',
  '<a>\u000b</a>',
  '<a xmlns="u"><b/><c xmlns=""><d/></c></a>',
  '<p:a xmlns:p="u" p:b="1" b="2"/>',
  '<a xmlns:p="u" xmlns:q="u" p:b="1" q:b="2"/>',
  '<a xmlns:p="u"><b p:c="1"><p:d xmlns:p="v"/><p:e/></b></a>',
  '<a xml:lang="en" xml:space="preserve"/>',
  '<a><b/><b></b>x<b/></a>',
  `<a>${'<b>'.repeat(200)}${'</b>'.repeat(200)}</a>`,
];

/** Refused here though libxml2 would go on: libvirt would then lose what it doesn't understand, without a word. */
const STRICTER: readonly (readonly [text: string, code: string])[] = [
  ['<!DOCTYPE a><a/>', 'XML_DOCTYPE'],
  ['<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', 'XML_DOCTYPE'],
  ['<p:a/>', 'XML_MALFORMED'],
  ['<a p:b="1"/>', 'XML_MALFORMED'],
  ['<a:b:c xmlns:a="u"/>', 'XML_MALFORMED'],
  ['<a xmlns:p=""/>', 'XML_MALFORMED'],
  ['<?xml version="1.0" encoding="ISO-8859-1"?><a b="é"/>', 'XML_MALFORMED'],
];

describe('documents are read as libxml2, and with it libvirt, reads them', () => {
  test.each(ALIKE)('%j', (text) => {
    const us = readByUs(text);
    expect(typeof us === 'string' ? 'refused' : us).toEqual(readByLibxml2(text));
  });

  test.each(STRICTER)('stricter: %j', (text, code) => {
    expect(readByUs(text)).toBe(code);
  });

  test('declared encodings under which libvirt would see other markup', () => {
    const hidden = '<?xml version="1.0" encoding="UTF-7"?><a>+ADw-b/+AD4-</a>';
    expect(readByUs(hidden)).toBe('XML_MALFORMED');
  });

  const pieces = fc.constantFrom(
    ...[
      '<a>',
      '</a>',
      '<b/>',
      '<a ',
      'b="1"',
      "c='2'",
      '>',
      '/>',
      '<',
      '&',
      '&lt;',
      '&#65;',
      ';',
      ' ',
      '\r\n',
    ],
    ...[
      '<!--',
      '-->',
      '--',
      '<![CDATA[',
      ']]>',
      '<?p ',
      '?>',
      'xmlns="u"',
      'xmlns:p="v"',
      'p:',
      'x',
      'é',
      '="',
    ],
    ...[
      '"',
      "'",
      '=',
      '\t',
      '<p:c',
      '</p:c>',
      '😀',
      '\uFEFF',
      '<?xml version="1.0"?>',
      'xml:lang="x"',
      '&#xA;',
    ],
  );

  test('any soup of markup', () => {
    let taken = 0;
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 14 }), fc.boolean(), (soup, wrapped) => {
        const text = wrapped ? `<a xmlns:p="w">${soup.join('')}</a>` : soup.join('');
        const us = readByUs(text);
        const them = readByLibxml2(text);
        if (typeof us !== 'string') taken++;
        if (us === 'XML_MALFORMED' && them !== 'refused') expect(text).toMatch(/p:|xmlns/);
        else expect(typeof us === 'string' ? 'refused' : us).toEqual(them);
      }),
      { numRuns: 5000 },
    );
    expect(taken).toBeGreaterThan(50);
  });
});

describe('an edited document is read again only where it was edited', () => {
  const document =
    '<a xmlns:p="u"><b c="1"><d/><metadata><x><y/></x></metadata></b><!-- <z/> -->\n<p:e p:f="2"/><b><g><h/></g></b></a>';
  const leaves = new Set(['metadata']);
  const root = scanXml(document, 'test', { leaves });
  const inserted = fc.constantFrom(
    ...[
      '',
      '',
      '<n/>',
      '<n m="1">',
      '</n>',
      ' k="3"',
      '<!--',
      '-->',
      '<metadata>',
      '</metadata>',
      'text',
      '<p:n/>',
    ],
    ...[
      ' xmlns="w"',
      ' xmlns:p="w"',
      ' xmlns:q="w"',
      '<r xmlns="w" xmlns:p="x">',
      '</r>',
      '<![CDATA[',
      ']]>',
    ],
  );
  const places = fc.oneof(
    fc.constantFrom(0, ...[...document.matchAll(/(?=<)|(?<=>)|(?= )/g)].map(({ index }) => index)),
    fc.nat(document.length),
  );
  const edits = fc
    .array(fc.record({ start: places, length: fc.constantFrom(0, 0, 0, 1, 4, 12), text: inserted }), {
      minLength: 1,
      maxLength: 4,
    })
    .map((parts) =>
      inOrder(
        parts.map(({ start, length, text }): Edit => ({
          start,
          end: Math.min(start + length, document.length),
          text,
          what: '',
          why: '',
        })),
      ),
    )
    .filter((ordered) => ordered.every(({ start }, index) => start >= (ordered[index - 1]?.end ?? 0)));

  function outcome(read: () => XmlElement): unknown {
    try {
      return read();
    } catch (error) {
      if (error instanceof VsmmuError) return error.code;
      throw error;
    }
  }

  test('with the same outcome as reading all of it', () => {
    let taken = 0;
    let spared = 0;
    fc.assert(
      fc.property(edits, (changes) => {
        const text = applyEdits(document, changes);
        const untouched = untouchedElements(root, changes);
        const whole = outcome(() => scanXml(text, 'test', { leaves }));
        expect(outcome(() => scanXml(text, 'test', { leaves, untouched }))).toEqual(whole);
        if (typeof whole === 'string') return;
        taken++;
        spared += untouched.size;
      }),
      { numRuns: 5000 },
    );
    expect(taken).toBeGreaterThan(200);
    expect(spared).toBeGreaterThan(taken);
  });
});
