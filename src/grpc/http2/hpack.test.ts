import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { encodeHeaders, HeaderDecoder, type Header } from './hpack.js';

const decode = (decoder: HeaderDecoder, hex: string) =>
  decoder.decode(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const GET: Header[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'www.example.com'],
];

/** RFC 7541, appendix C.3 and C.4: three requests on one connection, without and with Huffman coding. */
test.each([
  [
    'literals',
    [
      '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '8286 84be 5808 6e6f 2d63 6163 6865',
      '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
    ],
  ],
  [
    'Huffman coding',
    [
      '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
      '8286 84be 5886 a8eb 1064 9cbf',
      '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
    ],
  ],
])("the RFC's requests with %s", (_, [first = '', second = '', third = '']) => {
  const decoder = new HeaderDecoder();
  expect(decode(decoder, first)).toEqual(GET);
  expect(decode(decoder, second)).toEqual([...GET, ['cache-control', 'no-cache']]);
  expect(decode(decoder, third)).toEqual([
    [':method', 'GET'],
    [':scheme', 'https'],
    [':path', '/index.html'],
    [':authority', 'www.example.com'],
    ['custom-key', 'custom-value'],
  ]);
});

test('what is encoded is decoded, whatever came before', () => {
  const name = fc.oneof(
    fc.constantFrom(':status', ':path', 'content-type', 'grpc-status'),
    fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/),
  );
  const value = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((octet) => String.fromCharCode(octet)),
    maxLength: 300,
  });
  const decoder = new HeaderDecoder();
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 12 }), (headers) => {
      expect(decoder.decode(encodeHeaders(headers))).toEqual(headers);
    }),
  );
});

describe('refuses', () => {
  test.each([
    ['index 0', '80', 'COMPRESSION_ERROR'],
    ['an index beyond both tables', 'be', 'COMPRESSION_ERROR'],
    ['a number that never ends', 'ffffffffffffff', 'COMPRESSION_ERROR'],
    ['a text that is cut short', '000461', 'COMPRESSION_ERROR'],
    ['a block that ends within a header', '00', 'COMPRESSION_ERROR'],
    ['padding of a whole byte', '0084f1e3ffff', 'COMPRESSION_ERROR'],
    ['padding with zeros', '0081f0', 'COMPRESSION_ERROR'],
    ['EOS in a text', '0084fffffffc', 'COMPRESSION_ERROR'],
    ['a table larger than allowed', '3fe21f', 'COMPRESSION_ERROR'],
    ['a change of the table behind a header', '8220', 'COMPRESSION_ERROR'],
    // One literal of 4,000 octets, then nothing but references to it.
    ['few octets that say much', `4001617fa11e${'61'.repeat(4000)}${'be'.repeat(8)}`, 'ENHANCE_YOUR_CALM'],
  ])('%s', (_, hex, code) => {
    expect(() => decode(new HeaderDecoder(), hex)).toThrow(new RegExp(`^${code}: `));
  });

  test('or reads any octets, and never more than its limits', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          new HeaderDecoder().decode(Buffer.from(bytes));
        } catch (error) {
          expect(error).toMatchObject({ name: 'Http2Error' });
        }
      }),
      { numRuns: 500 },
    );
  });
});
