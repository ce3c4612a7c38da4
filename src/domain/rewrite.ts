import type { HostFeatures } from '../smmu/features.js';
import { VsmmuError } from '../errors.js';
import { isAccelerated } from './asked.js';
import { readDomain, type DomainModel } from './domain-model.js';
import { applyEdits } from './edit.js';
import { type ResolvedOptions, type RewriteOptions, withDefaults } from './options.js';
import { checkBuses } from './plan-buses.js';
import { planOverrides } from './plan-override.js';
import { planSmmu } from './plan-smmu.js';
import { Plan, type Decision } from './plan.js';
import { lineAndColumn } from './place.js';
import { DomainRefused } from './refused.js';
import { scanXml } from './scan.js';
import { readTopology } from './topology.js';

export type { Decision } from './plan.js';
export type { RewriteOptions } from './options.js';

/** One change of the text, with its place in the document as it was. */
export interface Change {
  readonly line: number;
  readonly column: number;
  readonly what: string;
  readonly why: string;
}

export interface RewriteResult {
  /** The document; the same string where nothing had to change. */
  readonly text: string;
  readonly decisions: readonly Decision[];
  readonly changes: readonly Change[];
}

/**
 * Writes every accelerated vSMMU of a libvirt domain with the values that its host devices allow, and each of
 * those devices' `ats`. All else stays byte for byte. A domain without accelerated vSMMU comes back as it is.
 *
 * @throws VsmmuError XML_*, NOT_A_DOMAIN where the text is no domain; DomainRefused with every finding where the
 *   domain or the host doesn't allow it
 */
export function rewriteDomain(text: string, host: HostFeatures, options: RewriteOptions = {}): RewriteResult {
  const settled = withDefaults(options);
  const model = modelOf(text, settled);
  const plan = planDomain(model, host, settled);
  if (plan.edits.length === 0) return { text, decisions: plan.decisions, changes: [] };

  const rewritten = applyEdits(text, plan.edits);
  requireSettled(rewritten, host, settled);
  const changes = plan.edits
    .map(({ start, what, why }) => ({ start, ...lineAndColumn(text, start), what, why }))
    .sort((a, b) => a.start - b.start)
    .map(({ line, column, what, why }) => ({ line, column, what, why }));
  return { text: rewritten, decisions: plan.decisions, changes };
}

function modelOf(text: string, { source }: ResolvedOptions): DomainModel {
  return readDomain(scanXml(text, source), text, source);
}

/** @throws DomainRefused */
function planDomain(model: DomainModel, host: HostFeatures, options: ResolvedOptions): Plan {
  const plan = new Plan(model, host, options);
  const accelerated = model.smmus.filter((smmu) => {
    const accel = isAccelerated(model, smmu);
    if (accel === undefined)
      plan.refuse(
        smmu.element,
        'DOMAIN_VALUE',
        `${smmu.alias}: accel is neither on nor off`,
        'Correct the value.',
      );
    return accel === true;
  });
  if (accelerated.length > 0) {
    const topology = readTopology(model);
    checkBuses(plan, topology, accelerated);
    if (plan.findings.length === 0)
      for (const smmu of accelerated) planSmmu(plan, smmu, topology.behind.get(smmu) ?? []);
    planOverrides(plan);
  }
  const [first, ...others] = plan.findings;
  if (first !== undefined) throw new DomainRefused(first, others);
  return plan;
}

/** The result is read and planned again: a rewrite that would still want to change its own output is not let out. */
function requireSettled(rewritten: string, host: HostFeatures, options: ResolvedOptions): void {
  const again = planDomain(modelOf(rewritten, options), host, options);
  const [left] = again.edits;
  if (left === undefined) return;
  throw new VsmmuError('PLAN_UNSETTLED', `the rewritten domain would be changed again: ${left.what}`, {
    place: options.source,
    remedy: 'This is a defect of vsmmu; report it with the domain. Nothing was written.',
  });
}
