import { createInterface } from 'node:readline';

import { ExitStatus } from '../../errors.js';
import { parseResolveRequest } from '../../smmu/resolve-request.js';
import { type Resolution, resolveVsmmu } from '../../smmu/resolve.js';
import { openInput } from '../input.js';
import type { CliIo } from '../io.js';
import { write } from '../write.js';

/** Characters. 1,024 devices take about 300,000. */
const LINE_LIMIT = 8 * 1024 * 1024;

/** Answers one question; whatever the line holds, an answer comes back. */
export function resolveLine(line: string): Resolution {
  if (line.length > LINE_LIMIT) return lineTooLong();
  const parsed = parseResolveRequest(line);
  return parsed.ok ? resolveVsmmu(parsed.request.asked, parsed.request.devices) : parsed;
}

function lineTooLong(): Resolution {
  const error = {
    code: 'MALFORMED_REQUEST',
    message: `the line is longer than ${LINE_LIMIT} characters`,
    remedy: 'Ask for fewer devices in one line.',
  } as const;
  return { ok: false, errors: [error] };
}

/**
 * JSON Lines in, one JSON line each out; blank lines are passed over.
 * @returns findings where any line was refused
 */
export async function runResolveBatch(file: string, io: CliIo): Promise<ExitStatus> {
  let refused = false;
  for await (const line of createInterface({ input: await openInput(file, io), crlfDelay: Infinity })) {
    if (line.trim() === '') continue;
    const answer = resolveLine(line);
    refused ||= !answer.ok;
    await write(io.stdout, `${JSON.stringify(answer)}\n`);
  }
  return refused ? ExitStatus.findings : ExitStatus.ok;
}
