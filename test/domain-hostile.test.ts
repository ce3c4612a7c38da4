import { readFileSync } from 'node:fs';

import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { checkDomain } from '../src/domain/check.js';
import { rewriteDomain, type RewriteOptions, type RewriteResult } from '../src/domain/rewrite.js';
import { ERROR_CODES } from '../src/error-codes.js';
import { VsmmuError } from '../src/errors.js';
import { HOSTDEV, oneGpu } from './fixtures/domain/documents.js';
import { graceHost } from './fixtures/domain/host.js';
import { expectOnlyListed } from './listed-changes.js';

/** A result, or the code of a refusal that a person can act on; everything else is a defect. */
function attempt(text: string, options: RewriteOptions = {}, host = graceHost()): RewriteResult | string {
  try {
    return rewriteDomain(text, host, options);
  } catch (error) {
    if (!(error instanceof VsmmuError)) throw error;
    expect(Object.keys(ERROR_CODES)).toContain(error.code);
    expect(error.code).not.toBe('PLAN_UNSETTLED');
    expect(error.remedy).not.toBe('');
    return error.code;
  }
}

describe('hostile documents', () => {
  const inDomain = (inner: string) => oneGpu({ after: inner });
  const repeated = (count: number, part: (index: number) => string) =>
    Array.from({ length: count }, (_, i) => part(i)).join('');

  test.each([
    [
      'an entity bomb',
      `<!DOCTYPE d [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>${inDomain('<x>&b;</x>')}`,
      'XML_DOCTYPE',
    ],
    [
      'an external entity',
      `<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>${inDomain('<x>&x;</x>')}`,
      'XML_DOCTYPE',
    ],
    ['an external entity without DOCTYPE', inDomain('<x>&x;</x>'), 'XML_MALFORMED'],
    [
      'XInclude, which nobody follows',
      inDomain("<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='file:///etc/passwd'/>"),
      'rewritten',
    ],
    [
      'a byte order mark that begins a name',
      oneGpu({ driver: "<driver \uFEFFx='y' pciBus='1' accel='on'/>" }),
      'rewritten',
    ],
    ['64 levels', inDomain(`${'<a>'.repeat(64)}${'</a>'.repeat(64)}`), 'rewritten'],
    ['300 levels', inDomain(`${'<a>'.repeat(300)}${'</a>'.repeat(300)}`), 'XML_LIMIT'],
    ['100,000 levels', inDomain(`${'<a>'.repeat(100_000)}${'</a>'.repeat(100_000)}`), 'XML_LIMIT'],
    ['10 MB', inDomain(`<a>${'x'.repeat(10_000_000)}</a>`), 'XML_LIMIT'],
    ['3 MB of text', inDomain(`<a>${'x'.repeat(3_000_000)}</a>`), 'rewritten'],
    ['100,000 attributes', inDomain(`<a${repeated(100_000, (i) => ` a${i}=''`)}/>`), 'rewritten'],
    ['a duplicate attribute', inDomain("<a b='1' b='2'/>"), 'XML_MALFORMED'],
    [
      'a duplicate attribute of the driver',
      oneGpu({ driver: "<driver pciBus='1' accel='on' accel='off'/>" }),
      'XML_MALFORMED',
    ],
    [
      '1,000 vSMMUs on one bus',
      oneGpu({
        driver: repeated(1000, () => "<driver pciBus='1' accel='on'/></iommu><iommu model='smmuv3'>"),
      }),
      'IOMMU_BUS',
    ],
    [
      '2,000 controllers in a row',
      oneGpu({
        hostdev:
          repeated(
            2000,
            (i) =>
              `<controller type='pci' index='${i + 10}' model='pcie-switch-upstream-port'><address type='pci' bus='${i + 11}'/></controller>`,
          ) + HOSTDEV,
      }),
      'rewritten',
    ],
    [
      '1,000 override blocks',
      oneGpu({
        after: repeated(
          1000,
          (i) =>
            `<q:override xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:device alias='ua-${i}'/></q:override>`,
        ),
      }),
      'rewritten',
    ],
    ['white space by the megabyte', inDomain(' \n'.repeat(1_000_000)), 'rewritten'],
    [
      'an attribute of a megabyte',
      oneGpu({ driver: `<driver pciBus='1' accel='on' ssidsize='${'1'.repeat(1_000_000)}'/>` }),
      'rewritten',
    ],
  ])('%s', (_, text, expected) => {
    const result = attempt(text);
    expect(typeof result === 'string' ? result : 'rewritten').toBe(expected);
  });

  test('a prototype is not reached by names', () => {
    const names = ['__proto__', 'constructor', 'hasOwnProperty', 'toString'];
    const inner = names.map((name) => `<${name} ${name}='1'/>`).join('');
    expect(attempt(inDomain(inner))).toMatchObject({ changes: expect.anything() as unknown });
    expect(({} as Record<string, unknown>)['1']).toBeUndefined();
  });
});

