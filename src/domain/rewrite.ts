import type { HostFeatures } from '../smmu/features.js';
import { VsmmuError } from '../errors.js';
import { isAccelerated } from './asked.js';
import { editedDomain, parseDomain, type DomainModel, type VirtualSmmu } from './domain-model.js';
import { type ResolvedOptions, type RewriteOptions, withDefaults } from './options.js';
import type { SetValue } from './edit.js';
import { planTopology } from './build-topology.js';
import { checkBuses } from './check-buses.js';
import { checkTwice } from './check-twice.js';
import { checkEmulated, checkMix, checkNodesets, withoutIommufd } from './check-devices.js';
import { planOverrides } from './plan-override.js';
import { planSubsystemMode } from './plan-subsystem-mode.js';
import { planSmmu } from './plan-smmu.js';
import { Plan, type Decision } from './plan.js';
import { linesAndColumns } from './place.js';
import { DomainRefused } from './refused.js';
import { readTopology } from './topology.js';

export type { Decision } from './plan.js';
export type { RewriteOptions } from './options.js';

/** One change of the text, with its place in the document before the stage (topology, values) that made it. */
export interface Change {
  readonly line: number;
  readonly column: number;
  readonly what: string;
  readonly why: string;
  /** The properties that it sets, as data; `what` says them and more in words. */
  readonly sets: readonly SetValue[];
}

export interface RewriteResult {
  /** The document; the same string where nothing had to change. */
  readonly text: string;
  readonly decisions: readonly Decision[];
  readonly changes: readonly Change[];
  /** What the rewrite did not touch and a person should know. */
  readonly warnings: readonly VsmmuError[];
}

/**
 * Writes every accelerated vSMMU of a libvirt domain with the values that its host devices allow, and each of
 * those devices' `ats`; by policy it builds vSMMUs where there are none. All else stays byte for byte, and a domain
 * with nothing to do comes back as it is.
 *
 * @throws VsmmuError XML_*, NOT_A_DOMAIN where the text is no domain; DomainRefused with every finding where the
 *   domain or the host doesn't allow it
 */
export function rewriteDomain(text: string, host: HostFeatures, options: RewriteOptions = {}): RewriteResult {
  const settled = withDefaults(options);
  const first = parseDomain(text, settled.source);
  if (settled.topology === 'off') return { text, decisions: [], changes: [], warnings: [] };

  const topology = new Plan(first, host, settled);
  planTopology(topology);
  planSubsystemMode(topology);
  refuseIfFound(topology);

  const built = editedDomain(first, topology.edits);
  const values = new Plan(built, host, settled);
  planValues(values);
  refuseIfFound(values);

  const rewritten = editedDomain(built, values.edits);
  if (rewritten !== first) requireSettled(rewritten, host, settled);
  return {
    text: rewritten.text,
    decisions: values.decisions,
    changes: [...changesOf(topology), ...changesOf(values)],
    warnings: values.warnings,
  };
}

function changesOf({ edits, model }: Plan): Change[] {
  const sorted = edits.toSorted((a, b) => a.start - b.start);
  const places = linesAndColumns(
    model.text,
    sorted.map(({ start }) => start),
  );
  return sorted.map(({ what, why, sets = [] }, index) => ({
    ...(places[index] ?? { line: 1, column: 1 }),
    what,
    why,
    sets,
  }));
}

/** @throws DomainRefused */
function refuseIfFound(plan: Plan): void {
  const [first, ...others] = plan.findings;
  if (first !== undefined) throw new DomainRefused(first, others);
}

/** Plans the values of every accelerated vSMMU. */
function planValues(plan: Plan): void {
  const { model } = plan;
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
  warnOfWishes(plan);
  if (accelerated.length > 0) planAccelerated(plan, accelerated);
}

/** Not a refusal: who does not know the node yet may name the devices of each it could be. */
function warnOfWishes(plan: Plan): void {
  const { root, passthrough } = plan.model;
  const present = new Set(passthrough.map(({ bdf }) => bdf));
  for (const bdf of plan.options.set.atsOf.keys())
    if (!present.has(bdf))
      plan.warn(
        root,
        'WISH_UNUSED',
        `ats of ${bdf} is set, and the domain has no such device`,
        'Name a device by the host address in its <source>, or leave the wish out.',
      );
}

function planAccelerated(plan: Plan, accelerated: readonly VirtualSmmu[]): void {
  const topology = readTopology(plan.model);
  checkBuses(plan, topology, accelerated);
  checkTwice(plan);
  // Where a bus is wrong, what stands behind which vSMMU means nothing.
  if (plan.findings.length > 0) return;
  checkMix(plan);
  checkEmulated(plan, accelerated);
  for (const smmu of accelerated) {
    const behind = topology.behind.get(smmu) ?? [];
    checkNodesets(plan, behind);
    for (const device of withoutIommufd(plan.model, behind))
      plan.warn(
        device.element,
        'IOMMUFD_REQUIRED',
        `${device.alias} does not use iommufd; QEMU refuses such a device behind an accelerated vSMMU`,
        "Add <iommufd enabled='yes'/> to the domain, or use --topology complete.",
      );
    planSmmu(plan, smmu, behind);
  }
  planOverrides(plan);
}

/** The result is planned again: a rewrite that would still want to change its own output is not let out. */
function requireSettled(rewritten: DomainModel, host: HostFeatures, options: ResolvedOptions): void {
  const again = new Plan(rewritten, host, options);
  planTopology(again);
  planSubsystemMode(again);
  planValues(again);
  const left = again.edits[0]?.what ?? again.findings[0]?.message;
  if (left === undefined) return;
  throw new VsmmuError('PLAN_UNSETTLED', `the rewritten domain would be changed again: ${left}`, {
    place: options.source,
    remedy: 'This is a defect of vsmmu; report it with the domain. Nothing was written.',
  });
}
