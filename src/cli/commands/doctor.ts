import { checkEnvironment } from '../../doctor/environment-checks.js';
import { lookAround } from '../../doctor/environment.js';
import { CHECKS, type CheckCode, type CheckOutcome, type CheckResult } from '../../doctor/check.js';
import { checkHost } from '../../doctor/host-checks.js';
import { ExitStatus } from '../../errors.js';
import { openHost } from '../../host/open-host.js';
import { probeHost } from '../../host/probe.js';
import type { CliIo } from '../io.js';
import { renderData, type OutputFormat } from '../output.js';
import { printable } from '../../printable.js';
import { waiting } from '../waiting.js';
import { write } from '../write.js';

export interface DoctorCommandOptions {
  readonly host?: string | undefined;
  /** May idle devices be bound, which resets them? */
  readonly bind: boolean;
  readonly launcherRoot?: string | undefined;
  readonly kubeletDir: string;
  readonly output: OutputFormat;
}

/** Version of the JSON and YAML output (docs/doctor.md). */
const FORMAT = 1;
const MARKS: Readonly<Record<CheckResult, string>> = { ok: '√', warning: '‼', error: '×', unknown: '?' };
const COLORS: Readonly<Record<CheckResult, number>> = { ok: 32, warning: 33, error: 31, unknown: 36 };

/**
 * `vsmmu doctor`: is this host ready for VMs with an accelerated vSMMU?
 * @returns findings where a check ended with a warning or an error; one that could not be made is neither
 */
export async function runDoctor(options: DoctorCommandOptions, io: CliIo): Promise<ExitStatus> {
  const source = await openHost({ host: options.host, bind: options.bind });
  try {
    const report = await waiting(
      io,
      'asking the kernel about devices',
      probeHost(source, { signal: io.signal }),
    );
    const nodes = report.devices.flatMap(({ vfio, cdev }) => (vfio && cdev.known ? [cdev.value] : []));
    const environment = await lookAround(source, nodes, {
      live: options.host === undefined,
      launcherRoot: options.launcherRoot,
      kubeletDir: options.kubeletDir,
      path: io.env['PATH'] ?? '',
    });
    const outcomes = inOrder([...checkHost(report), ...checkEnvironment(environment)]);
    await write(
      io.stdout,
      options.output === 'table'
        ? renderOutcomes(report.origin, outcomes, io.color)
        : await renderData(options.output, asData(report.origin, outcomes)),
    );
    return isSuccess(outcomes) ? ExitStatus.ok : ExitStatus.findings;
  } finally {
    await source.close();
  }
}

function inOrder(outcomes: readonly CheckOutcome[]): CheckOutcome[] {
  const codes = Object.keys(CHECKS);
  return [...outcomes].sort((a, b) => codes.indexOf(a.code) - codes.indexOf(b.code));
}

function isSuccess(outcomes: readonly CheckOutcome[]): boolean {
  return outcomes.every(({ result }) => result === 'ok' || result === 'unknown');
}

/** The shape that `linkerd check -o json` made common. */
function asData(origin: string, outcomes: readonly CheckOutcome[]): object {
  const categories = [...new Set(outcomes.map(({ code }) => CHECKS[code][0]))].map((category) => ({
    categoryName: category,
    checks: outcomes
      .filter(({ code }) => CHECKS[code][0] === category)
      .map(({ code, subject, result, evidence, remedy }) => ({
        code,
        description: describe(code),
        subject,
        result,
        evidence,
        hint: remedy,
        page: pageOf(code),
      })),
  }));
  return { format: FORMAT, origin, success: isSuccess(outcomes), categories };
}

function describe(code: CheckCode): string {
  const [category, what] = CHECKS[code];
  return `${category}: ${what}`;
}

function pageOf(code: CheckCode): string {
  return `docs/doctor.md#${code.toLowerCase()}`;
}

function renderOutcomes(origin: string, outcomes: readonly CheckOutcome[], color: boolean): string {
  const lines = [`${origin}\n`];
  let category = '';
  for (const outcome of outcomes) {
    const [of] = CHECKS[outcome.code];
    if (of !== category) lines.push(`\n${of}\n${'-'.repeat(of.length)}\n`);
    category = of;
    lines.push(renderOutcome(outcome, color));
  }
  const count = (result: CheckResult) => outcomes.filter((outcome) => outcome.result === result).length;
  lines.push(
    `\n${count('ok')} ok, ${count('warning')} warnings, ${count('error')} errors, ${count('unknown')} could not be checked\n`,
  );
  return lines.join('');
}

function renderOutcome({ code, subject, result, evidence, remedy }: CheckOutcome, color: boolean): string {
  const mark = color ? `\u001b[${COLORS[result]}m${MARKS[result]}\u001b[0m` : MARKS[result];
  const [, what] = CHECKS[code];
  const about = subject === undefined ? what : `${what}: ${subject}`;
  const rest = [evidence, ...(result === 'ok' ? [] : [`-> ${remedy}`])];
  const page = result === 'ok' ? [] : [`   see ${pageOf(code)}`];
  return [
    `${mark} ${about} [${code}]`,
    ...rest.map((line) => `    ${printable(line)}`),
    ...page.map((line) => ` ${line}`),
  ]
    .map((line) => `${line}\n`)
    .join('');
}
