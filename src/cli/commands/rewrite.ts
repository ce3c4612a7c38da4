import { ExitStatus } from '../../errors.js';
import { hostDevicesOf } from '../../domain/host-devices.js';
import {
  rewriteDomain,
  type Decision,
  type RewriteOptions,
  type RewriteResult,
} from '../../domain/rewrite.js';
import type { HostFeatures } from '../../smmu/features.js';
import { probeFeatures } from '../host.js';
import { readInput } from '../input.js';
import type { CliIo } from '../io.js';
import { renderData, renderTable } from '../output.js';
import { unifiedDiff } from '../unified-diff.js';
import { write } from '../write.js';

export interface RewriteCommandOptions extends Omit<RewriteOptions, 'source'> {
  /** Folder of a recording; the live host where it is undefined. */
  readonly host?: string | undefined;
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
  const { host, diff, explain, output = 'xml', ...rewriting } = options;
  const source = file === '-' ? 'standard input' : file;
  const text = await readInput(file, io);
  const features = await featuresFor(text, source, host, io);
  const result = rewriteDomain(text, features, { ...rewriting, source });
  if (diff === true)
    await write(
      io.stdout,
      unifiedDiff(text, result.text, { from: source, to: 'rewritten', color: io.color }),
    );
  else if (explain === true && output === 'xml') await write(io.stdout, renderExplanation(result));
  else await write(io.stdout, output === 'xml' ? result.text : renderData(output, asData(text, result)));
  return ExitStatus.ok;
}

/** A probe resets idle devices, so the host is asked only where the domain depends on it. */
async function featuresFor(
  text: string,
  source: string,
  host: string | undefined,
  io: CliIo,
): Promise<HostFeatures> {
  if (hostDevicesOf(text, source).length > 0) return probeFeatures(host, io);
  return { origin: host === undefined ? 'this host' : `recording ${host}`, devices: new Map() };
}

function asData(before: string, { text, decisions, changes }: RewriteResult): object {
  return { changed: text !== before, decisions, changes, xml: text };
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
  const list = changes.map(({ line, column, what }) => `  ${line}:${column}  ${what}\n`).join('');
  return `${table}\n${changes.length === 0 ? 'Nothing to change.\n' : `Changes:\n${list}`}`;
}
