import { messageOf, VsmmuError } from '../errors.js';

/** The canonical gRPC status codes (grpc/doc/statuscodes.md), by their published numbers. */
export const STATUS = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;
export type StatusName = keyof typeof STATUS;

const NAMES = new Map<number, StatusName>();
for (const [name, code] of Object.entries(STATUS)) {
  if (isStatusName(name)) NAMES.set(code, name);
}

function isStatusName(name: string): name is StatusName {
  return Object.hasOwn(STATUS, name);
}

export function statusName(code: number): StatusName {
  return NAMES.get(code) ?? 'UNKNOWN';
}

/** A call that ended with a status other than OK: thrown by handlers to choose it, and by clients that met it. */
export class RpcError extends Error {
  override readonly name = 'RpcError';
  readonly status: StatusName;
  /** The peer's words, without the status in front. */
  readonly details: string;

  constructor(status: StatusName, details: string, cause?: unknown) {
    super(`${status}: ${details}`, cause === undefined ? undefined : { cause });
    this.status = status;
    this.details = details;
  }
}

/**
 * What the peer is told of anything that a handler threw. A person reads it in a pod's or VMI's events,
 * so a VsmmuError keeps its code, place and remedy.
 */
export function toRpcError(thrown: unknown): RpcError {
  if (thrown instanceof RpcError) return thrown;
  if (thrown instanceof VsmmuError) {
    const place = thrown.place === undefined ? '' : `${thrown.place}: `;
    return new RpcError(
      'FAILED_PRECONDITION',
      `${thrown.code}: ${place}${thrown.message} Remedy: ${thrown.remedy}`,
      thrown,
    );
  }
  return new RpcError('INTERNAL', messageOf(thrown), thrown);
}
