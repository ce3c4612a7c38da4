import { DomainRefused } from '../../domain/refused.js';
import { rewriteDomain, type RewriteOptions } from '../../domain/rewrite.js';
import { VsmmuError } from '../../errors.js';
import type { RewriteDomain } from './define-domain.js';

/** A condition's message is read by a person; this many reasons are enough to act on. */
const REASONS_MAX = 8;

/** The domain rewriter for a hook. virt-launcher shows one message, so a refusal's reasons are put into one. */
export function hookRewriter(options: RewriteOptions): RewriteDomain {
  return (xml, host) => {
    try {
      return rewriteDomain(xml, host, options).text;
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
