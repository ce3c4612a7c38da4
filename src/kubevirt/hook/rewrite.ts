import { DomainRefused } from '../../domain/refused.js';
import { rewriteDomain, type RewriteOptions, type RewriteResult } from '../../domain/rewrite.js';
import { parseWishes } from '../../domain/wishes.js';
import { VsmmuError } from '../../errors.js';
import { SET_ANNOTATION } from '../annotations.js';
import type { RewriteDomain } from './define-domain.js';

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
  return (xml, host, wishes) => {
    const set = wishes === undefined ? {} : { set: parseWishes([wishes], `annotation ${SET_ANNOTATION}`) };
    try {
      const { text, warnings } = rewriteDomain(xml, host, { ...options, ...set });
      if (warnings.length > 0) onWarnings(warnings);
      return text;
    } catch (error) {
      throw error instanceof DomainRefused && error.findings.length > 1 ? allReasons(error) : error;
    }
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
