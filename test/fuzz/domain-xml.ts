import assert from 'node:assert/strict';

import { XmlDocument, XmlError } from 'libxml2-wasm';

import { checkDomain } from '../../src/domain/check.js';
import { rewriteDomain, type RewriteOptions } from '../../src/domain/rewrite.js';
import { graceHost } from '../fixtures/domain/host.js';
import { expectOnlyListed } from '../listed-changes.js';
import { Input } from './input.js';
import { resultOrRefusal } from './refusal.js';

const HOSTS = [
  graceHost(),
  graceHost({ limits: { ats: false, cmdqv: true } }, { kernelAts: 'not-supported' }),
  graceHost({ unknown: true }, { kernelAts: 'silent' }),
  graceHost({ limits: { ril: false, ssidsize: 0, oas: 44 } }),
] as const;

/**
 * A libvirt domain: whatever the text, it is rewritten or refused with a code. A rewritten domain is not changed
 * again, one without a change is the very text, and libxml2 sees no change beside those that are listed.
 */
export function fuzz(data: Uint8Array): void {
  const input = new Input(data);
  const host = input.pick(HOSTS);
  const options: RewriteOptions = {
    topology: input.pick(['rewrite', 'complete']),
    regroup: input.pick([false, true]),
    existing: input.pick(['replace', 'keep']),
    target: input.pick(['native', 'override', 'both']),
    unresolvable: input.pick(['fail', 'omit', 'conservative']),
    vfioAts: input.pick([true, false]),
    cmdqv: input.pick([true, false]),
    initiators: input.pick([0, 2]),
  };
  const text = input.text();
  const outcome = resultOrRefusal(() => rewriteDomain(text, host, options));
  resultOrRefusal(() => checkDomain(text, host));
  if ('refused' in outcome) return;

  const { value: result } = outcome;
  assert.equal(
    rewriteDomain(result.text, host, options).text,
    result.text,
    'a second rewrite changes nothing',
  );
  if (result.changes.length === 0) assert.equal(result.text, text, 'nothing listed, nothing changed');
  const inPlace = options.topology === 'rewrite' && options.regroup === false;
  const removes = options.unresolvable === 'omit' || options.cmdqv === false || options.vfioAts === false;
  if (inPlace && !removes && oracleReads(text)) expectOnlyListed(text, result);
}

/**
 * Does libxml2 read what we read, and can it compare it? All that it may refuse by itself are namespaces whose names are
 * no URIs, which is no error to XML and none to libvirt; canonical XML has none for relative ones (C14N 1.0, 1.3).
 */
function oracleReads(text: string): boolean {
  try {
    using document = XmlDocument.fromString(text.replace(/^\uFEFF/, ''));
    document.canonicalizeToString();
    return true;
  } catch (error) {
    if (error instanceof XmlError && /is not a valid URI|Failed to canonicalize/.test(error.message))
      return false;
    throw error;
  }
}