describe('nothing that stands in a document becomes markup elsewhere in it', () => {
  const hostile = `x'/><iommu model='smmuv3'/>"&<>]]>`;
  const escaped = hostile
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll("'", '&apos;')
    .replaceAll('"', '&quot;');

  test.each([
    ['an alias', HOSTDEV.replace('ua-gpu0', escaped)],
    ["an alias that begins like a user's", HOSTDEV.replace('ua-gpu0', `ua-${escaped}`)],
    ['a source address', HOSTDEV.replace("domain='0x0009'", `domain='${escaped}'`)],
    [
      'a guest address',
      HOSTDEV.replace("slot='0x00' function='0x0'/>\n    </hostdev>", `slot='${escaped}'/></hostdev>`),
    ],
  ])('%s', (_, hostdev) => {
    for (const options of [{}, { topology: 'complete' }, { target: 'both' }] as const) {
      const result = attempt(oneGpu({ hostdev }), options);
      if (typeof result === 'string') continue;
      expect(result.text.match(/<iommu /g)).toHaveLength(1);
      expect(result.text).not.toContain(hostile);
    }
  });

  test.each(['ril', 'ssidsize', 'accel', 'pciBus'])('%s of the driver', (name) => {
    const driver = `<driver ${name === 'pciBus' ? '' : "pciBus='1' "}${name === 'accel' ? '' : "accel='on' "}${name}='${escaped}'/>`;
    const result = attempt(oneGpu({ driver }));
    if (typeof result !== 'string') expect(result.text.match(/<iommu /g)).toHaveLength(1);
    expect(typeof attempt(oneGpu({ driver }), { existing: 'keep' })).toBe('string');
  });

  test.each(['name', 'type', 'value'])('%s of a property in overrides that are merged', (name) => {
    const said = { name: 'x-a', type: 'string', value: '1', [name]: escaped };
    const entry = `<q:device alias='ua-gpu0'><q:frontend><q:property name='${said.name}' type='${said.type}' value='${said.value}'/></q:frontend></q:device>`;
    const after = `<q:override xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>${entry}${entry}</q:override>`;
    const result = attempt(oneGpu({ after }));
    if (typeof result === 'string') throw new Error(result);
    expect(result.text.match(/<q:device /g)).toHaveLength(1);
    expect(result.text.match(/<iommu /g)).toHaveLength(1);
    expect(result.text).toContain(`${name}='${escaped.replaceAll('&gt;', '>')}'`);
  });

  test('a prefix is written as it stands', () => {
    const root = " xmlns:ns-0.ä='http://libvirt.org/schemas/domain/qemu/1.0'";
    expect(attempt(oneGpu({ root }))).toMatchObject({
      text: expect.stringContaining('<ns-0.ä:override>') as unknown,
    });
  });
});

/** Set in CI to fuzz for longer. */
const SECONDS = Number(process.env['VSMMU_FUZZ_SECONDS'] ?? 3);

