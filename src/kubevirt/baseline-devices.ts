import { VsmmuError } from '../errors.js';
import { BASELINE_DEVICES_ANNOTATION } from './annotations.js';

/** Does ATS work on devices of a model, "10de:2941", on every member of a Baseline that has such devices? */
export type ModelAts = ReadonlyMap<string, 'yes' | 'no'>;

const TERM = /^([0-9a-f]{4}:[0-9a-f]{4})=(yes|no)$/;
/** Far more models than a fleet has. */
const TERMS_MAX = 1024;

/** "10de:2941=yes,15b3:a2dc=no"; undefined where there is nothing to say. */
export function renderBaselineDevices(models: Iterable<readonly [string, string]>): string | undefined {
  const terms = [...models].map(([model, ats]) => `${model}=${ats}`).filter((term) => TERM.test(term));
  return terms.length === 0 ? undefined : terms.toSorted().join(',');
}

/** @throws VsmmuError BASELINE_MALFORMED */
export function parseBaselineDevices(text: string): ModelAts {
  const terms = text === '' ? [] : text.split(',');
  if (terms.length > TERMS_MAX) throw malformed(`more than ${TERMS_MAX} models`);
  return new Map(
    terms.map((term) => {
      const [, model = '', ats] = TERM.exec(term) ?? [];
      if (ats !== 'yes' && ats !== 'no') throw malformed(`"${term.slice(0, 40)}" is no model with yes or no`);
      return [model, ats];
    }),
  );
}

function malformed(message: string): VsmmuError {
  return new VsmmuError('BASELINE_MALFORMED', message, {
    place: `metadata.annotations[${BASELINE_DEVICES_ANNOTATION}]`,
    remedy: 'Leave the annotation to the webhook, which writes it when the VMI is created.',
  });
}
