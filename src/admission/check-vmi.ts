import { type ErrorCode } from '../error-codes.js';
import { VsmmuError } from '../errors.js';
import type { VmiLabels } from '../fleet/effective-policy.js';
import { explainVmi, type Fleet, type VmiExplanation } from '../fleet/explain-vmi.js';
import type { NodeFit } from '../fleet/node-fit.js';
import {
  HOOK_SIDECARS_ANNOTATION,
  REQUIRE_ANNOTATION,
  RESOLVED_ANNOTATION,
} from '../kubevirt/annotations.js';
import type { ClaimedDevices } from '../kubevirt/claimed-devices.js';
import { checkSidecars } from '../kubevirt/hook-sidecars.js';
import { parseRequire } from '../kubevirt/require.js';
import { wishesOfVmi } from '../kubevirt/set-annotation.js';
import type { Vmi } from '../kubevirt/vmi.js';
import { doubledDevices } from './validate.js';

/** Something that would have the VMI refused, or keep it from ever starting. */
export interface VmiFinding {
  readonly code: ErrorCode;
  readonly place: string;
  readonly message: string;
  readonly remedy: string;
}

export interface VmiCheck {
  readonly findings: readonly VmiFinding[];
  /** What a person should know all the same. */
  readonly notes: readonly string[];
  /** undefined where an annotation of the VMI can't be read. */
  readonly explanation: VmiExplanation | undefined;
}

/** Whose hook the cluster has is not known here: sidecars are read only, not judged. */
const NO_HOOK = { image: '', imagePullPolicy: 'IfNotPresent' } as const;

/** Nodes in a message: enough to see what is wrong. */
const NODES_NAMED = 5;

/** What webhook, scheduler and nodes would say of a VMI that is about to be created; nothing is created. */
export function checkVmi(vmi: Vmi, labels: VmiLabels, fleet: Fleet, claimed?: ClaimedDevices): VmiCheck {
  const annotations = vmi.annotations ?? {};
  const unreadable = [
    ...findingOf(() => wishesOfVmi(vmi)),
    ...findingOf(() => parseRequire(annotations[REQUIRE_ANNOTATION] ?? '')),
    ...findingOf(() => checkSidecars(annotations[HOOK_SIDECARS_ANNOTATION], NO_HOOK)),
  ];
  const doubled = doubledDevices(vmi.devices, fleet.resources).map(({ field, message }): VmiFinding => ({
    code: 'VMI_DEVICE_DOUBLED',
    place: field,
    message,
    remedy: 'Ask for all devices of a resource in one list.',
  }));
  const forged =
    annotations[RESOLVED_ANNOTATION] === undefined
      ? []
      : [`annotation ${RESOLVED_ANNOTATION} is the webhook's: it takes it away when the VMI is created`];
  if (unreadable.length > 0)
    return { findings: [...unreadable, ...doubled], notes: forged, explanation: undefined };
  const explanation = explainVmi(vmi, labels, fleet, claimed);
  const { findings, notes } = judge(explanation);
  return { findings: [...doubled, ...findings], notes: [...forged, ...notes], explanation };
}

function judge({ touched, policy, unresolved, nodes }: VmiExplanation): Omit<VmiCheck, 'explanation'> {
  if (touched.value === false) return { findings: [], notes: [`vsmmu leaves it alone: ${touched.because}`] };
  if (touched.value === 'unknown')
    return { findings: [], notes: [`whether vsmmu serves it is unknown: ${touched.because}`] };
  if (unresolved !== undefined) {
    const { message, remedy } = unresolved;
    if (policy.onUnresolved.value === 'leave')
      return { findings: [], notes: [`vsmmu leaves it alone: ${message} (${policy.onUnresolved.from})`] };
    return {
      findings: [{ code: 'POLICY_UNRESOLVED', place: policy.baseline.from, message, remedy }],
      notes: [],
    };
  }
  if (nodes.every(({ fits }) => fits === 'no')) return { findings: [unplaceable(nodes)], notes: [] };
  const partly = nodes.filter(({ fits }) => fits === 'partly');
  return {
    findings: [],
    notes: partly
      .slice(0, NODES_NAMED)
      .map(({ node, reasons }) => `node ${node} fits partly: ${reasons.join('; ')}`),
  };
}

function unplaceable(nodes: readonly NodeFit[]): VmiFinding {
  const named = nodes.slice(0, NODES_NAMED).map(({ node, reasons }) => `${node}: ${reasons.join(', ')}`);
  const more = nodes.length - named.length;
  return {
    code: 'VMI_UNPLACEABLE',
    place: 'spec',
    message:
      nodes.length === 0
        ? 'no node has a profile, so nothing is known of any'
        : `none of ${nodes.length} nodes could start it: ${named.join('; ')}${more > 0 ? `; and ${more} more` : ''}`,
    remedy:
      nodes.length === 0
        ? 'Run the agent on the nodes; kubectl get nodeprofiles lists what they report.'
        : 'Ask for less, or let vsmmu explain vmi show what each node lacks.',
  };
}

function findingOf(read: () => unknown): VmiFinding[] {
  try {
    read();
    return [];
  } catch (error) {
    if (!(error instanceof VsmmuError)) throw error;
    const { code, place = '', message, remedy } = error;
    return [{ code, place, message, remedy }];
  }
}
