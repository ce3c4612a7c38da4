import assert from 'node:assert/strict';

import { ERROR_CODES } from '../../src/error-codes.js';
import { VsmmuError } from '../../src/errors.js';

/**
 * What came of it, or the code of a refusal that a person can act on. Anything else that is thrown is a defect, and
 * so is a refusal without a known code or a remedy.
 */
export function resultOrRefusal<T>(act: () => T): { readonly value: T } | { readonly refused: string } {
  try {
    return { value: act() };
  } catch (error) {
    return { refused: refusalCode(error) };
  }
}

/** The same of an error that was caught already. */
export function refusalCode(error: unknown): string {
  if (!(error instanceof VsmmuError)) throw error;
  assert.ok(Object.hasOwn(ERROR_CODES, error.code), `${error.code} is a known code`);
  assert.notEqual(error.remedy, '', `${error.code} names a remedy`);
  assert.notEqual(error.code, 'PLAN_UNSETTLED', error.message);
  return error.code;
}
