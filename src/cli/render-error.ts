import { VsmmuError, messageOf } from '../errors.js';
import { printableLines } from '../printable.js';

/** Several findings told at once, e.g. every property that a host refuses. */
interface Findings {
  readonly findings: readonly VsmmuError[];
}

function hasFindings(error: VsmmuError): error is VsmmuError & Findings {
  return 'findings' in error && Array.isArray(error.findings);
}

/** The form in which every error reaches a person: code, place, message, cause, remedy. Ends with a newline. */
export function renderError(error: unknown): string {
  if (!(error instanceof VsmmuError)) {
    const stack = error instanceof Error ? error.stack : undefined;
    return `error[INTERNAL]: ${messageOf(error)}\n  remedy: This is a defect of vsmmu; report it with this text.\n${stack === undefined ? '' : `${stack}\n`}`;
  }
  if (hasFindings(error) && error.findings.length > 0) return error.findings.map(renderError).join('');
  const place = error.place === undefined ? '' : ` at ${error.place}`;
  // Many messages quote it; once is enough.
  const told = error.cause === undefined || error.message.includes(messageOf(error.cause));
  const cause = told ? '' : `  cause: ${within(messageOf(error.cause))}\n`;
  return printableLines(
    `error[${error.code}]${within(place)}: ${within(error.message)}\n${cause}  remedy: ${within(error.remedy)}\n`,
  );
}

/** Further lines are indented: what a message quotes must not pass for an error or a remedy of its own. */
function within(text: string): string {
  return text.replaceAll('\n', '\n    ');
}
