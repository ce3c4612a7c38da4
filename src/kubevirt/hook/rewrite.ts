import { DomainRefused } from '../../domain/refused.js';
import { rewriteDomain, type RewriteOptions, type RewriteResult } from '../../domain/rewrite.js';
import { parseWishes } from '../../domain/wishes.js';
import { VsmmuError } from '../../errors.js';
import { SET_ANNOTATION } from '../annotations.js';
import { parseBaselineDevices } from '../baseline-devices.js';
import type { AskedByVmi, RewriteDomain } from './define-domain.js';

/** A condition's message is read by a person; this many reasons are enough to act on. */
const REASONS_MAX = 8;

export type Warnings = RewriteResult['warnings'];

/**
 * The domain rewriter for a hook. virt-launcher shows one message, so a refusal's reasons are put into one.
 *
 * @param onWarnings hears what is doubtful in a domain that was rewritten all the same
 */
export function hookRewriter(
  options: RewriteOptions,
  onWarnings: (warnings: Warnings) => void = () => undefined,
): RewriteDomain {
  return (xml, host, asked) => {
    const ofVmi = optionsOfVmi(asked);
    try {
      const { text, warnings } = rewriteDomain(xml, host, { ...options, ...ofVmi });
      if (warnings.length > 0) onWarnings(warnings);
      return text;
    } catch (error) {
      throw error instanceof DomainRefused && error.findings.length > 1 ? allReasons(error) : error;
    }
  };
}

/**
 * What a VMI's annotations make of a rewrite.
 * @throws VsmmuError WISH_MALFORMED, BASELINE_MALFORMED
 */
export function optionsOfVmi({ set, baselineDevices }: AskedByVmi): RewriteOptions {
  return {
    ...(set === undefined ? {} : { set: parseWishes([set], `annotation ${SET_ANNOTATION}`) }),
    // What the baseline gives vSMMUs stands in vsmmu.io/set.
    ...(baselineDevices === undefined
      ? {}
      : { baseline: { vsmmu: {}, deviceAts: parseBaselineDevices(baselineDevices) } }),
  };
}

function allReasons({ code, place, findings }: DomainRefused): VsmmuError {
  const reasons = findings.slice(0, REASONS_MAX).map(({ message }) => message);
  const more = findings.length - reasons.length;
  const remedies = new Set(findings.map(({ remedy }) => remedy));
  return new VsmmuError(code, `${reasons.join('; ')}${more > 0 ? `; and ${more} more` : ''}`, {
    place,
    remedy: [...remedies].slice(0, REASONS_MAX).join(' '),
  });
}
