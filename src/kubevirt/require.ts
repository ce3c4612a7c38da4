import { VsmmuError } from '../errors.js';
import { REQUIRE_ANNOTATION } from './annotations.js';

/** One thing that a VMI requires of its node, as an expression over the labels that the controller gives nodes. */
export interface Requirement {
  /** As it was written: "ssidsize>=16". */
  readonly text: string;
  /** "vsmmu.io/ssidsize" */
  readonly label: string;
  /** Kubernetes' own: In compares texts, Gt whole numbers. */
  readonly operator: 'In' | 'Gt';
  readonly value: string;
}

const SWITCHES = ['accel', 'ats', 'ril', 'cmdqv'];
const NUMBERS = ['ssidsize', 'oas'];

/**
 * Reads annotation vsmmu.io/require: "ats, ril, pasid, ssidsize>=16, oas>=48". Empty is nothing required.
 *
 * @throws VsmmuError REQUIRE_MALFORMED
 */
export function parseRequire(annotation: string): Requirement[] {
  if (annotation === '') return [];
  const terms = annotation.split(',').map((term) => term.replaceAll(/\s/g, ''));
  return terms.filter((term) => term !== '').map(parseTerm);
}

function parseTerm(text: string): Requirement {
  if (SWITCHES.includes(text)) return { text, label: `vsmmu.io/${text}`, operator: 'In', value: 'on' };
  if (text === 'pasid') return { text, label: 'vsmmu.io/ssidsize', operator: 'Gt', value: '0' };
  const match = /^(\w+)>=([1-9]\d?)$/.exec(text);
  const [, name = '', least = ''] = match ?? [];
  if (match !== null && NUMBERS.includes(name))
    return { text, label: `vsmmu.io/${name}`, operator: 'Gt', value: String(Number(least) - 1) };
  throw new VsmmuError('REQUIRE_MALFORMED', `"${text.slice(0, 40)}" is nothing that can be required`, {
    place: `metadata.annotations[${REQUIRE_ANNOTATION}]`,
    remedy: 'Write accel, ats, ril, cmdqv, pasid, ssidsize>=N or oas>=N, separated by commas.',
  });
}

/** What a node's labels fail to meet, such as "ats (it has off)"; empty where they meet all. */
export function unmet(
  requirements: readonly Requirement[],
  labels: Readonly<Record<string, string>>,
): string[] {
  return requirements
    .filter(({ label, operator, value }) => {
      const has = labels[label];
      return operator === 'In' ? has !== value : has === undefined || !(Number(has) > Number(value));
    })
    .map(({ text, label }) => `${text} (it has ${labels[label] ?? 'none'})`);
}
