import type { ErrorCode } from './error-codes.js';

/** Exit statuses of every `vsmmu` command; documented in docs/cli.md. */
export const ExitStatus = { ok: 0, findings: 1, usage: 2, failed: 3 } as const;
export type ExitStatus = (typeof ExitStatus)[keyof typeof ExitStatus];

export interface ErrorDetails {
  /** Where it is wrong: a file with line and column, a BDF, a field path. */
  readonly place?: string | undefined;
  /** What a person can do about it; one imperative sentence. */
  readonly remedy: string;
  readonly cause?: unknown;
  readonly exitStatus?: ExitStatus;
}

/**
 * A failure a person can act on: stable `code`, place, cause and remedy.
 * Everything that leaves vsmmu as an error is one of these; foreign errors are wrapped at the edge where they appear.
 */
export class VsmmuError extends Error {
  override readonly name = 'VsmmuError';
  readonly code: ErrorCode;
  readonly place: string | undefined;
  readonly remedy: string;
  readonly exitStatus: ExitStatus;

  constructor(code: ErrorCode, message: string, details: ErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.place = details.place;
    this.remedy = details.remedy;
    this.exitStatus = details.exitStatus ?? ExitStatus.failed;
  }
}

/** Node's system errors carry a string `code` such as ENOENT; test for it without trusting `instanceof` across realms. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** The human text of anything thrown. */
export function messageOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'message' in error
    ? String(error.message)
    : String(error);
}
