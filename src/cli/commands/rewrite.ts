import { chooseTarget, type Launcher } from '../../domain/launcher.js';
import type { FleetValues } from '../../domain/options.js';
import {
  rewriteDomain,
  type Decision,
  type RewriteOptions,
  type RewriteResult,
} from '../../domain/rewrite.js';
import { parseWishes } from '../../domain/wishes.js';
import { ExitStatus, VsmmuError } from '../../errors.js';
import { featuresFor } from '../domain-host.js';
import { readInput } from '../input.js';
import { printable } from '../../printable.js';
import type { CliIo } from '../io.js';
import { launcherOf, type LauncherOptions } from '../launcher.js';
import { renderData, renderTable } from '../output.js';
import { renderError } from '../render-error.js';
import { unifiedDiff } from '../unified-diff.js';
import { write } from '../write.js';

type Tuning = Pick<
  RewriteOptions,
  | 'topology'
  | 'regroup'
  | 'initiators'
  | 'existing'
  | 'unresolvable'
  | 'unknownAts'
  | 'target'
  | 'spelling'
  | 'vfioAts'
>;

export interface RewriteCommandOptions extends Tuning, LauncherOptions {
  /** Folder of a recording; the live host where it is undefined. */
  readonly host?: string | undefined;
  /** "ril=off", ... */
  readonly set?: readonly string[];
  /** File that "vsmmu baseline -o json" wrote. */
  readonly baseline?: string | undefined;
  readonly diff?: boolean;
  readonly explain?: boolean;
  /** `xml` is the document itself; the others print what was decided and changed. */
  readonly output?: 'xml' | 'json' | 'yaml';
}

/**
 * Writes FILE, or standard input for "-", with its vSMMUs resolved, on standard output. Nothing is printed there
 * unless the whole rewrite succeeded.
 */
export async function runRewrite(
  file: string,
  options: RewriteCommandOptions,
  io: CliIo,
): Promise<ExitStatus> {
  const source = file === '-' ? 'standard input' : file;
  const rewriting = await rewriteOptions(options, source, io);
  const text = await readInput(file, io);
  const all = options.topology === 'complete';
  const host = await featuresFor(text, { source, host: options.host, all }, io);
  const result = rewriteDomain(text, host, rewriting);
  for (const warning of result.warnings) io.stderr.write(asWarning(warning));
  await write(io.stdout, await rendered(text, source, result, options, io.color));
  return ExitStatus.ok;
}

async function rewriteOptions(
  options: RewriteCommandOptions,
  source: string,
  io: CliIo,
): Promise<RewriteOptions> {
  const {
    topology,
    regroup,
    initiators,
    existing,
    unresolvable,
    unknownAts,
    target,
    spelling,
    vfioAts,
    set,
    baseline,
  } = options;
  const launcher = await launcherOf(options);
  const chosen = launcher === undefined ? {} : chosenFor(launcher, options, io);
  const given = { topology, regroup, initiators, existing, unresolvable, unknownAts, target, spelling };
  const off = chosen.topology === 'off' ? { topology: 'off' as const } : {};
  return {
    ...chosen,
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    ...(vfioAts === false ? { vfioAts } : {}),
    set: parseWishes(set ?? []),
    baseline: baseline === undefined ? undefined : await fleetValues(baseline, io),
    source,
    ...off,
  };
}

/** Its reader is loaded only where there is one to read. */
async function fleetValues(file: string, io: CliIo): Promise<FleetValues> {
  const { parseFleetValues } = await import('../../domain/fleet-values.js');
  return parseFleetValues(await readInput(file, io), file);
}

/** Where nothing that could be written has an effect, policy `omit` leaves the domain alone and says so. */
function chosenFor(launcher: Launcher, { unresolvable }: RewriteCommandOptions, io: CliIo): RewriteOptions {
  try {
    return chooseTarget(launcher);
  } catch (error) {
    if (unresolvable !== 'omit' || !(error instanceof VsmmuError) || error.code !== 'TARGET_LACKS')
      throw error;
    io.stderr.write(asWarning(error));
    return { topology: 'off' };
  }
}

function asWarning(error: VsmmuError): string {
  return renderError(error).replace(/^error/, 'warning');
}

async function rendered(
  before: string,
  source: string,
  result: RewriteResult,
  { diff, explain, output = 'xml' }: RewriteCommandOptions,
  color: boolean,
): Promise<string> {
  if (diff === true) return unifiedDiff(before, result.text, { from: source, to: 'rewritten', color });
  if (explain === true) return renderExplanation(result);
  return output === 'xml' ? result.text : renderData(output, asData(before, result));
}

function asData(before: string, { text, decisions, changes, warnings }: RewriteResult): object {
  const told = warnings.map(({ code, place, message, remedy }) => ({ code, place, message, remedy }));
  return { changed: text !== before, decisions, changes, warnings: told, xml: text };
}

function renderExplanation({ decisions, changes }: RewriteResult): string {
  if (decisions.length === 0) return 'No accelerated vSMMU: nothing to resolve.\n';
  const table = renderTable<Decision>(
    [
      { title: 'SUBJECT', cell: ({ subject }) => subject },
      { title: 'PROPERTY', cell: ({ property }) => property },
      { title: 'WAS', cell: ({ was }) => was ?? '-' },
      { title: 'ASKED', cell: ({ asked }) => asked },
      { title: 'RESOLVED', cell: ({ resolved }) => resolved },
      { title: 'WRITTEN', cell: ({ written }) => written },
      { title: 'RULE', cell: ({ rule }) => rule },
      { title: 'EVIDENCE', cell: ({ evidence }) => evidence },
    ],
    decisions,
  );
  const list = changes.map(({ line, column, what }) => `  ${line}:${column}  ${printable(what)}\n`).join('');
  return `${table}\n${changes.length === 0 ? 'Nothing to change.\n' : `Changes:\n${list}`}`;
}
