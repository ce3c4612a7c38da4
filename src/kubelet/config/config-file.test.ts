import { describe, expect, test } from '@jest/globals';
import { parseConfig } from './config-file.js';

const HEAD = 'apiVersion: vsmmu.io/v1alpha1\nkind: AgentConfig\n';

test('an empty configuration is the default one', () => {
  expect(parseConfig(HEAD, 'c.yaml')).toEqual({
    resources: [],
    otherwise: 'vsmmu.io/{vendor}-{device}{-ats}',
    iommufd: undefined,
    cdi: undefined,
  });
});

test('selectors take one value or several', () => {
  const { resources, otherwise } = parseConfig(
    `${HEAD}
resources:
  - name: example.com/gb200{-ats}{-pasid}
    select:
      - { vendor: "10de", device: ["2941", "2342"], ats: yes, pasidBits: ">= 16" }
      - { class: "0302", physicalFunction: "0009:01:00.0", accel: [yes, unknown], oas: 48 }
    unknown: included
otherwise: false
iommufd: never
`,
    'c.yaml',
  );
  expect(resources).toEqual([
    {
      name: 'example.com/gb200{-ats}{-pasid}',
      select: [
        { vendor: [0x10de], device: [0x2941, 0x2342], ats: ['yes'], pasidBits: { min: 16, max: Infinity } },
        {
          class: ['0302'],
          physicalFunction: ['0009:01:00.0'],
          accel: ['yes', 'unknown'],
          oas: { min: 48, max: 48 },
        },
      ],
      unknownMatches: true,
    },
  ]);
  expect(otherwise).toBeUndefined();
});

test.each([
  ['> 3', { min: 4, max: Infinity }],
  ['<= 20', { min: 0, max: 20 }],
  ['< 20', { min: 0, max: 19 }],
  ['=16', { min: 16, max: 16 }],
])('the bound %s', (text, range) => {
  const { resources } = parseConfig(
    `${HEAD}resources: [{name: a/b, select: {pasidBits: "${text}"}}]`,
    'c.yaml',
  );
  expect(resources[0]!.select[0]!.pasidBits).toEqual(range);
});

describe('is refused with its line', () => {
  test.each([
    ['an alias of nothing', '*p', /Unresolved alias/],
    [
      'aliases that blow it up',
      `${HEAD}a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: [*c, *c, *c, *c, *c, *c]`,
      /alias/i,
    ],
    ['no kind', 'apiVersion: vsmmu.io/v1alpha1', /kind: must be AgentConfig/],
    [
      'another version',
      'apiVersion: vsmmu.io/v9\nkind: AgentConfig',
      /1:13: apiVersion: must be vsmmu.io\/v1alpha1/,
    ],
    ['a misspelt key', `${HEAD}resorces: []`, /Unrecognized key: "resorces"/],
    [
      'a misspelt selector',
      `${HEAD}resources:\n  - name: a/b\n    select: {vendr: "10de"}`,
      /5:13: resources.0.select/,
    ],
    [
      'a number for a hex id',
      `${HEAD}resources:\n  - name: a/b\n    select: {vendor: 1234}`,
      /four hex digits in quotes/,
    ],
    [
      'a bad name',
      `${HEAD}resources:\n  - name: Example.com/x`,
      /4:11: resources.0.name: the kubelet takes no such name/,
    ],
    [
      'a template field that is none',
      `${HEAD}resources:\n  - name: a/{gpu}`,
      /no field \{gpu\}; there are \{vendor\}/,
    ],
    [
      'an address that is none',
      `${HEAD}resources:\n  - name: a/b\n    select: {bdf: "1:0.0"}`,
      /write an address like/,
    ],
    ['a bound that is none', `${HEAD}resources:\n  - name: a/b\n    select: {pasidBits: many}`, /">= 16"/],
    ['names that share a variable', `${HEAD}resources: [{name: a/b.c}, {name: a/b_c}]`, /PCI_RESOURCE_A_B_C/],
    ['broken YAML', `${HEAD}resources: [`, /3:13/],
    ['no mapping', '- 1', /the file/],
  ])('%s', (_, text, message) => {
    expect(() => parseConfig(text, 'c.yaml')).toThrow(message);
  });
});
