import type { PageNode } from '../page-fleet.js';

/** What a VM could get on a node, as one word, one mark and one colour. */
export type NodeState = 'yes' | 'part' | 'no' | 'unknown';

export const STATES: Readonly<Record<NodeState, { readonly mark: string; readonly words: string }>> = {
  yes: { mark: '✓', words: 'accelerated, every device has ATS' },
  part: { mark: '½', words: 'accelerated, not every device has ATS' },
  unknown: { mark: '?', words: 'accelerated, ATS of a device unknown' },
  no: { mark: '–', words: 'no accelerated vSMMU' },
};

/** A node whose agent has been silent for too long, whatever it said before. */
export const STALE_MARK = '!';

export function stateOf({ values, ats }: PageNode): NodeState {
  if (values === null) return 'no';
  if (ats.includes('unknown')) return 'unknown';
  return ats.every((one) => one === 'yes') ? 'yes' : 'part';
}
