import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import { frame, FrameReader, FRAME_MAX, MASK_31, PREFACE } from './frame.js';

const frames = fc.array(
  fc.record({
    type: fc.nat({ max: 255 }),
    flags: fc.nat({ max: 255 }),
    stream: fc.nat({ max: MASK_31 }),
    payload: fc.uint8Array({ maxLength: 300 }),
  }),
  { maxLength: 6 },
);

test('what is written is read as the same frames, however the bytes are cut', () => {
  fc.assert(
    fc.property(frames, fc.boolean(), fc.array(fc.integer({ min: 1, max: 40 })), (sent, preface, cuts) => {
      const written = sent.map(({ type, flags, stream, payload }) => frame(type, flags, stream, payload));
      let bytes = Buffer.concat([preface ? PREFACE : Buffer.alloc(0), ...written]);
      const reader = new FrameReader({ preface });
      const read = [];
      for (const cut of cuts) {
        read.push(...reader.push(bytes.subarray(0, cut)));
        bytes = bytes.subarray(cut);
      }
      read.push(...reader.push(bytes));
      expect(read.map((one) => ({ ...one, payload: Uint8Array.from(one.payload) }))).toEqual(sent);
    }),
  );
});

test('a frame beyond the limit is refused by its head alone', () => {
  const head = frame(0, 0, 1, new Uint8Array(FRAME_MAX + 1)).subarray(0, 9);
  expect(() => new FrameReader({ preface: false }).push(head)).toThrow('a frame of 16385 bytes');
});
