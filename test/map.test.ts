import { existsSync } from 'node:fs';

import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { SaxesParser } from 'saxes';

import { runProgram } from '../src/cli/program.js';
import type { HostMap } from '../src/map/host-map.js';
import { renderMapSvg } from '../src/map/svg-map.js';
import { renderMapText } from '../src/map/text-tree.js';
import { capturedIo } from './captured-io.js';
import { sharedData } from './shared-data.js';

const DEMO = 'src/cli/demo/two-gpu-host';

async function map(host: string, output: 'svg' | 'text'): Promise<string> {
  const io = capturedIo();
  expect(await runProgram(['map', '--host', host, '-o', output], io)).toBe(0);
  return io.out();
}

interface Svg {
  readonly elements: readonly {
    readonly name: string;
    readonly attributes: Readonly<Record<string, string>>;
  }[];
  readonly text: string;
}

/** Throws where the text is not well-formed XML. */
function parseSvg(svg: string): Svg {
  const elements: { name: string; attributes: Record<string, string> }[] = [];
  let text = '';
  const parser = new SaxesParser();
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('opentag', ({ name, attributes }) => elements.push({ name, attributes: { ...attributes } }));
  parser.on('text', (piece) => {
    text += piece;
  });
  parser.write(svg).close();
  return { elements, text };
}

describe('vsmmu map', () => {
  test('tells the topology in words', async () => {
    const text = await map(DEMO, 'text');
    expect(text).toContain(
      'smmu3.0x0000000105000000: accel yes, ATS yes, RIL no, SSIDSIZE 16, OAS 48 bits, CMDQV no',
    );
    expect(text).toContain('  Root complex pci0019:00\n');
    expect(text).toMatch(
      / {4}IOMMU group 5\n {6}0019:01:00\.0 {2}3D controller .*ATS yes, PASID 16 bits, ready/,
    );
    expect(text).toContain('! Not ready: on driver nvme');
  });

  test('draws it as SVG that shows every word of the text, twice the same', async () => {
    const svg = await map(DEMO, 'svg');
    const { elements, text } = parseSvg(svg);
    expect(elements[0]?.name).toBe('svg');
    for (const bdf of ['0009:01:00.0', '000a:01:00.0', '0019:01:00.0', '001a:01:00.0'])
      expect(text).toContain(bdf);
    expect(await map(DEMO, 'svg')).toBe(svg);
  });

  test('is one image with a name and a description that says all of it', async () => {
    const svg = await map(DEMO, 'svg');
    const { elements } = parseSvg(svg);
    expect(elements[0]?.attributes).toMatchObject({
      role: 'img',
      'aria-labelledby': 'vsmmu-map-title vsmmu-map-desc',
    });
    const description = /<desc id="vsmmu-map-desc">([^<]*)<\/desc>/.exec(svg)?.[1];
    expect(description).toBe((await map(DEMO, 'text')).replaceAll('&', '&amp;').replaceAll('>', '&gt;'));
  });

  test('needs nothing from outside and runs nothing', async () => {
    const svg = await map(DEMO, 'svg');
    const { elements } = parseSvg(svg);
    expect(elements.map(({ name }) => name)).not.toContain('script');
    const attributes = elements.flatMap((element) => Object.keys(element.attributes));
    expect(attributes.filter((name) => name.includes('href') || name.startsWith('on'))).toEqual([]);
    expect(svg).not.toContain('url(');
    // Renderers of documents know no CSS variables, and paint black what they don't know.
    expect(svg).not.toContain('var(');
  });

  const recorded = sharedData('hosts', 'linux-6.12-no-iommufd');
  const unknownHost = existsSync(recorded) ? test : test.skip;
  unknownHost(
    'what is unknown is drawn as unknown with its reason (needs the shared recordings)',
    async () => {
      const { elements, text } = parseSvg(await map(recorded, 'svg'));
      expect(
        elements.filter(({ attributes }) => attributes['class'] === 'chip unknown').length,
      ).toBeGreaterThan(5);
      expect(text).toContain('? RIL unknown');
      expect(text).toContain('does not exist although sysfs has vfio0');
    },
  );

  test('a folder that is no recording is refused', async () => {
    const io = capturedIo();
    expect(await runProgram(['map', '--host', 'src/map', '-o', 'svg'], io)).toBe(3);
    expect(io.err()).toContain('error[RECORDING_UNREADABLE]');
    expect(io.out()).toBe('');
  });
});

describe('the drawing', () => {
  const state = fc.constantFrom('yes' as const, 'no' as const, 'unknown' as const);
  const text = fc.string({ unit: 'binary', maxLength: 60 });
  const fact = fc.record({ label: text, state, text, because: text });
  const device = fc.record({
    bdf: text,
    kind: text,
    detail: text,
    bridge: fc.boolean(),
    ready: fc.boolean(),
    facts: fc.array(fact, { maxLength: 3 }),
    notes: fc.array(text, { maxLength: 2 }),
  });
  const group = fc.record({ label: text, devices: fc.array(device, { maxLength: 3 }) });
  const root = fc.record({ label: text, groups: fc.array(group, { maxLength: 3 }) });
  const smmu = fc.record({
    label: text,
    facts: fc.array(fact, { maxLength: 6 }),
    notes: fc.array(text, { maxLength: 2 }),
    roots: fc.array(root, { maxLength: 4 }),
  });
  const hostMap: fc.Arbitrary<HostMap> = fc.record({
    title: text,
    subtitle: text,
    smmus: fc.array(smmu, { maxLength: 3 }),
    findings: fc.array(text, { maxLength: 3 }),
  });

  test('is well-formed whatever a host calls its things, and nothing lies outside it', () => {
    fc.assert(
      fc.property(hostMap, (map) => {
        const { elements } = parseSvg(renderMapSvg(map));
        const [svg] = elements;
        const height = Number(svg?.attributes['height']);
        for (const { name, attributes } of elements) {
          if (name !== 'rect') continue;
          expect(Number(attributes['y'] ?? 0) + Number(attributes['height'])).toBeLessThanOrEqual(height);
        }
      }),
    );
  });

  test('in words moves no cursor', () => {
    fc.assert(
      fc.property(hostMap, (map) => {
        expect(renderMapText(map)).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
      }),
    );
  });
});
