import type { VsmmuProperty } from './properties.js';
import type { IdrWords } from './registers.js';

/** Word and bits of each register-backed property (Arm IHI 0070; see registers.ts). */
const FIELDS: Readonly<Partial<Record<VsmmuProperty, { word: 0 | 1 | 3 | 5; high: number; low: number }>>> = {
  ats: { word: 0, high: 10, low: 10 },
  ssidsize: { word: 1, high: 10, low: 6 },
  ril: { word: 3, high: 10, low: 10 },
  oas: { word: 5, high: 2, low: 0 },
};

/** What was read for a property: "IDR0[10]=1", "IDR1[10:6]=20". undefined where no register stands behind it. */
export function registerEvidence(property: VsmmuProperty, words: IdrWords): string | undefined {
  const field = FIELDS[property];
  if (field === undefined) return undefined;
  const { word, high, low } = field;
  const value = (words[word] >>> low) & ((1 << (high - low + 1)) - 1);
  return `IDR${word}[${high === low ? high : `${high}:${low}`}]=${value}`;
}