describe(`fuzzed for ${SECONDS} s`, () => {
  const seeds = [
    oneGpu(),
    oneGpu({
      after:
        "<q:override xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:device alias='ua-gpu0'><q:frontend><q:property name='ats' type='string' value='off'/></q:frontend></q:device></q:override>",
    }),
    oneGpu({
      after:
        "<q:override xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:device alias='ua-gpu0'><q:frontend><q:property name='x-a' type='remove'/></q:frontend></q:device><q:device alias='ua-gpu0'><q:frontend><q:property name='ats' type='string' value='off'/></q:frontend></q:device></q:override>",
    }),
    ...['no-topology', 'mixed', 'two-vsmmus'].map((name) =>
      readFileSync(`test/fixtures/domain/${name}.xml`, 'utf8'),
    ),
  ];
  const tokens = [
    '<',
    '>',
    '/>',
    '</',
    '"',
    "'",
    '=',
    '&',
    '&amp;',
    '&#0;',
    '<!--',
    '-->',
    '<![CDATA[',
    ']]>',
    '<?x ',
    '?>',
    '\r',
    '\n',
    '\t',
    '\uFEFF',
    '\u0000',
    '\uD800',
    '😀',
    ':',
    "xmlns='x'",
    "xmlns:qemu='urn:dummy'",
    "<iommu model='smmuv3'>",
    "<driver pciBus='1' accel='on'/>",
    '</iommu>',
    "accel='on'",
    "ssidSize='3'",
    "bus='2'",
    "index='1'",
    '<alias name="ua-x"/>',
    '<devices>',
    '</devices>',
    '<domain>',
    '0x',
    '-1',
    '99999999999999999999',
  ];
  const mutation = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    remove: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 60 })),
    insert: fc.oneof(fc.constantFrom(...tokens), fc.string({ maxLength: 4 }), fc.constant('')),
    copy: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 400 })),
  });
  const document = fc
    .tuple(fc.constantFrom(...seeds), fc.array(mutation, { minLength: 1, maxLength: 4 }))
    .map(([seed, mutations]) =>
      mutations.reduce((text, { at, remove, insert, copy }) => {
        const offset = Math.floor(at * text.length);
        return (
          text.slice(0, offset) + insert + text.slice(offset, offset + copy) + text.slice(offset + remove)
        );
      }, seed),
    );
  const options = fc.record({
    topology: fc.constantFrom('rewrite' as const, 'complete' as const),
    regroup: fc.boolean(),
    existing: fc.constantFrom('replace' as const, 'keep' as const),
    target: fc.constantFrom('native' as const, 'override' as const, 'both' as const),
    spelling: fc.constantFrom('ssidsize' as const, 'ssidSize' as const, 'both' as const),
    unresolvable: fc.constantFrom('fail' as const, 'omit' as const, 'conservative' as const),
    unknownAts: fc.constantFrom('unknown' as const, 'yes' as const, 'no' as const),
    vfioAts: fc.boolean(),
    cmdqv: fc.boolean(),
    initiators: fc.constantFrom(0, 0, 2),
  });
  const host = fc.constantFrom(
    graceHost(),
    graceHost({ limits: { ats: false, cmdqv: true } }, { kernelAts: 'not-supported' }),
    graceHost({ unknown: true }, { kernelAts: 'silent' }),
  );

  test(
    'no crash, no unlisted change, no second change',
    () => {
      let rewritten = 0;
      let refused = 0;
      fc.assert(
        fc.property(document, options, host, (text, choice, on) => {
          const result = attempt(text, choice, on);
          if (typeof result === 'string') refused++;
          else rewritten++;
          if (typeof result === 'string') return;
          expect(rewriteDomain(result.text, on, choice).text).toBe(result.text);
          const inPlace = choice.topology === 'rewrite' && !choice.regroup;
          const removes = choice.unresolvable === 'omit' || !choice.cmdqv || !choice.vfioAts;
          if (inPlace && !removes) expectOnlyListed(text, result);
          if (result.changes.length === 0) expect(result.text).toBe(text);
          checkDomain(text, on);
        }),
        {
          numRuns: Number.MAX_SAFE_INTEGER,
          interruptAfterTimeLimit: SECONDS * 1000,
          markInterruptAsFailure: false,
        },
      );
      // A fuzzer whose documents are all refused, or all taken, tests half of the program.
      expect(Math.min(rewritten, refused)).toBeGreaterThan(10);
    },
    SECONDS * 1000 + 30_000,
  );
});
